internal import FleetCore
internal import FleetJournal
internal import FleetWire

/// What the journal says this agent was doing when it last wrote: the agent's state is a fold of its file.
struct AgentJournalFold: Equatable, Sendable {
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
    }

    private(set) var workers: [String: Worker] = [:]
    /// Records of operations that came by order, oldest operation first; at most `operationsKept`.
    private(set) var operations: [String: [WireRecordCitation]] = [:]
    private(set) var bootID: String?
    private(set) var lastRun: UInt64 = 0
    private var operationOrder: [String] = []

    static let operationsKept = 1_024

    /// `hash` tells a record's hash by its sequence; empty where it can't be told.
    init(_ records: some Sequence<AuditRecord> = [], hash: (UInt64) -> String = { _ in "" }) {
        for record in records { take(record, hash) }
    }

    private mutating func take(_ record: AuditRecord, _ hash: (UInt64) -> String) {
        if let operation = record["op"] { remember(operation, record, hash(record.sequence)) }
        if record.event == AgentJournal.orderExpired { return takeBack(record) }
        guard let event = record.known else { return }
        if event == .agentStart {
            bootID = record["boot_id"] ?? bootID
            return
        }
        if event == .startupStart || event == .shutdownStart || event == .quiesceStart || event == .resumeStart {
            lastRun = max(lastRun, record.run ?? 0)
        }
        guard let name = record.worker else { return }
        let service = WorkerName(name)?.service.raw ?? name
        var worker = workers[service] ?? Worker()
        if let generation = record["generation"].flatMap({ UInt64($0) }) { worker.generation = max(worker.generation, generation) }
        switch event {
        case .workerStart, .workerRestart:
            worker.launch = record["launch"] ?? ""
            worker.open = true
            worker.ready = false
            worker.stopping = false
            worker.quiesced = false
            worker.restarts = event == .workerRestart ? worker.restarts + 1 : 0
        case .workerReady: worker.ready = true
        case .workerSignal, .workerKill, .holdWait, .emergencyKill, .workerHold: worker.stopping = true
        case .holdRelease: worker.stopping = record["kill"] == "true"
        case .workerQuiesced: worker.quiesced = true
        case .workerResumed: worker.quiesced = false
        case .workerExit, .workerStop, .workerLaunchFailed:
            worker.open = false
            worker.stopping = false
            if let exit = Self.exit(record) { worker.exit = exit }
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
        workers[service]?.stopping = record["stopping"] == "true"
        workers[service]?.open = record["open"] == "true"
    }

    /// Reads back what `WorkerExit.fields` and the shell wrote.
    private static func exit(_ record: AuditRecord) -> WorkerExit? {
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
        for field in record.fields where field.key.hasPrefix("X_") { notified[field.key] = field.value }
        return WorkerExit(
            how: how, killedByLatch: record["latch"], notified: notified, saidStopping: record["said_stopping"] == "true",
            status: record["status"] ?? "", at: BootTime(nanoseconds: record["gone_boottime_ns"].flatMap { UInt64($0) } ?? 0))
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
