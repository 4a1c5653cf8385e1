import ArgumentParser
import FleetAPI

struct StartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Starts workers, in the reverse of the stop order, and waits until they are ready.")

    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text"))
    var reason: String = ""

    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "start", path: Route.start, reason: reason, options: options).run()
    }
}
