/// A fleet as declared: what `fleet.yaml` says once defaults, `like` and substitutions are worked in.
///
/// Only a checked inventory exists: FleetInventory builds one after every rule has held, so names never dangle here.
package struct Inventory: Equatable, Sendable {
    package var fleet: FleetName
    package var timezone: String
    package var coordinators: [CoordinatorSpec]
    /// In stop order; start is the reverse.
    package var tiers: [TierSpec]
    package var emergencyStop: EmergencyStopSpec
    package var dependencies: [DependencySpec]
    package var hosts: [HostSpec]
    package var services: [ServiceSpec]
    package var streams: [StreamSpec]
    package var alerts: [AlertSpec] = []
    /// SHA-256 of the file's bytes, lower-case hex; empty for one built in memory.
    package var digest: String

    package init(
        fleet: FleetName, timezone: String = "UTC", coordinators: [CoordinatorSpec] = [], tiers: [TierSpec],
        emergencyStop: EmergencyStopSpec = EmergencyStopSpec(), dependencies: [DependencySpec] = [], hosts: [HostSpec],
        services: [ServiceSpec], streams: [StreamSpec] = [], digest: String = ""
    ) {
        self.fleet = fleet
        self.timezone = timezone
        self.coordinators = coordinators
        self.tiers = tiers
        self.emergencyStop = emergencyStop
        self.dependencies = dependencies
        self.hosts = hosts
        self.services = services
        self.streams = streams
        self.digest = digest
    }

    package func service(_ name: ServiceName) -> ServiceSpec? { services.first { $0.name == name } }

    /// The worker's service as its host runs it, with what `on.HOST` overrides; nil: the inventory has no such service.
    package func declared(_ worker: WorkerName) -> ServiceSpec? { service(worker.service).map { $0.onHost[worker.host] ?? $0 } }

    package func host(_ name: HostName) -> HostSpec? { hosts.first { $0.name == name } }

    /// Every worker, in the order of tiers, then of services as declared, then of their hosts.
    package var workers: [WorkerName] {
        tiers.flatMap { tier in
            services.filter { $0.tier == tier.name }.flatMap { service in service.hosts.map { WorkerName(service.name, on: $0) } }
        }
    }

    /// In the order of its hosts; empty: the inventory has no such service.
    package func workers(of service: ServiceName) -> [WorkerName] {
        (self.service(service)?.hosts ?? []).map { WorkerName(service, on: $0) }
    }

    /// Whether an emergency stop that names nothing kills this service.
    package func emergencyKills(_ service: ServiceSpec) -> Bool {
        emergencyStop.kills.contains(service.tier) && !emergencyStop.spares.contains(service.name)
    }
}

package struct CoordinatorSpec: Equatable, Sendable {
    package enum Role: String, Sendable { case full, emergency }

    package var name: CoordinatorName
    /// `host:port` of the agents' listener; an IP literal.
    package var address: String
    /// `host:port` of the HTTP API over TLS; nil: none.
    package var api: String?
    package var role: Role

    package init(name: CoordinatorName, address: String, api: String? = nil, role: Role = .full) {
        self.name = name
        self.address = address
        self.api = api
        self.role = role
    }
}

package struct TierSpec: Equatable, Sendable {
    package var name: TierName

    package init(name: TierName) { self.name = name }
}

/// What an emergency stop without a scope kills: these tiers but for the spared services.
package struct EmergencyStopSpec: Equatable, Sendable {
    package var kills: [TierName]
    package var spares: [ServiceName]

    package init(kills: [TierName] = [], spares: [ServiceName] = []) {
        self.kills = kills
        self.spares = spares
    }
}

/// Something watched and shown, never started or stopped.
package struct DependencySpec: Equatable, Sendable {
    package enum Probe: Equatable, Sendable {
        /// `host:port`
        case redis(String)
        /// base URL
        case questdb(String)
        /// `host:port`
        case tcp(String)
    }

    package var name: String
    package var host: HostName
    package var probe: Probe

    package init(name: String, host: HostName, probe: Probe) {
        self.name = name
        self.host = host
        self.probe = probe
    }
}
