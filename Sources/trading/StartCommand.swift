import ArgumentParser
import FleetAPI

struct StartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start", abstract: "Starts workers, in the reverse of the stop order, and waits until they are ready.")

    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "start", path: Route.start, reasonNeeded: false, options: options).run()
    }
}
