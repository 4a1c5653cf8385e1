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

    package var marks: [Mark] = []
    package var tierOrder: [Tier] = []
    package var stops: [WorkerName: Stopped] = [:]
    package var stopsInTier: [TierName: [WorkerName]] = [:]
    package var held: Set<WorkerName> = []
    package var gates: [GateQuestion: String] = [:]
    package var overrides: [String] = []
    package var attestedOff: Set<HostName> = []
    package var before: [StreamReading] = []
    package var after: [StreamReading] = []
    /// Two equal readings were had.
    package var settled = false
    package var readingProblems: [String] = []
    /// Hosts that said during the run that an emergency stop holds over their own workers, with the last one's id.
    package var hostLatches: [HostName: String] = [:]
    /// The counters of live workers, as last read by snapshots and drains.
    package var snapshots: [WorkerName: [String: Int64]] = [:]
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

    mutating func verified(_ worker: WorkerName, _ done: RunReply.Done) {
        stops[worker]?.treeEmpty = done.treeEmpty
        if !done.checks.isEmpty { stops[worker]?.checks = done.checks }
    }

    /// What the producers of a stream said they produced, in their last words before a clean end; nil when one of them
    /// did not say.
    package func producedFinally(_ stream: StreamSpec, _ inventory: Inventory) -> Int64? {
        guard let counter = stream.produced else { return nil }
        var counts: [Int64] = []
        for producer in stream.from {
            guard let service = inventory.service(producer), let spec = service.counters.first(where: { $0.name == counter }) else { return nil }
            for host in service.hosts {
                guard let exit = stops[WorkerName(producer, on: host)]?.exit, exit.isClean, case .notify(let key) = spec.how,
                    case .success(let value)? = exit.notified[key].map({ Bounded.count($0) })
                else { return nil }
                counts.append(value)
            }
        }
        return Bounded.sum(counts)
    }

    /// A counter of a service over its hosts: from its last words, else as last read while it lived.
    package func counter(_ name: String, of service: ServiceName, _ inventory: Inventory) -> Int64? {
        guard let spec = inventory.service(service), let counter = spec.counters.first(where: { $0.name == name }) else { return nil }
        var counts: [Int64] = []
        for host in spec.hosts {
            let worker = WorkerName(service, on: host)
            var value: Int64?
            if case .notify(let key) = counter.how, case .success(let last)? = stops[worker]?.exit?.notified[key].map({ Bounded.count($0) }) { value = last }
            guard let found = value ?? snapshots[worker]?[name] else { return nil }
            counts.append(found)
        }
        return Bounded.sum(counts)
    }
}
