import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

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

    /// `relays`: also those that answer emergency stop and status only.
    init(_ options: GlobalOptions, relays: Bool) throws {
        settings = try options.settings()
        if options.local {
            guard let socket = settings.agentSocket else {
                throw FleetClientSettingsError(
                    "--local needs the agent's socket: write `run_dir = /run/trading` into \(settings.file.isEmpty ? "/etc/trading/client.conf" : settings.file)"
                )
            }
            endpoints = [.unix(name: "agent", path: socket)]
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
        if !nodes.isEmpty {
            let trust = try settings.loadTrust()
            found += nodes.map { .tls(name: $0.name, host: $0.host, port: $0.port, trust: trust) }
        }
        guard !found.isEmpty else { throw FleetClientSettings.nothingConfigured }
        endpoints = found
    }

    /// The first API that answers, with the status it gave.
    ///
    /// An answer that is a refusal is an answer.
    func first() async throws -> (client: APIClient, status: APIFleetStatus) {
        var unreachable: [APIProblem] = []
        for endpoint in endpoints {
            let client = APIClient(endpoint)
            do {
                return (client, try await client.get(Route.status))
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
