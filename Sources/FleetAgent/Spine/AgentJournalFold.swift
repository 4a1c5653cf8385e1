internal import FleetCore
internal import FleetJournal
internal import FleetWire

/// What the journal says this agent was doing when it last wrote: the agent's state is a fold of its file.
struct AgentJournalFold: Equatable, Sendable {
    /// What an order wanted.
    struct Wish: Equatable, Sendable {
        var isUp: Bool
        var by: String
        var reason: String
        var unixMicroseconds: UInt64
    }

    struct Worker: Equatable, Sendable {
        var generation: UInt64 = 0
        /// Of the last launch that was intended.
        var launch = ""
        /// False once that launch was recorded as ended or as never having run.
        var open = false
        var ready = false
        var stopping = false
        var quiesced = false
        var restarts = 0
        /// Of the last launch that has ended; its time is of the boot that the record is of.
        var exit: WorkerExit?
        /// The last launch that has ended.
        var endedLaunch = ""
        /// When the last launch ended, or was found never to have run, in microseconds of Unix time.
        var downUnixMicroseconds: UInt64?
        /// The open launch is a restart by policy and was not seen to run.
        var restartIntended = false
        /// It had ended by itself and was waiting to be restarted.
        var restartPending = false
        /// Unix time, in microseconds, of the starts that count against the limit; at most `startsKept`.
        var starts: [UInt64] = []
        var backoffStep = 0
        var readyUnixMicroseconds: UInt64?
        /// Why it was being stopped without an order.
        var unhealthy: String?
        var failed: String?
        var lock: Mark?
        var remark: Mark?
        var verification: Verification?
        /// The oldest launch of this boot whose tree was never shown empty.
        var strayed: String?
        var verifiedUnixMicroseconds: UInt64 = 0
        var history = LaunchHistory()
        /// What the last order wanted, and when, in microseconds of Unix time.
        var wanted: Wish?
        /// That launch was once seen running.
        var wasSeen = false
        /// Before its process was seen, what its intent tells; nil: an agent from before kept none.
        var trace: LaunchTrace?

        mutating func begin(_ launch: String) {
            wasSeen = false
            trace = nil
            history.begin(LaunchID(launch))
            self.launch = launch
            open = true
            ready = false
            stopping = false
            quiesced = false
            restartIntended = false
            restartPending = false
            readyUnixMicroseconds = nil
            unhealthy = nil
            failed = nil
            verification = nil
        }
    }

    private(set) var workers: [String: Worker] = [:]
    /// Records of operations that came by order, oldest operation first; at most `operationsKept`.
    private(set) var operations: [String: [WireRecordCitation]] = [:]
    private(set) var bootID: String?
    /// Of this journal, from its first start by an agent that gave it one; empty: none did.
    private(set) var id = ""
    private(set) var lastRun: UInt64 = 0
    /// The coordinator that sent the last part of the inventory.
    private(set) var partFrom: CoordinatorName?
    private var operationOrder: [String] = []
    /// Per service what was so before its last order: that one may have expired.
    private var beforeOrder: [String: BeforeOrder] = [:]

    private struct BeforeOrder: Equatable, Sendable {
        let operation: String
        let worker: Worker
        var isStart = false
    }

    static let operationsKept = 1_024
    static let startsKept = 64

    /// `hash` tells a record's hash by its sequence; empty where it can't be told.
    ///
    /// `newID` is the journal's from now on if it has none.
    init(_ records: some Sequence<AuditRecord> = [], newID: String = "", hash: (UInt64) -> String = { _ in "" }) {
        for record in records { take(record, hash) }
        if id.isEmpty { id = newID }
    }

