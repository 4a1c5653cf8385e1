internal import FleetCore
internal import FleetWire

/// What the coordinator knows of one host: whether it talks now, and its last word with the time it came.
struct HostRecord {
    let spec: HostSpec
    var connected = false
    var restricted = false
    var report: WireHostReport?
    /// On the coordinator's clock.
    var lastWordAt: BootTime?
    var reportAt: BootTime?
    var whyUnknown = "it has not reported since this coordinator started"

    /// It talks and has reported within the session's bound.
    func isKnown(now: BootTime, bound: Duration) -> Bool {
        guard connected, let reportAt else { return false }
        return now - reportAt <= bound
    }

    func worker(_ service: ServiceName) -> WireWorkerReport? { report?.workers.first { $0.service == service.raw } }
}
