/// What a host's own administrator decides about its agent: who it is, where it dials, what may run here (law 10).
///
/// Comes from a file of `key = value` lines, from flags of the same names, or both; a flag given once replaces what the
/// file says under that name. Unknown or repeated single keys are errors, never ignored.
package struct AgentSettings: Equatable, Sendable {
    package var fleet = ""
    package var host = ""
    /// `IP:port` of each coordinator and relay; all are dialled.
    package var coordinators: [String] = []
    package var stateDirectory = ""
    package var runDirectory = ""
    package var certificate = ""
    package var key = ""
    package var authority = ""
    package var revocations = ""
    package var shim = ""
    /// Where a bare program name in `run` is looked up, in this order.
    package var programDirectories: [String] = []
    /// Below which an absolute program path must lie; as a default the program directories.
    package var allowedDirectories: [String] = []
    /// Accounts that workers may run as, besides the agent's own.
    package var allowedUsers: [String] = []
    package var logLevel = "info"

    package enum Request: Equatable, Sendable {
        case run(AgentSettings)
        case help
        case version
    }

    /// A sentence for the terminal that says where and what to write instead.
    package struct Fault: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// One setting: its name in both forms, whether it may stand more than once, and what `--help` says of it.
    private struct Setting: Sendable {
        let name: String
        let repeated: Bool
        let argument: String
        let text: String
    }

    private static let all: [Setting] = [
        Setting(name: "fleet", repeated: false, argument: "NAME", text: "the fleet's name, as in the certificates"),
        Setting(name: "host", repeated: false, argument: "NAME", text: "this host's name in the inventory"),
        Setting(name: "coordinator", repeated: true, argument: "IP:PORT", text: "a coordinator or relay to dial; repeat for more"),
        Setting(name: "state-dir", repeated: false, argument: "DIR", text: "journal, worker state and logs; on a disk"),
        Setting(
            name: "run-dir", repeated: false, argument: "DIR",
            text: "sockets and launches; on a tmpfs. Default: /run/trading as root, else /run/user/UID/trading_pipeline"),
        Setting(name: "cert", repeated: false, argument: "FILE", text: "this agent's certificate (PEM)"),
        Setting(name: "key", repeated: false, argument: "FILE", text: "its private key (PEM, mode 0600)"),
        Setting(name: "ca", repeated: false, argument: "FILE", text: "the fleet's authority (PEM)"),
        Setting(name: "crl", repeated: false, argument: "FILE", text: "the authority's revocation list (PEM)"),
        Setting(name: "shim", repeated: false, argument: "FILE", text: "trading-shim. Default: beside this program"),
        Setting(name: "program-dir", repeated: true, argument: "DIR", text: "where bare program names are looked up; repeat for more"),
        Setting(name: "allow-dir", repeated: true, argument: "DIR", text: "where absolute program paths may lie. Default: the program directories"),
        Setting(name: "allow-user", repeated: true, argument: "USER", text: "an account that workers may run as, besides the agent's own"),
        Setting(name: "log-level", repeated: false, argument: "LEVEL", text: "debug, info, notice, warning or error. Default: info"),
    ]

    package static var help: String {
        var lines = [
            "trading-agent: supervises this host's workers and answers to the fleet's coordinators.",
            "",
            "usage: trading-agent [--settings FILE] [--NAME VALUE ...]",
            "",
            "  --settings FILE      lines of `name = value` with the names below; # begins a comment",
        ]
        for setting in all {
            let head = "  --\(setting.name) \(setting.argument)"
            lines.append(head + String(repeating: " ", count: max(1, 25 - head.utf8.count)) + setting.text)
        }
        lines += [
            "  --version            this program's version and its TLS libraries", "  --help",
            "",
            "SIGHUP reloads certificates and the revocation list. SIGTERM ends the agent and touches no worker.",
        ]
        return lines.joined(separator: "\n")
    }

    package init() {}

    /// Reads the command line (without the program's name) and the settings file it names.
    ///
    /// `readFile` exists so that tests need no files; `executableDirectory` is where `trading-shim` is looked for.
    package static func parse(
        _ arguments: [String], executableDirectory: String, userID: UInt32, readFile: (String) throws -> [UInt8]
    ) throws -> Request {
        var flags: [(name: String, value: String)] = []
        var file: String?
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            if argument == "--version" { return .version }
            guard argument.hasPrefix("--") else {
                throw Fault(description: "trading-agent: \"\(argument)\" is not a flag; write --NAME VALUE (trading-agent --help lists them)")
            }
            var name = String(argument.dropFirst(2))
            let value: String
            if let equals = name.firstIndex(of: "=") {
                value = String(name[name.index(after: equals)...])
                name = String(name[..<equals])
            } else if let next = rest.popFirst() {
                value = next
            } else {
                throw Fault(description: "trading-agent: --\(name) stands without its value")
            }
            if name == "settings" {
                guard file == nil else { throw Fault(description: "trading-agent: --settings stands twice; one file holds all settings") }
                file = value
            } else {
                flags.append((name, value))
            }
        }
        var settings = AgentSettings()
        if let file {
            let bytes: [UInt8]
            do { bytes = try readFile(file) } catch {
                throw Fault(description: "trading-agent: cannot read the settings: \(error)")
            }
            try settings.take(fileEntries(String(decoding: bytes, as: UTF8.self), file: file))
        }
        // A name given by flag replaces the file's entries of that name as a whole.
        for name in Set(flags.map(\.name)) { settings.clear(name) }
        try settings.take(flags.map { Entry(place: "trading-agent: --\($0.name)", name: $0.name, value: $0.value) })
        try settings.complete(executableDirectory: executableDirectory, userID: userID)
        return .run(settings)
    }

    struct Entry {
        let place: String
        let name: String
        let value: String
    }

    static func fileEntries(_ text: String, file: String) throws -> [Entry] {
        var entries: [Entry] = []
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let place = "\(file):\(index + 1)"
            let line = trim(raw)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw Fault(description: "\(place): no \"=\" in this line; write: name = value")
            }
            let name = trim(line[..<equals])
            let value = trim(line[line.index(after: equals)...])
            guard !value.isEmpty else { throw Fault(description: "\(place): \(name) has no value; write: \(name) = …, or remove the line") }
            entries.append(Entry(place: place, name: String(name), value: String(value)))
        }
        return entries
    }

    private mutating func take(_ entries: [Entry]) throws {
        var seen: Set<String> = []
        for entry in entries {
            guard let setting = Self.all.first(where: { $0.name == entry.name }) else {
                let names = Self.all.map(\.name).joined(separator: ", ")
                throw Fault(description: "\(entry.place): there is no setting \"\(entry.name)\"; the settings are \(names)")
            }
            if !seen.insert(entry.name).inserted, !setting.repeated {
                throw Fault(description: "\(entry.place): \(entry.name) stands twice; keep one")
            }
            switch entry.name {
            case "fleet": fleet = entry.value
            case "host": host = entry.value
            case "coordinator": coordinators.append(entry.value)
            case "state-dir": stateDirectory = entry.value
            case "run-dir": runDirectory = entry.value
            case "cert": certificate = entry.value
            case "key": key = entry.value
            case "ca": authority = entry.value
            case "crl": revocations = entry.value
            case "shim": shim = entry.value
            case "program-dir": programDirectories.append(entry.value)
            case "allow-dir": allowedDirectories.append(entry.value)
            case "allow-user": allowedUsers.append(entry.value)
            case "log-level":
                guard ["debug", "info", "notice", "warning", "error"].contains(entry.value) else {
                    throw Fault(description: "\(entry.place): log-level is debug, info, notice, warning or error, not \"\(entry.value)\"")
                }
                logLevel = entry.value
            default: preconditionFailure("setting \(entry.name) is listed and not taken")
            }
        }
    }

    private mutating func clear(_ name: String) {
        switch name {
        case "coordinator": coordinators = []
        case "program-dir": programDirectories = []
        case "allow-dir": allowedDirectories = []
        case "allow-user": allowedUsers = []
        default: break
        }
    }

    private mutating func complete(executableDirectory: String, userID: UInt32) throws {
        func need(_ value: String, _ name: String) throws {
            guard value.isEmpty else { return }
            throw Fault(description: "trading-agent: --\(name) is missing; give it as a flag or as `\(name) = …` in the settings file")
        }
        try need(fleet, "fleet")
        try need(host, "host")
        try need(stateDirectory, "state-dir")
        if !coordinators.isEmpty {
            try need(certificate, "cert")
            try need(key, "key")
            try need(authority, "ca")
            try need(revocations, "crl")
        }
        if runDirectory.isEmpty { runDirectory = userID == 0 ? "/run/trading" : "/run/user/\(userID)/trading_pipeline" }
        if shim.isEmpty { shim = executableDirectory + "/trading-shim" }
        if allowedDirectories.isEmpty { allowedDirectories = programDirectories }
        for (name, paths) in [
            ("state-dir", [stateDirectory]), ("run-dir", [runDirectory]), ("shim", [shim]), ("program-dir", programDirectories),
            ("allow-dir", allowedDirectories),
        ] {
            for path in paths where !path.hasPrefix("/") {
                throw Fault(description: "trading-agent: --\(name) \(path) is not an absolute path; write it from /")
            }
        }
    }

    private static func trim(_ text: some StringProtocol) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\r\n" }
        var out = Substring(text)
        while let first = out.first, isSpace(first) { out.removeFirst() }
        while let last = out.last, isSpace(last) { out.removeLast() }
        return out
    }
}
