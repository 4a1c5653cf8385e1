import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

struct HoldCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold", abstract: "Decides about a worker that outlived its grace and waits for a person.",
        subcommands: [HoldWait.self, HoldRelease.self])

    static func send(_ request: APIHoldRequest, _ global: GlobalOptions) async throws {
        guard WorkerName(request.worker) != nil else {
            throw Failure("\"\(request.worker)\" is not a worker: write SERVICE@HOST, for example order-gateway@ex-1", .usage)
        }
        let client = try await Reach(global, relays: false).first().client
        let done: APIDone = try await client.order("The hold's \(request.release ? "release" : "extension")", Route.hold, request)
        Terminal.out([done.text.isEmpty ? "\(request.worker): done" : done.text])
    }
}

struct HoldWait: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "wait", abstract: "Gives it more time to end by itself.")

    @Argument(help: ArgumentHelp("SERVICE@HOST.", valueName: "worker")) var worker: String
    @Option(name: .customLong("for"), help: ArgumentHelp("How long: 60s, 5min, 1h.", valueName: "duration")) var time: String = "60s"
    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text")) var reason: String = ""
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        guard let duration = DurationText.parse(time) else {
            throw Failure("--for \(time): not a duration; write for example 60s, 5min or 1h", .usage)
        }
        var request = APIHoldRequest()
        request.worker = worker
        request.waitNs = UInt64(clamping: duration.nanoseconds)
        request.reason = reason
        try await HoldCommand.send(request, global)
    }
}

struct HoldRelease: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Ends the hold: with --kill the worker is killed, else it goes on running.")

    @Argument(help: ArgumentHelp("SERVICE@HOST.", valueName: "worker")) var worker: String
    @Flag(help: "Kill it now: orders it has at a venue may stay live.") var kill = false
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var request = APIHoldRequest()
        request.worker = worker
        request.release = true
        request.kill = kill
        request.reason = why.reason
        try await HoldCommand.send(request, global)
    }
}

/// Durations as people write them: a whole number and a unit.
enum DurationText {
    static func parse(_ text: String) -> Duration? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let count = Int64(digits), count > 0, count < 1_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ms": return .milliseconds(count)
        case "s": return .seconds(count)
        case "min", "m": return .seconds(count * 60)
        case "h": return .seconds(count * 3_600)
        default: return nil
        }
    }
}
