internal import FleetAPI
internal import FleetCore
internal import FleetWire

/// One run as the coordinator's shell keeps it: the machine, what has happened for those who watch, and the effects that
/// wait for a record to be durable.
struct RunRecord {
    var machine: RunMachine?
    /// What the operator named, acted on or not: no other run may touch it meanwhile.
    var named: Set<WorkerName> = []
    var api: APIRun
    var events: [APIRunEvent] = []
    var watchers: [UInt64: AsyncStream<APIRunEvent>.Continuation] = [:]
    /// Effects in order; the first may be waiting for the journal.
    var queue: [RunMachine.Effect] = []
    var writing = false
    /// What workers left behind, by `service@host`.
    var snapshots: [String: WireWorkerSnapshot] = [:]
    /// What each worker said last while it stopped.
    var flight: [WorkerName: String] = [:]
    /// What each host's operation ids of this run hold that no other host is told.
    var secrets: [HostName: String] = [:]
    /// Rises with each armed timer, so that an old one is ignored.
    var timer: UInt64 = 0

    /// Events kept per run, and how far a watcher may fall behind.
    static let eventsLimit = 10_000
}
