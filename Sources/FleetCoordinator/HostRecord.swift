internal import FleetCore
internal import FleetWire

/// What the coordinator knows of one host: whether it talks now, and its last word with the time it came.
struct HostRecord {
    let spec: HostSpec
    var connected = false
    var restricted = false
    /// Why its agent takes no orders from this coordinator; nil: it does.
    var refuses: String?
    var report: WireHostReport?
    /// On the coordinator's clock.
    var lastWordAt: BootTime?
    var reportAt: BootTime?
    var whyUnknown = "it has not reported since this coordinator started"
    private var latchRecords = 0
    private var latchRecordsSince = BootTime.zero

    init(spec: HostSpec) { self.spec = spec }

    /// Whether one more word of the host's about its own latches is put on record: a person sets few, and whoever holds its key
    /// must not fill the audit. They count all the same.
    mutating func mayRecordLatch(at now: BootTime) -> Bool {
        if now - latchRecordsSince >= .seconds(60) { (latchRecords, latchRecordsSince) = (0, now) }
        latchRecords += 1
        return latchRecords <= Self.latchRecordsMax
    }

    /// A minute.
    private static let latchRecordsMax = 64

    /// It talks and has reported within the session's bound.
    func isKnown(now: BootTime, bound: Duration) -> Bool {
        guard connected, let reportAt else { return false }
        return now - reportAt <= bound
    }

    func worker(_ service: ServiceName) -> WireWorkerReport? { report?.workers.first { $0.service == service.raw } }
}
