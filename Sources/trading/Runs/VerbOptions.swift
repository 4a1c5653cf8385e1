import ArgumentParser
import FleetAPI

/// What stop, start, restart, quiesce and resume have in common: which workers, why, and how to watch.
struct VerbOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("Services, or workers as SERVICE@HOST.", valueName: "service"))
    var services: [String] = []

    @Flag(help: "The whole fleet.")
    var all = false

    @Option(name: .customLong("tier"), help: ArgumentHelp("A whole tier; repeatable.", valueName: "tier"))
    var tiers: [String] = []

    @Option(name: .customLong("host"), help: ArgumentHelp("A whole host; repeatable.", valueName: "host"))
    var hosts: [String] = []

    @Flag(name: .customLong("dry-run"), help: "Show the plan, do nothing.")
    var dryRun = false

    @Option(help: ArgumentHelp("Run exactly the plan of this digest, or nothing.", valueName: "digest"))
    var plan: String?

    @Option(name: .customLong("exclude-host"), help: ArgumentHelp("Leave this host out by name, for example one that is switched off.", valueName: "host"))
    var excludedHosts: [String] = []

    @Option(
        name: .customLong("except"),
        help: ArgumentHelp("Leave this one as it is, by name: SERVICE or SERVICE@HOST; repeatable. It is not covered.", valueName: "worker"))
    var excludedWorkers: [String] = []

    @Flag(help: "Return once the run is accepted.")
    var detach = false

    @Flag(help: "Print JSON: the plan, or the run with its certificate.")
    var json = false

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        let named = !services.isEmpty || !tiers.isEmpty || !hosts.isEmpty
        if all, named { throw ValidationError("--all is the whole fleet: leave it out, or name nothing else.") }
        if !all, !named, !global.local {
            throw ValidationError("Nothing is named. The whole fleet: --all. Less: --tier T, --host H, SERVICE or SERVICE@HOST.")
        }
        for option in [services, tiers, hosts, excludedHosts, excludedWorkers] where option.contains("") { throw ValidationError("A name is empty.") }
    }

    func request(reason: String) throws -> APIRunRequest {
        if !excludedWorkers.isEmpty, reason.allSatisfy(\.isWhitespace) {
            throw Failure("--except needs a reason, for the audit: --reason \"…\"", .usage)
        }
        var request = APIRunRequest()
        // This host's agent knows no more than its own host: with nothing named that is all there is.
        request.scope.all = all || (global.local && services.isEmpty && tiers.isEmpty && hosts.isEmpty)
        request.scope.services = services
        request.scope.tiers = tiers
        request.scope.hosts = hosts
        request.reason = reason
        request.dryRun = dryRun
        request.plan = plan ?? ""
        request.excludeHosts = excludedHosts
        request.excludeWorkers = excludedWorkers
        return request
    }

    /// The command as it would be typed again, without `--dry-run`.
    func typed(verb: String, reason: String) -> String {
        var words = ["trading"]
        if global.local { words.append("--local") }
        if let via = global.via { words += ["--via", via] }
        if let config = global.config { words += ["--config", Self.quoted(config)] }
        words.append(verb)
        if all { words.append("--all") }
        words += tiers.flatMap { ["--tier", $0] } + hosts.flatMap { ["--host", $0] } + services + excludedHosts.flatMap { ["--exclude-host", $0] }
        words += excludedWorkers.flatMap { ["--except", $0] }
        if !reason.isEmpty { words += ["--reason", Self.quoted(reason)] }
        return words.joined(separator: " ")
    }

    /// For a shell: in double quotes, with what means something inside them escaped.
    private static func quoted(_ text: String) -> String {
        "\"" + text.flatMap { ["\"", "\\", "$", "`"].contains($0) ? ["\\", $0] : [$0] } + "\""
    }
}
