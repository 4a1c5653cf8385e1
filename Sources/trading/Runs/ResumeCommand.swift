import ArgumentParser
import FleetAPI

struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Undoes a quiesce.")

    @OptionGroup var why: ReasonOption
    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "resume", path: Route.resume, reason: why.reason, options: options).run()
    }
}
