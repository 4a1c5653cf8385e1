import FleetCore

/// Verbs that people type because another tool has them, and misspelt ones of ours: answered with the one that is meant.
///
/// None is obeyed as if it were ours: `kill` of another tool ends one process.
enum HabitWords {
    private static let words: [String: String] = [
        "ps": "trading status", "list": "trading status", "ls": "trading status", "top": "trading status --watch", "show": "trading status SERVICE",
        "drain": "trading quiesce (no new risk), or trading lock SERVICE (nobody acts on it)", "cordon": "trading lock SERVICE",
        "failover": "switchover and takeover: not in this version", "switchover": "not in this version", "takeover": "not in this version",
        "history": "trading runs, and trading audit show", "kill": "trading emergency-stop", "panic": "trading emergency-stop",
        "estop": "trading emergency-stop", "halt": "trading emergency-stop, or in order: trading stop --all", "down": "trading stop --all",
        "up": "trading start --all", "pause": "trading quiesce", "unpause": "trading resume", "continue": "trading resume",
        "reload": "not in this version: restart trading-coordinator with the new inventory; no worker is touched by that",
        "apply": "trading layout apply", "check": "trading inventory check FILE", "config": "trading inventory check FILE", "log": "trading logs",
        "tail": "trading logs -f", "release": "trading emergency-stop release", "verify": "trading audit verify, or trading certificate verify",
        "cert": "trading certs", "shutdown": "trading stop --all", "emergency": "trading emergency-stop", "version": "trading --version",
    ]

    /// What to say where an emergency stop is asked for in words that it doesn't take: none of them may be guessed at. nil: nothing.
    static func emergencyFault(in arguments: [String]) -> String? {
        guard arguments.first == "emergency-stop" else { return nil }
        let valued: Set<String> = ["--reason", "--tier", "--host", "--service", "--config", "--via", "--latch"]
        var rest = arguments.dropFirst()
        while let word = rest.popFirst() {
            if ["release", "help"].contains(word) { return nil }
            if word == "--all" || word == "--force" {
                return
                    "emergency-stop has no \(word). Without a scope it kills what the inventory's emergency_stop names; also what that spares: --everything\nNothing was sent."
            }
            if valued.contains(word) {
                _ = rest.popFirst()
            } else if !word.hasPrefix("-") {
                let shown = Cleaned.text(word, bytesMax: 80)
                if let near = nearest(to: word, in: ["release"]) { return "emergency-stop has no command \(shown). Did you mean \(near)?\nNothing was sent." }
                return
                    "emergency-stop takes no bare name. Is \(shown) a service: --service \(shown)    a tier: --tier \(shown)    a host: --host \(shown)\nNothing was sent."
            }
        }
        return nil
    }

    /// What to say where the command's word is none of ours; nil: it is one, or there is none.
    static func fault(in arguments: [String], commands: [String]) -> String? {
        guard let word = arguments.first, !word.hasPrefix("-"), word != "help", !commands.contains(word) else { return nil }
        let shown = Cleaned.text(word, bytesMax: 80)
        if let ours = words[word] { return "trading has no command \(shown). Here it is: \(ours)\nNothing was done." }
        let singular = word.hasSuffix("s") ? commands.first { $0 == word.dropLast() } : nil
        let near = singular ?? (word.count > 2 ? commands.first { $0.hasPrefix(word) } : nil) ?? nearest(to: word, in: commands)
        return "trading has no command \(shown).\(near.map { " Did you mean \($0)?" } ?? "")  trading --help  lists them\nNothing was done."
    }
}
