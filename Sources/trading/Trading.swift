import ArgumentParser
import FleetClient
import FleetCore

/// The operator's command line.
@main
struct Trading: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trading",
        abstract: "Starts, stops and shows a fleet of trading hosts, and proves what it did.",
        discussion: """
            Every command takes --config FILE, --via NAME (this coordinator or relay) and --local (this host's agent), before or after its name.
            Exit codes: trading help exit-codes.  More: trading help status, help locks, help layout.  What a word in [brackets] means: trading explain WORD.
            """,
        version: "trading \(Version.number) (\(Version.libraries))",
        subcommands: [
            StatusCommand.self, StopCommand.self, StartCommand.self, RestartCommand.self, QuiesceCommand.self, ResumeCommand.self,
            LockCommand.self, UnlockCommand.self, NoteCommand.self, RunsCommand.self, HoldCommand.self, HostsCommand.self, LayoutCommand.self,
            EmergencyStopCommand.self,
            LogsCommand.self, AuditCommand.self, CertificateCommand.self, CoordinatorCommand.self, CertsCommand.self,
            InventoryCommand.self, ExplainCommand.self,
        ])

    static func main() async {
        let given = Array(CommandLine.arguments.dropFirst())
        if given == ["help", "locks"] || given == ["help", "layout"] || given == ["help", "status"] {
            Terminal.out(HelpTopics.lines(given[1]))
            return
        }
        if given == ["help", "exit-codes"] {
            Terminal.out(ExitStatus.table)
            return
        }
        do {
            let arguments = HelpTopics.asked(LeadingOptions.moved(given))
            if let unknown = HabitWords.fault(in: arguments, commands: configuration.subcommands.map { $0._commandName }) { throw Failure(unknown, .usage) }
            if let slip = HabitWords.emergencyFault(in: arguments) { throw Failure(slip, .usage) }
            var command = try parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            Failure.end(error)
        }
    }
}

/// Options of every command may stand before its name, as in `trading --local status`: they are moved behind it.
enum LeadingOptions {
    private static let flags: Set<String> = ["--local"]
    private static let options: Set<String> = ["--config", "--via"]

    static func moved(_ arguments: [String]) -> [String] {
        var leading: [String] = []
        var rest = arguments[...]
        while let first = rest.first {
            if flags.contains(first) || options.contains(where: { first.hasPrefix("\($0)=") }) {
                leading.append(first)
                rest = rest.dropFirst()
            } else if options.contains(first), rest.count >= 2 {
                leading += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else {
                break
            }
        }
        guard !leading.isEmpty else { return arguments }
        // The help, and a group without a command of its own, take none: what is wrong with the rest is then what is said.
        if rest.isEmpty || rest.first == "help" || isGroup(rest) { return Array(rest) }
        // Nothing behind `--` is an option.
        let end = rest.firstIndex(of: "--") ?? rest.endIndex
        return Array(rest[..<end]) + leading + Array(rest[end...])
    }

    private static func isGroup(_ arguments: ArraySlice<String>) -> Bool {
        guard let command = Trading.configuration.subcommands.first(where: { $0._commandName == arguments.first }),
            command != EmergencyStopCommand.self, command.configuration.defaultSubcommand == nil
        else { return false }
        let names = command.configuration.subcommands.map { $0._commandName }
        return !names.isEmpty && !(arguments.dropFirst().first.map { names.contains($0) } ?? false)
    }
}
