import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore
import FleetTrust
import FleetWire
import LinuxHost

/// Why, for the audit: what stands in nobody's record can't be answered for.
struct ReasonOption: ParsableArguments {
    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text"))
    var reason: String

    func validate() throws {
        if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason is empty: it stands in the audit, for whoever reads it in a year.") }
    }
}

/// What an emergency stop kills.
struct EmergencyScope: ParsableArguments {
    @Flag(help: "Also what the inventory spares.")
    var everything = false

    @Option(name: .customLong("tier"), help: ArgumentHelp("This tier only; repeatable.", valueName: "tier"))
    var tiers: [String] = []

    @Option(name: .customLong("host"), help: ArgumentHelp("This host only; repeatable.", valueName: "host"))
    var hosts: [String] = []

    @Option(name: .customLong("service"), help: ArgumentHelp("This service only; repeatable.", valueName: "service"))
    var services: [String] = []

    @Flag(help: "Do not ask.")
    var yes = false

    var isGiven: Bool { everything || yes || !tiers.isEmpty || !hosts.isEmpty || !services.isEmpty }
}

struct EmergencyStopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "emergency-stop", abstract: "Kills at once, in no order and without flushing, and keeps it down until released.",
        usage: """
            trading emergency-stop --reason TEXT [--yes] [--everything] [--tier T] [--host H] [--service S]
            trading emergency-stop release --reason TEXT [--latch ID]
            """,
        discussion: """
            Sent to every coordinator and relay at once; needs no name resolution, no revocation list and no date that holds. Without a scope: what the \
            inventory's emergency_stop names. A name that nobody knows is refused before anything is sent; on a host itself --local takes any.
            Exit 0: everything that it covers is confirmed gone. 4: not confirmed. 3: it covers nothing. Softer: trading quiesce --all.
            """,
        subcommands: [EmergencyStopRelease.self])

    @OptionGroup var why: ReasonOption
    @OptionGroup var scope: EmergencyScope
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        for option in [scope.tiers, scope.hosts, scope.services] where option.contains(where: { $0.isEmpty || $0.contains("@") }) {
            throw ValidationError("A scope takes plain names; one worker is --service NAME --host HOST.")
        }
        if global.local, !scope.hosts.isEmpty { throw ValidationError("--local is this host already: leave --host out.") }
    }

    func run() async throws {
        let began = ContinuousClock.now
        var request = APIEmergencyRequest()
        request.reason = LatchBounds.reason(why.reason)
        request.latch = "es-\(Random.hex(8))"
        request.scope.everything = scope.everything
        request.scope.tiers = scope.tiers
        request.scope.hosts = scope.hosts
        request.scope.services = scope.services
        if global.local {
            try await LocalEmergency(settings: try global.settings(), request: request, yes: scope.yes, began: began).run()
        }
        let reach = try Reach(global, relays: true, isEmergency: true)
        if !scope.yes { try await EmergencyConfirmation.ask(reach, request.scope) }
        let asked = scope.yes ? began : .now
        if let operatorSignature = OperatorSignature(reach.settings, reach.trust) {
            request.unixUs = Clock.unixMicroseconds()
            let latch = Latch(
                id: request.latch, by: operatorSignature.author, reason: request.reason, unixMicroseconds: request.unixUs, scope: request.scope.core)
            request.signature = operatorSignature.sign(LatchStatement.set(latch, fleet: operatorSignature.fleet))
        }
        Interruption.ordering("The emergency stop")
        let outcome = await EmergencyCall.send(request, to: reach.endpoints, began: asked)
        if let refusal = outcome.refusal { throw refusal }
        // Only now, and only where a host is silent: its workers have names.
        let status = outcome.unconfirmed.isEmpty ? nil : await EmergencyConfirmation.status(reach)
        Terminal.out(
            EmergencyScreen.lines(outcome, latch: request.latch, scope: request.scope, status: status, unchecked: reach.unchecked, style: Terminal.style))
        // What was done stands there already. What the scope spares is worth one more question.
        if outcome.isAnswered, !request.scope.everything, let left = await EmergencyConfirmation.status(reach) {
            Terminal.out(EmergencyScreen.spared(left, scope: request.scope, style: Terminal.style))
        }
        let coversNothing = outcome.isAnswered && outcome.covered == 0
        throw Failure.quietly(outcome.allGone ? .done : coversNothing ? .refused : .unknown)
    }
}

