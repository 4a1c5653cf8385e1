import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore
import FleetWire
import LinuxHost

/// What every command that talks to a fleet takes.
struct GlobalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The settings to use.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Ask this coordinator or relay, and no other.", valueName: "name"))
    var via: String?

    @Flag(help: "Ask this host's own agent.")
    var local = false

    func settings() throws -> FleetClientSettings {
        try FleetClientSettings.load(option: config, environment: Terminal.environment)
    }
}

/// The APIs that a command may use, by the settings and the options.
struct Reach {
    let settings: FleetClientSettings
    let endpoints: [APIEndpoint]
    /// This side's own identity and whom it accepts; nil: nothing is asked over TLS.
    let trust: TLSTrust?
    /// What could not be had of it; only an emergency stop and a look at the status go on without.
    private(set) var unchecked: [String] = []
    /// The own certificate or revocation list ends soon: what, when, and what to type.
    private(set) var endings: [String] = []

    private static func endings(of trust: TLSTrust) -> [String] {
        let now = Int64(Clock.unixMicroseconds() / 1_000_000)
        var lines: [String] = []
        let certificate = Expiry(untilUnix: trust.ownNotAfterUnix, nowUnix: now)
        if trust.ownNotAfterUnix > 0, certificate.isSaid {
            lines.append("this command's own certificate \(certificate.sentence). trading certs renew operator/NAME, then copy it here (certs/README.md)")
        }
        if let due = trust.listDueUnix, Expiry(untilUnix: due, nowUnix: now).isSaid {
            lines.append("this command's own revocation list \(Expiry(untilUnix: due, nowUnix: now).sentence). trading certs renew-crl, then copy crl.pem here")
        }
        return lines
    }

    /// `relays`: also those that answer next to nothing else.
    ///
    /// `isEmergency`: goes on with whatever can be had: without a revocation list, or without TLS where the authority or the
    /// own certificate can't be read and a Unix socket is there.
    ///
    /// `deed`: what will be asked; where no revocation list can be read, some deeds go on (`SessionLimit.unlisted`).
    init(_ options: GlobalOptions, relays: Bool, isEmergency: Bool = false, deed: Deed? = nil) throws {
        settings = try options.settings()
        if options.local {
            guard let socket = settings.agentSocket else {
                throw FleetClientSettingsError(
                    "--local needs the agent's socket: write `run_dir = /run/trading` into \(settings.file.isEmpty ? "/etc/trading/client.conf" : settings.file)"
                )
            }
            endpoints = [.unix(name: "agent", path: socket)]
            trust = nil
            return
        }
        var nodes = settings.coordinators + (relays || options.via != nil ? settings.relays : [])
        if let via = options.via {
            guard nodes.contains(where: { $0.name == via }) else {
                let names = nodes.map(\.name).joined(separator: ", ")
                throw FleetClientSettingsError(
                    "--via \(via): no coordinator or relay of that name in \(settings.file.isEmpty ? "any settings" : settings.file). It has \(names.isEmpty ? "none" : names)"
                )
            }
            nodes = nodes.filter { $0.name == via }
        }
        var found: [APIEndpoint] = []
        if options.via == nil, let socket = settings.coordinatorSocket { found.append(.unix(name: "coordinator", path: socket)) }
        var trust: TLSTrust?
        if !nodes.isEmpty {
            do {
                let goesOn = isEmergency || deed.map { SessionLimit.unlisted.allowed.contains($0) } ?? false
                trust = try settings.loadTrust(lists: .optional)
                if !goesOn, let problem = trust?.listProblem {
                    throw Failure("\(problem). Copy crl.pem from another host, or from where the authority is kept", .failed)
                }
            } catch  where isEmergency && !found.isEmpty {
                unchecked.append("nothing was sent to \(nodes.map(\.name).joined(separator: ", ")): \(error)")
            }
        }
        if let trust {
            let relays = Set(settings.relays.map(\.name))
            found += nodes.map { .tls(name: $0.name, isRelay: relays.contains($0.name), host: $0.host, port: $0.port, trust: trust) }
            if let problem = trust.listProblem { unchecked.append("whether anybody was revoked: \(problem)") }
            endings = Self.endings(of: trust)
            if trust.ownNotAfterUnix > 0, trust.ownNotAfterUnix < Int64(Clock.unixMicroseconds() / 1_000_000) {
                unchecked.append("our own certificate is past its last day: others may hold it against us")
            }
        }
        self.trust = trust
        guard !found.isEmpty else { throw FleetClientSettings.nothingConfigured }
        endpoints = found
    }

    /// A whole fleet's status takes milliseconds; one that hangs must not keep the next from being asked.
    private static let firstAnswerBound: Duration = .seconds(5)

    /// The first API that answers, with the status it gave.
    ///
    /// An answer that is a refusal is an answer.
    func first() async throws -> (client: APIClient, status: APIFleetStatus) {
        var unreachable: [APIProblem] = []
        for endpoint in endpoints {
            let client = APIClient(endpoint)
            do {
                return (client, try await client.get(Route.status, within: Self.firstAnswerBound))
            } catch let problem as APIProblem where ["no-coordinator", "no-agent", "starting"].contains(problem.slug) {
                unreachable.append(problem)
            }
        }
        for problem in unreachable.dropLast() { Terminal.err([problem.what]) }
        var last = unreachable[unreachable.count - 1]
        let others = (settings.coordinators + settings.relays).map(\.name).filter { name in !endpoints.contains { $0.name == name } }
        last.then = last.then.replacing("--via RELAY", with: "--via \(others.isEmpty ? "RELAY" : others.joined(separator: "|"))")
        throw last
    }
}

extension APIFleetStatus {
    /// The zone that this fleet's times are shown in.
    var zone: FleetZone { timezone.isEmpty ? .utc : FleetZone(named: timezone) }
}
