import ArgumentParser
import FleetAPI

struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Undoes a quiesce.")

    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "resume", path: Route.resume, reasonNeeded: true, options: options).run()
    }
}
