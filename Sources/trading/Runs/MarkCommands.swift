import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

struct LockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lock", abstract: "Forbids every verb but an emergency stop on workers, until they are unlocked.",
        discussion:
            "Kept by the host's agent, across restarts of everything. A locked worker that ends is not restarted. Its reason is shown to whoever is refused. The machine's own end goes past it: at a reboot its worker is stopped in order like the others, and stays locked."
    )

    @Argument(help: ArgumentHelp("Services, or workers as SERVICE@HOST.", valueName: "service")) var services: [String]
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func run() async throws { try await MarkRequest.send(.lock, Route.lock, services, why.reason, global) }
}

struct UnlockCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unlock", abstract: "Takes locks off; nothing starts by itself.",
        discussion:
            "Where another has locked it, the coordinator tells the inventory's receivers of alerts that take `unlocked`, and one that is named after whoever locked it; the answer says which. Taken off with --local, they are told once the host reports it."
    )

    @Argument(help: ArgumentHelp("Services, or workers as SERVICE@HOST.", valueName: "service")) var services: [String]
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func run() async throws { try await MarkRequest.send(.unlock, Route.unlock, services, why.reason, global) }
}

struct NoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "note", abstract: "Puts a note on workers, for everybody who looks at the status; it forbids nothing.")

    @Argument(help: ArgumentHelp("Services, or workers as SERVICE@HOST.", valueName: "service")) var services: [String]
    @Option(help: ArgumentHelp("The note.", valueName: "text")) var reason: String = ""
    @Flag(help: "Take the note away.") var clear = false
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if clear, !reason.isEmpty { throw ValidationError("--clear takes the note away: leave --reason out.") }
    }

    func run() async throws { try await MarkRequest.send(.note, Route.note, services, reason, global, mayBeEmpty: clear) }
}

private enum MarkRequest {
    static func send(
        _ verb: MarkVerb, _ path: String, _ services: [String], _ reason: String, _ global: GlobalOptions, mayBeEmpty: Bool = false
    ) async throws {
        if !mayBeEmpty, reason.allSatisfy(\.isWhitespace) {
            let example = verb == .note ? "\"core parked for the vendor\", or take it away with --clear" : "\"bad param file, PE-4411\""
            throw Failure("\(verb) needs a reason: --reason \(example)", .usage)
        }
        if services.contains("") { throw Failure("A name is empty.", .usage) }
        var request = APIMarkRequest()
        request.services = services
        request.reason = reason
        let client = try await Reach(global, relays: false).first().client
        let done: APIDone = try await client.order("The \(verb)", path, request)
        Terminal.out(ScreenText.wrapped(done.text.isEmpty ? "\(verb): done" : done.text, width: Terminal.style.width, indent: "  "))
    }
}