    private mutating func take(_ record: AuditRecord, _ hash: (UInt64) -> String) {
        if let operation = record["op"] { remember(operation, record, hash(record.sequence)) }
        if record.event == AgentJournal.orderExpired { return takeBack(record) }
        guard let event = record.known else { return }
        // `coordinator/ctl-1`; older agents wrote the name alone.
        if event == .partAccepted, let by = record.by { partFrom = CoordinatorName(by.split(separator: "/").last.map(String.init) ?? by) }
        if event == .agentStart {
            // Nothing outlives its boot.
            if let boot = record["boot_id"], boot != bootID { for service in workers.keys { workers[service]?.strayed = nil } }
            bootID = record["boot_id"] ?? bootID
            if id.isEmpty { id = record["journal"] ?? "" }
            return
        }
        if event == .startupStart || event == .shutdownStart || event == .quiesceStart || event == .resumeStart {
            lastRun = max(lastRun, record.run ?? 0)
        }
        guard let name = record.worker else { return }
        let service = WorkerName(name)?.service.raw ?? name
        var worker = workers[service] ?? Worker()
        if let generation = record["generation"].flatMap({ UInt64($0) }) { worker.generation = max(worker.generation, generation) }
        if let operation = record["op"], beforeOrder[service]?.operation != operation {
            beforeOrder[service] = BeforeOrder(operation: operation, worker: worker)
        }
        switch event {
        case .workerStart:
            beforeOrder[service]?.isStart = record["op"] != nil
            worker.begin(record["launch"] ?? "")
            worker.trace = LaunchTrace { record[$0] }
            worker.want(true, record)
            worker.restarts = 0
            worker.backoffStep = 0
            worker.starts = [record.unixMicroseconds]
        case .workerRestart:
            worker.begin(record["launch"] ?? "")
            worker.trace = LaunchTrace { record[$0] }
            worker.restartIntended = true
            worker.restarts += 1
            worker.backoffStep = Self.number(record["step"]) ?? worker.backoffStep + 1
            worker.starts.append(record.unixMicroseconds)
            worker.keepStarts(Self.number(record["starts"]) ?? worker.starts.count)
        case .workerLaunched:
            worker.restartIntended = false
            worker.wasSeen = true
            worker.trace = LaunchTrace { record[$0] } ?? worker.trace
        case .workerAdopted:
            // Of an agent whose journal did not have it.
            if let launch = record["launch"], launch != worker.launch { worker.begin(launch) }
            worker.wasSeen = true
            worker.trace = LaunchTrace { record[$0] } ?? worker.trace
        case .workerReady:
            worker.ready = true
            worker.history.ready(LaunchID(worker.launch))
            worker.readyUnixMicroseconds = record.unixMicroseconds
        case .workerUnhealthy: if record["left_alone"] == nil { worker.unhealthy = record["why"] ?? "" }
        case .workerSignal, .workerKill, .holdWait, .emergencyKill, .workerHold:
            worker.stopping = true
            if event == .emergencyKill { worker.want(false, record, by: "emergency stop \(record["latch"] ?? "")") }
            if record["op"] != nil, event == .workerSignal || event == .workerKill { worker.want(false, record) }
            // From here on it is an order's stop, or a latch's.
            if event == .emergencyKill || (event != .holdWait && record["op"] != nil) { worker.unhealthy = nil }
        case .workerDumping:
            if record["stopping"] == "true" {
                worker.stopping = true
                if record["op"] != nil { worker.unhealthy = nil }
            }
        case .holdRelease:
            worker.stopping = record["kill"] == "true"
            if !worker.stopping {
                worker.unhealthy = nil
                worker.want(true, record)
            }
        case .workerQuiesced: worker.quiesced = true
        case .workerResumed: worker.quiesced = false
        case .workerExit, .workerStop, .workerLaunchFailed:
            if event == .workerStop, record["op"] != nil { worker.want(false, record) }
            if let latch = record["latch"] { worker.want(false, record, by: "emergency stop \(latch)") }
            worker.end(record, event)
        case .workerFailed:
            worker.failed = record["why"] ?? ""
            worker.restartPending = false
        case .workerVerified:
            if let launch = record["launch"], launch == worker.endedLaunch {
                worker.verification = Verification({ record[$0] }, at: .zero)
                worker.verifiedUnixMicroseconds = record.unixMicroseconds
            }
        case .workerLocked: worker.lock = Self.mark(record)
        case .workerUnlocked: worker.lock = nil
        case .workerNoted: worker.remark = record["text"]?.isEmpty == false ? Self.mark(record) : nil
        default: break
        }
        workers[service] = worker
    }

    /// What the records of an expired order announced was not done: the worker is as this one says.
    private mutating func takeBack(_ record: AuditRecord) {
        if let operation = record["op"] {
            operations[operation] = nil
            operationOrder.removeAll { $0 == operation }
        }
        guard let name = record.worker else { return }
        let service = WorkerName(name)?.service.raw ?? name
        if let before = beforeOrder[service], before.operation == record["op"] {
            let generation = workers[service]?.generation ?? 0
            if before.isStart { workers[service] = before.worker }
            workers[service]?.wanted = before.worker.wanted
            workers[service]?.generation = max(generation, before.worker.generation)
        }
        workers[service]?.stopping = record["stopping"] == "true"
        workers[service]?.open = record["open"] == "true"
    }

    private static func number(_ text: String?) -> Int? { text.flatMap { Int($0) }.map { max(0, $0) } }

    private static func mark(_ record: AuditRecord) -> Mark {
        Mark(
            by: record.by ?? "", text: record["text"] ?? record.reason ?? "",
            unixMicroseconds: record["unix_us"].flatMap { UInt64($0) } ?? record.unixMicroseconds)
    }

