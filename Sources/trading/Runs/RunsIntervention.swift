import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

/// What a person does to a run that waits.
///
/// Each is a decision with a name and a reason, in the audit and in the certificate.
struct InterventionRequest {
    let run: UInt64
    let intervention: Intervention
    let global: GlobalOptions

    func send(_ request: APIOverride) async throws {
        let client = try await Reach(global, relays: false).first().client
        let done: APIDone = try await client.order(
            "The \(intervention) of run \(run)", shows: "trading runs \(run)", "\(Route.run(run))/\(intervention)", request)
        Terminal.out([done.text.isEmpty ? "run \(run): \(intervention) accepted" : done.text])
    }
}

struct RunsAbort: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "abort", abstract: "Gives a run up; before the first stop signal, what it quiesced is resumed.",
        discussion: "With --local, a run of this host: what it has ordered already goes on by itself, and nothing more is ordered.")

    @Argument(help: ArgumentHelp("The run's number.", valueName: "id")) var id: UInt64
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var request = APIOverride()
        request.reason = why.reason
        try await InterventionRequest(run: id, intervention: .abort, global: global).send(request)
    }
}

struct RunsRetry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "retry", abstract: "Has a blocked run look again at once.")

    @Argument(help: ArgumentHelp("The run's number.", valueName: "id")) var id: UInt64
    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text")) var reason: String = ""
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var request = APIOverride()
        request.reason = reason
        try await InterventionRequest(run: id, intervention: .retry, global: global).send(request)
    }
}

struct RunsOverride: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "override", abstract: "Lets a run go on without one gate or stream. Its verdict is then at most unproven.")

    @Argument(help: ArgumentHelp("The run's number.", valueName: "id")) var id: UInt64
    @Option(help: ArgumentHelp("Without this gate.", valueName: "name")) var gate: String?
    @Option(help: ArgumentHelp("Without this stream's drain.", valueName: "name")) var stream: String?
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard [gate, stream].compactMap({ $0 }).count == 1 else {
            throw ValidationError("Name exactly one thing to go on without: --gate NAME or --stream NAME. A host that is off: runs attest.")
        }
    }

    func run() async throws {
        var request = APIOverride()
        request.gate = gate ?? ""
        request.stream = stream ?? ""
        request.reason = why.reason
        try await InterventionRequest(run: id, intervention: .override, global: global).send(request)
    }
}

struct RunsAttest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attest", abstract: "Puts your word for what cannot be measured: a host is switched off.")

    @Argument(help: ArgumentHelp("The run's number.", valueName: "id")) var id: UInt64
    @Option(help: ArgumentHelp("The host you speak of.", valueName: "host")) var host: String
    @Flag(name: .customLong("powered-off"), help: "It has no power: nothing runs there.") var poweredOff = false
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard poweredOff else { throw ValidationError("Say what you attest: --powered-off.") }
    }

    func run() async throws {
        var request = APIOverride()
        request.host = host
        request.poweredOff = poweredOff
        request.reason = why.reason
        try await InterventionRequest(run: id, intervention: .attest, global: global).send(request)
    }
}
