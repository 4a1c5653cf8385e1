import ArgumentParser
import FleetAPI

struct StopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Stops workers in order and proves what it did.",
        discussion: "Tier by tier: quiesce, gates on open orders, then each tier once the one ahead is proven stopped. Ends with a stop certificate.")

    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "stop", path: Route.stop, reasonNeeded: true, options: options).run()
    }
}
