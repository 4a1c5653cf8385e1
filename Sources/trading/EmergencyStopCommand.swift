import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore
import FleetTrust
import FleetWire

struct EmergencyStopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "emergency-stop", abstract: "Kills at once, in no order and without flushing, and keeps it down until released.",
        discussion: """
            Sent to every coordinator and relay at once; needs no name resolution. Without a scope: what the inventory's emergency_stop names.
            Softer: trading quiesce --all.
            """,
        subcommands: [EmergencyStopNow.self, EmergencyStopRelease.self], defaultSubcommand: EmergencyStopNow.self)
}

struct EmergencyStopNow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "now", abstract: "Sets the latch (the default).", shouldDisplay: false)

    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text"))
    var reason: String = ""

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

    @OptionGroup var global: GlobalOptions

    func validate() throws {
        for option in [tiers, hosts, services] where option.contains(where: { $0.isEmpty || $0.contains("@") }) {
            throw ValidationError("A scope takes plain names; one worker is --service NAME --host HOST.")
        }
        if global.local, !hosts.isEmpty { throw ValidationError("--local is this host already: leave --host out.") }
    }

    func run() async throws {
        let began = ContinuousClock.now
        if reason.allSatisfy(\.isWhitespace) {
            throw Failure("emergency-stop needs a reason, for the audit: --reason \"runaway mm\"", .usage)
        }
        var request = APIEmergencyRequest()
        request.reason = reason
        request.latch = "es-\(Random.hex(8))"
        request.scope.everything = everything
        request.scope.tiers = tiers
        request.scope.hosts = hosts
        request.scope.services = services
        if global.local {
            try await LocalEmergency(settings: try global.settings(), request: request, yes: yes, began: began).run()
        }
        let reach = try Reach(global, relays: true)
        if !yes { try await EmergencyConfirmation.ask(reach, request.scope) }
        let outcome = await EmergencyCall.send(request, to: reach.endpoints, began: yes ? began : .now)
        // Only now, and only where a host is silent: its workers have names.
        let status = outcome.unconfirmed.isEmpty ? nil : await EmergencyConfirmation.status(reach)
        Terminal.out(EmergencyScreen.lines(outcome, latch: request.latch, scope: request.scope, status: status, style: Terminal.style))
        throw Failure.quietly(outcome.allGone ? .done : .unknown)
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
        Terminal.raw("Type  kill \(name)  to go on: ")
        let typed = readLine() ?? ""
        guard typed.split(separator: " ").map(String.init) == ["kill", name] else {
            throw Failure("Nothing was done.", .refused)
        }
    }
}

struct EmergencyStopRelease: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "release", abstract: "Releases an emergency stop; nothing starts by itself.")

    @Option(help: ArgumentHelp("Why, for the audit.", valueName: "text"))
    var reason: String = ""

    @Option(help: ArgumentHelp("Only this one; without it all in force.", valueName: "id"))
    var latch: String?

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        if reason.allSatisfy(\.isWhitespace) {
            throw Failure("emergency-stop release needs a reason, for the audit: --reason \"…\"", .usage)
        }
        var request = APILatchRelease()
        request.reason = reason
        request.latch = latch ?? ""
        // Every side is told: one that was missed would bring no latch back, for a release wins wherever sides meet.
        let reach = try Reach(global, relays: true)
        var released = 0
        var problems: [APIProblem] = []
        for endpoint in reach.endpoints {
            do {
                let done: APIDone = try await APIClient(endpoint).post(Route.emergencyRelease, request, within: EmergencyCall.answerBound)
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
}
