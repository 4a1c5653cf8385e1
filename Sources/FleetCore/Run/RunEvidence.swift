/// What a run has learned, from which its certificate is made.
package struct RunEvidence: Equatable, Sendable {
    package struct Mark: Equatable, Sendable {
        package var label: String
        package var what: String
        package var began: Moment?
        package var ended: Moment
        package var proven: Bool
    }

    package struct Tier: Equatable, Sendable {
        package var name: TierName
        package var began: Moment
        package var ended: Moment?
        package var proven = false
    }

    package struct Stopped: Equatable, Sendable {
        package var worker: WorkerName
        package var treeEmpty: Bool
        package var killed: Bool
        /// A person's word, not a measurement.
        package var attested: Bool
        package var exit: WorkerExit?
        package var status: String
        package var signalledUnixMicroseconds: UInt64
        package var goneUnixMicroseconds: UInt64
        package var citations: [String]
        /// What was looked at after its end; the last look counts.
        package var checks: [Verification.Check]

        package init(
            worker: WorkerName, treeEmpty: Bool, killed: Bool, attested: Bool, exit: WorkerExit?, status: String, signalledUnixMicroseconds: UInt64,
            goneUnixMicroseconds: UInt64, citations: [String], checks: [Verification.Check] = []
        ) {
            self.worker = worker
            self.treeEmpty = treeEmpty
            self.killed = killed
            self.attested = attested
            self.exit = exit
            self.status = status
            self.signalledUnixMicroseconds = signalledUnixMicroseconds
            self.goneUnixMicroseconds = goneUnixMicroseconds
            self.citations = citations
            self.checks = checks
        }

        /// Something of it is still there.
        package var leavesAnything: Bool { checks.contains { $0.state == .left } }
    }

    package struct Look: Equatable, Sendable {
        package var treeEmpty: Bool
        /// Why it is not shown empty; empty: it is.
        package var problem: String
        /// What its last launch has left.
        package var checks: [Verification.Check]

        package init(treeEmpty: Bool, problem: String = "", checks: [Verification.Check] = []) {
            self.treeEmpty = treeEmpty
            self.problem = problem
            self.checks = checks
        }
    }

    package var marks: [Mark] = []
    package var tierOrder: [Tier] = []
    package var stops: [WorkerName: Stopped] = [:]
    package var stopsInTier: [TierName: [WorkerName]] = [:]
    package var held: Set<WorkerName> = []
    package var gates: [GateQuestion: String] = [:]
    package var overrides: [String] = []
    package var attestedOff: Set<HostName> = []
    /// Hosts of which a person has said, since the last certificate that speaks of them, that nothing else runs there: who and why.
    package var settledHosts: [HostName: String] = [:]
    package var after: [StreamReading] = []
    /// Two equal readings were had.
    package var settled = false
    package var readingProblems: [String] = []
    /// Hosts that said during the run that an emergency stop holds over their own workers, with the last one's id.
    package var hostLatches: [HostName: String] = [:]
    /// The counters of live workers, as last read by snapshots and drains.
    package var snapshots: [WorkerName: [String: Int64]] = [:]
    /// The launches of each worker, as its agent told them last.
    package var launches: [WorkerName: LaunchHistory] = [:]
    /// Workers that were launched after they had been shown stopped.
    package var launchedAgain: Set<WorkerName> = []
    /// Workers that were seen to run since a stop of them was proven last, with the journal of the agent that said so; empty: not known.
    package var ranUnder: [WorkerName: String] = [:]
    /// Path to digest of each worker's declared state files.
    package var stateFiles: [WorkerName: [String: String]] = [:]
    package var quiesced: [WorkerName: Moment] = [:]
    /// When each host answered last.
    package var heard: [HostName: Moment] = [:]
    /// When each worker's absence was looked at last.
    package var verifiedAt: [WorkerName: Moment] = [:]
    /// When the last step began that looks at every covered worker; nil: none has begun.
    package var lastLookBegan: Moment?
    /// Workers that the run has not stopped, looked at as what was stopped before.
    package var looks: [WorkerName: Look] = [:]
    /// What was seen at the end that a stop of everything does not cover, one sentence each.
    package var unseen: [String] = []
    /// Hosts of which a second living instance was seen during the run, and how.
    package var contested: [HostName: String] = [:]
    private var tierInProgress: TierName?

    package init() {}

    mutating func tierBegan(_ tier: TierName, _ now: Moment) {
        tierInProgress = tier
        if !tierOrder.contains(where: { $0.name == tier }) { tierOrder.append(Tier(name: tier, began: now)) }
    }

    /// Returns whether every worker of the tier is shown gone by measurement.
    mutating func tierEnded(_ tier: TierName, _ now: Moment) -> Bool {
        guard let index = tierOrder.firstIndex(where: { $0.name == tier }) else { return false }
        tierOrder[index].ended = now
        tierOrder[index].proven = (stopsInTier[tier] ?? []).allSatisfy { stops[$0].map { $0.treeEmpty && !$0.attested && !$0.leavesAnything } ?? false }
        return tierOrder[index].proven
    }

    /// A repeated stop looks again; what the first one did stays true.
    mutating func stopped(_ worker: WorkerName, _ done: RunReply.Done) {
        let before = stops[worker]
        stops[worker] = Stopped(
            worker: worker, treeEmpty: done.treeEmpty, killed: done.killed, attested: false, exit: done.exit, status: done.status,
            signalledUnixMicroseconds: done.signalledUnixMicroseconds, goneUnixMicroseconds: done.goneUnixMicroseconds, citations: done.citations,
            checks: done.checks)
        if let before, !before.attested {
            stops[worker]?.killed = before.killed || done.killed
            stops[worker]?.exit = done.exit ?? before.exit
            if done.signalledUnixMicroseconds == 0 { stops[worker]?.signalledUnixMicroseconds = before.signalledUnixMicroseconds }
            if done.goneUnixMicroseconds == 0 { stops[worker]?.goneUnixMicroseconds = before.goneUnixMicroseconds }
            stops[worker]?.citations = before.citations + done.citations.filter { !before.citations.contains($0) }
        }
        countInTier(worker)
    }

    /// A retried stop counts once.
    private mutating func countInTier(_ worker: WorkerName) {
        guard let tierInProgress, stopsInTier[tierInProgress]?.contains(worker) != true else { return }
        stopsInTier[tierInProgress, default: []].append(worker)
    }

    mutating func attested(_ worker: WorkerName) {
        stops[worker] = Stopped(
            worker: worker, treeEmpty: false, killed: false, attested: true, exit: nil, status: "", signalledUnixMicroseconds: 0,
            goneUnixMicroseconds: 0, citations: [])
        countInTier(worker)
    }

    mutating func verified(_ worker: WorkerName, _ done: RunReply.Done, _ now: Moment) {
        verifiedAt[worker] = now
        guard stops[worker] != nil else {
            looks[worker] = Look(
                treeEmpty: done.treeEmpty, problem: done.treeEmpty ? "" : done.text.isEmpty ? "its tree is not shown empty" : done.text, checks: done.checks)
            return
        }
        stops[worker]?.treeEmpty = done.treeEmpty
        if !done.checks.isEmpty { stops[worker]?.checks = done.checks }
    }

    /// What every answer about a worker may bring.
    mutating func told(_ worker: WorkerName, _ done: RunReply.Done) {
        if let told = done.launches {
            let isStopped = stops[worker] != nil || looks[worker]?.treeEmpty == true
            if isStopped, let before = launches[worker], before.journal == told.journal,
                told.launches.contains(where: { $0.number > before.mark.number && $0.end != .never })
            {
                launchedAgain.insert(worker)
            }
            launches[worker] = told
        }
        if !done.stateFiles.isEmpty { stateFiles[worker] = done.stateFiles }
    }
}
