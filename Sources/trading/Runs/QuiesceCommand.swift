import ArgumentParser
import FleetAPI

struct QuiesceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quiesce", abstract: "Makes workers create no new outward risk; they keep consuming and finishing.")

    @OptionGroup var why: ReasonOption
    @OptionGroup var options: VerbOptions

    func run() async throws {
        try await RunVerb(name: "quiesce", path: Route.quiesce, reason: why.reason, options: options).run()
    }
}