/// Shows what it will do and has the operator type it.
///
/// Not asked with --yes, which then costs no word with anybody.
enum EmergencyConfirmation {
    /// Nobody waits long for a preview in an emergency.
    private static let previewBound: Duration = .seconds(1)

    static func ask(_ reach: Reach, _ scope: WireScope) async throws {
        try demandTerminal()
        let status = await status(reach)
        let fleet = reach.settings.fleet?.raw ?? status?.fleet ?? ""
        Terminal.out(EmergencyScreen.preview(status, scope: scope, style: Terminal.style))
        try type(fleet.isEmpty ? "all" : fleet)
    }

    /// The first that any coordinator or relay says, within the bound.
    static func status(_ reach: Reach) async -> APIFleetStatus? {
        let (answers, feed) = AsyncStream.makeStream(of: APIFleetStatus?.self)
        for endpoint in reach.endpoints {
            // The first that answers is shown; the others end by themselves.
            Task {
                do {
                    feed.yield(try await APIClient(endpoint).get(Route.status, within: previewBound))
                } catch {
                    feed.yield(nil)
                }
            }
        }
        var status: APIFleetStatus?
        var pending = reach.endpoints.count
        for await answer in answers {
            pending -= 1
            status = answer
            if answer != nil || pending == 0 { break }
        }
        return status
    }

    static func demandTerminal() throws {
        guard Terminal.inIsTerminal else {
            throw Failure("emergency-stop asks before it kills, and there is no terminal to ask at. Nothing was done. Without asking: add --yes", .usage)
        }
    }

    static func type(_ name: String) throws {
        Terminal.raw("Type  kill \(Cleaned.text(name, bytesMax: 80))  to go on: ")
        let typed = readLine() ?? ""
        guard typed.split(separator: " ").map(String.init) == ["kill", name] else {
            throw Failure("Nothing was done.", .refused)
        }
    }
}

struct EmergencyStopRelease: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Releases an emergency stop; nothing starts by itself.",
        discussion:
            "Signed with the operator's key: a relay releases nothing else. With --local: what was set on this host, and on a host that nobody reaches whatever holds there."
    )

    @OptionGroup var why: ReasonOption
    @OptionGroup(visibility: .hidden) var scope: EmergencyScope

    @Option(help: ArgumentHelp("Only this one; without it all in force.", valueName: "id"))
    var latch: String?

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        if scope.isGiven { throw ValidationError("A release takes no scope: --latch ID, or nothing for all in force.") }
    }

    func run() async throws {
        // Every side is told: one that was missed would bring no latch back, for a release wins wherever sides meet.
        let reach = try Reach(global, relays: true)
        let operatorSignature = OperatorSignature(reach.settings, reach.trust)
        var released = 0
        var problems: [APIProblem] = []
        for endpoint in reach.endpoints {
            do {
                let client = APIClient(endpoint)
                let done: APIDone = try await client.order(
                    "The release", Route.emergencyRelease, try await request(client, operatorSignature), within: EmergencyCall.answerBound)
                Terminal.out(["\(endpoint.name): \(done.text.isEmpty ? "released" : done.text)"])
                released += 1
            } catch let problem as APIProblem {
                problems.append(problem)
            }
        }
        if released == 0, let problem = problems.last { throw problem }
        // One that had heard of the release before it was asked has none in force any more: that is no problem.
        for problem in problems where !["no-latch", "not-latched"].contains(problem.slug) { Terminal.err([problem.what]) }
    }

    /// With a signature for each that is in force there, where an identity is at hand.
    private func request(_ client: APIClient, _ operatorSignature: OperatorSignature?) async throws -> APILatchRelease {
        var request = APILatchRelease()
        request.reason = LatchBounds.reason(why.reason)
        request.latch = latch ?? ""
        guard let operatorSignature, !client.endpoint.isLocal else { return request }
        let status: APIFleetStatus = try await client.get(Route.status, within: EmergencyCall.answerBound)
        request.unixUs = Clock.unixMicroseconds()
        let release = Latch.Release(by: operatorSignature.author, reason: request.reason, unixMicroseconds: request.unixUs)
        request.signatures = status.latches.filter { latch == nil || $0.id == latch }.map { held in
            var signed = APISignedRelease()
            signed.latch = held.id
            signed.signature = operatorSignature.sign(LatchStatement.release(held.id, release, fleet: operatorSignature.fleet))
            return signed
        }
        return request
    }
}
