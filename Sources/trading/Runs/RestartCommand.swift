import ArgumentParser
import FleetAPI

struct RestartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "restart", abstract: "Stops workers in order, then starts them.")

    @OptionGroup var why: ReasonOption
    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "restart", path: Route.restart, reason: why.reason, options: options).run()
    }
}
