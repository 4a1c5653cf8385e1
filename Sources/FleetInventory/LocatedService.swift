import FleetCore

/// A decoded service with the places that rules between services report at.
struct LocatedService {
    var spec: ServiceSpec
    /// nil: its tier is missing or dangling, which has been reported.
    var tier: TierName?
    var position: SourcePosition
    var needs: [(service: ServiceName, position: SourcePosition)] = []
    var aliases: [(text: String, position: SourcePosition)] = []
    /// Its CPUs on each of its hosts, which `on` may change.
    var exclusive: [HostName: (cpus: CPUList, position: SourcePosition)] = [:]
    /// Where `cpus: {helpers: shared}` stands, for hosts without a shared pool.
    var helpers: [HostName: SourcePosition] = [:]
}
