internal import FleetCore
internal import FleetWire

/// What the coordinator knows of one host: whether it talks now, and its last word with the time it came.
struct HostRecord {
    let spec: HostSpec
    /// Which instances of its agent live.
    var watch: InstanceWatch
    var connected = false
    /// Why its agent takes no orders from this coordinator; nil: it does.
    var refuses: String?
    var report: WireHostReport?
    /// Undeclared workers that it reports and that are not kept.
    var undeclaredCut = 0
    /// On the coordinator's clock.
    var lastWordAt: BootTime?
    var reportAt: BootTime?
    /// The session that the last report came by; nil: that session's word counts no more.
    var reportSession: String?
    /// When two instances of it were seen to live, in microseconds of Unix time; 0: never.
    var contestedAt: UInt64 = 0
    private var silentBecause = "it has not reported since this coordinator started"
    /// Its words about its own latches that are recorded and logged: a person sets few, and whoever holds its key must fill neither
    /// audit nor log. The words count all the same.
    private var latchWords = RateBound(64, in: .seconds(60))
    /// Records of its instances: whoever holds its key must not fill the audit with them.
    private var instanceRecords = RateBound(16, in: .seconds(60))
    /// Records of what has ended there; what is held back stands in a later one.
    private var workerRecords = RateBound(4, in: .seconds(60))
    private var lastWordRecords = RateBound(10, in: .seconds(60))
    /// Lines about its sessions and reports.
    private var lines = RateBound(64, in: .seconds(60))

    init(spec: HostSpec, contest: InstanceWatch.Contest? = nil, contestedAt: UInt64 = 0, before: InstanceWatch.Instance? = nil) {
        self.spec = spec
        self.contestedAt = contestedAt
        watch = InstanceWatch(contest: contest, before: before)
    }

    var whyUnknown: String {
        get {
            if let how = watch.contested { return "two instances of it live: \(how)" }
            return watch.isDoubtful ? "another instance of it has not said yet whether it lives" : silentBecause
        }
        set { silentBecause = newValue }
    }

    /// Whether one more word of the host's about latches is recorded and logged.
    mutating func mayRecordLatch(at now: BootTime) -> Bool { latchWords.admits(at: now) }

    /// Whether one more of its instances is recorded.
    mutating func mayRecordInstance(at now: BootTime) -> Bool { instanceRecords.admits(at: now) }

    /// Whether one more word of what has ended there is recorded.
    mutating func mayRecordWorkers(at now: BootTime) -> Bool { workerRecords.admits(at: now) }

    /// Whether one more session's last word of what runs there is recorded.
    mutating func mayRecordLastWord(at now: BootTime) -> Bool { lastWordRecords.admits(at: now) }

    /// Whether one more line about it is logged.
    mutating func maySay(at now: BootTime) -> Bool { lines.admits(at: now) }

    /// It talks, has reported within the session's bound, and is one.
    func isKnown(now: BootTime, bound: Duration) -> Bool {
        guard watch.contested == nil, !watch.isDoubtful, connected, let reportAt else { return false }
        return now - reportAt <= bound
    }

    func worker(_ service: ServiceName) -> WireWorkerReport? { report?.workers.first { $0.service == service.raw } }
}
