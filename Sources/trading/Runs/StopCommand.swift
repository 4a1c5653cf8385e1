import ArgumentParser
import FleetAPI

struct StopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stops workers in order and proves what it did.",
        discussion: "Tier by tier: quiesce, gates on open orders, then each tier once the one ahead is proven stopped. Ends with a stop certificate.")

    @OptionGroup var why: ReasonOption
    @OptionGroup var options: VerbOptions

    @Option(
        help: ArgumentHelp(
            "With --local, where a locked worker runs: leave it and the tiers behind it running, or stop it too, for this host goes down (it stays locked). Without: refused.",
            valueName: "leave|stop"))
    var locked: String?

    func validate() throws {
        guard let locked else { return }
        guard ["leave", "stop"].contains(locked) else { throw ValidationError("--locked is leave or stop, not \"\(locked)\".") }
        guard options.global.local else { throw ValidationError("--locked is for a host's own stop: --local. Of a fleet: --except WORKER, or trading unlock.") }
    }

    func run() async throws {
        try await RunVerb(name: "stop", path: Route.stop, reason: why.reason, options: options, locked: locked).run()
    }
}