    /// Reads back what `WorkerExit.fields` and the shell wrote.
    fileprivate static func exit(_ record: AuditRecord) -> WorkerExit? {
        guard let words = record["exit"] else { return nil }
        let parts = words.split(separator: " ")
        let number = parts.count > 1 ? Int32(parts[1].filter { $0 != "," }) : nil
        let how: WorkerExit.How =
            switch (parts.first, number) {
            case ("exit", let code?): .exited(code)
            case ("signal", let signal?): .signalled(signal, core: words.hasSuffix("core dumped"))
            default: .unknown
            }
        var notified: [String: String] = [:]
        for field in record.fields where WorkerExit.keeps(field.key) { notified[field.key] = field.value }
        var exit = WorkerExit(
            how: how, killedByLatch: record["latch"], notified: notified, saidStopping: record["said_stopping"] == "true",
            status: record["status"] ?? "", tree: TreeEnd(field: { record[$0] }),
            at: BootTime(nanoseconds: record["gone_boottime_ns"].flatMap { UInt64($0) } ?? 0))
        exit.isTreeInDoubt = record[WorkerExit.doubtField] == "true"
        return exit
    }

    private mutating func remember(_ operation: String, _ record: AuditRecord, _ hash: String) {
        if operations[operation] == nil {
            operationOrder.append(operation)
            if operationOrder.count > Self.operationsKept { operations[operationOrder.removeFirst()] = nil }
        }
        var citation = WireRecordCitation()
        citation.sequence = record.sequence
        citation.hash = hash
        citation.event = record.event
        citation.unixUs = record.unixMicroseconds
        operations[operation, default: []].append(citation)
    }
}

extension AgentJournalFold.Worker {
    fileprivate mutating func want(_ isUp: Bool, _ record: AuditRecord, by: String? = nil) {
        wanted = AgentJournalFold.Wish(isUp: isUp, by: by ?? record.by ?? "", reason: record.reason ?? "", unixMicroseconds: record.unixMicroseconds)
    }

    fileprivate mutating func end(_ record: AuditRecord, _ event: AuditEvent) {
        if open, event != .workerLaunchFailed { endedLaunch = launch }
        if open {
            let neverRan = event == .workerLaunchFailed && record[LaunchAccount.lateField] == nil
            let exit = AgentJournalFold.exit(record) ?? WorkerExit(how: .unknown, at: .zero)
            history.end(LaunchID(launch), neverRan ? .never : .ended(exit))
            if exit.isTreeInDoubt { strayed = strayed ?? launch }
        }
        if open { downUnixMicroseconds = record.unixMicroseconds }
        open = false
        stopping = false
        restartIntended = false
        unhealthy = nil
        readyUnixMicroseconds = nil
        restartPending = record["next"] == "restart"
        failed = event == .workerLaunchFailed && record["next"] == "failed" ? record["why"] ?? "" : nil
        if restartPending {
            backoffStep = record["step"].flatMap { Int($0) }.map { max(0, $0) } ?? backoffStep
            keepStarts(record["starts"].flatMap { Int($0) } ?? starts.count)
        }
        if let exit = AgentJournalFold.exit(record) { self.exit = exit }
    }

    /// The newest `count`: those before lie outside the window, or were earned back.
    fileprivate mutating func keepStarts(_ count: Int) { starts = Array(starts.suffix(min(max(0, count), AgentJournalFold.startsKept))) }
}

// MARK: For the machines

extension AgentJournalFold {
    /// What a machine must know of the agent before. What is of another boot restarts nothing and limits nothing.
    ///
    /// `unixNow` in microseconds and `bootNow` are one instant: the records have only the wall clock's time.
    func past(of service: String, rebooted: Bool, unixNow: UInt64, bootNow: BootTime) -> WorkerMachine.Past {
        var past = WorkerMachine.Past()
        past.history.journal = id
        guard let worker = workers[service] else { return past }
        func boot(_ unix: UInt64) -> BootTime {
            // A wall clock that was set back makes records of the future: they are of now.
            bootNow + (.zero - .microseconds(Int64(clamping: unixNow > unix ? unixNow - unix : 0)))
        }
        past.generation = worker.generation
        past.restarts = worker.restarts
        past.lastExit = worker.exit
        past.lastLaunch = worker.endedLaunch.isEmpty ? nil : LaunchID(worker.endedLaunch)
        past.history = LaunchHistory(worker.history.launches, journal: id)
        past.wanted = worker.wanted.map { Wanted(isUp: $0.isUp, by: $0.by, reason: $0.reason, since: rebooted ? .zero : boot($0.unixMicroseconds)) }
        past.verification = worker.verification.map { Verification($0.checks, at: rebooted ? .zero : boot(worker.verifiedUnixMicroseconds)) }
        past.failed = worker.failed
        past.lock = worker.lock
        past.remark = worker.remark
        guard !rebooted else { return past }
        past.strayed = worker.strayed.map { LaunchID($0) }
        if !worker.open { past.downSince = worker.downUnixMicroseconds.map(boot) }
        past.recentStarts = worker.starts.map(boot)
        past.backoffStep = worker.backoffStep
        past.readySince = worker.readyUnixMicroseconds.map(boot)
        past.unhealthy = worker.stopping ? worker.unhealthy : nil
        past.restartPending = worker.restartPending || (worker.open && worker.restartIntended)
        if worker.restartPending, let exit = worker.exit, exit.at > .zero { past.backoffSince = exit.at }
        return past
    }
}
