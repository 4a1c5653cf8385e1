/// One thing that a stop's verdict speaks of, and what covers it (law 6).
package struct CoverageItem: Equatable, Sendable {
    package enum What: String, Sendable, CaseIterable {
        case run, host, worker, exit, tree, check, state, quiesce, gate, stream, latch, override, unseen
    }

    package enum Evidence: String, Sendable {
        case measured, reported, attested
        /// Nothing covers it.
        case none
    }

    package var what: What
    /// `order-gateway@ex-1`, `ticks -> recorder`, …
    package var subject: String
    package var evidence: Evidence
    /// When the evidence came, by the coordinator's wall clock; 0: it is not of one moment, or there is none.
    package var unixMicroseconds: UInt64
    package var verdict: Verdict
    /// Why it is less than proven, else what covers it.
    package var text: String

    package init(_ what: What, _ subject: String, _ evidence: Evidence, at unixMicroseconds: UInt64, _ verdict: Verdict, _ text: String) {
        self.what = what
        self.subject = subject
        self.evidence = evidence
        self.unixMicroseconds = unixMicroseconds
        self.verdict = verdict
        self.text = text
    }
}

/// Everything in the scope of a stop, each with what covers it. What is in scope is read off the plan and the inventory, never off the
/// evidence: what nobody said stays on the list, uncovered.
package struct StopCoverage: Equatable, Sendable {
    package private(set) var items: [CoverageItem] = []
    private let plan: Plan
    private let inventory: Inventory
    private let evidence: RunEvidence

    /// `ending` is how the run ended; nil: it went to its end.
    package init(plan: Plan, inventory: Inventory, evidence: RunEvidence, ledger: [LedgerLine], ending: String?) {
        self.plan = plan
        self.inventory = inventory
        self.evidence = evidence
        if let ending {
            lack(.run, "run", .measured, "the run did not end: \(ending)")
        } else {
            add(.run, "run", .measured, "every step has ended")
        }
        for text in plan.unseen + evidence.unseen.filter({ !plan.unseen.contains($0) }) { lack(.unseen, String(text.prefix { $0 != " " }), .none, text) }
        let hosts = Set(plan.covered.map(\.host))
        for host in hosts.sorted() { cover(host) }
        // What a contested host says of a stream, or of the other end of one, may be the other instance's word.
        for (host, how) in evidence.contested.sorted(by: { $0.key < $1.key }) where !hosts.contains(host) { lackContested(host, how) }
        for worker in plan.workers { cover(worker) }
        for worker in plan.stoppedBefore { coverStoppedBefore(worker) }
        for worker in plan.covered where evidence.launchedAgain.contains(worker) {
            lack(.unseen, worker.description, .measured, "\(worker) was launched again while the stop was under way")
        }
        for step in plan.steps {
            switch step.what {
            case .quiesce(let workers): for worker in workers { coverQuiesce(worker) }
            case .gate(let questions): for question in questions { coverGate(question) }
            default: break
            }
        }
        for line in ledger {
            let subject = "\(line.stream) -> \(line.consumer)"
            let isMeasured = [line.produced, line.applied, line.inFlight, line.buffered, line.discarded].allSatisfy { $0.evidence == .measured }
            let kind: CoverageItem.Evidence = line.difference == nil ? .none : isMeasured ? .measured : .reported
            if line.verdict == .proven {
                add(.stream, subject, kind, line.note)
            } else {
                lack(.stream, subject, kind, verdict: line.verdict, "\(subject): \(line.note)")
            }
        }
        coverStreams(ledger)
        for (host, latch) in evidence.hostLatches.sorted(by: { $0.key < $1.key }) {
            lack(.latch, host.raw, .reported, "\(host) said during the run that emergency stop \(latch) holds over its workers")
        }
        for override in evidence.overrides { lack(.override, "override", .attested, override) }
        for (host, how) in evidence.settledHosts.sorted(by: { $0.key < $1.key }) {
            add(.host, host.raw, .attested, "what else may have run on \(host) is \(how)")
        }
    }

    private mutating func add(_ what: CoverageItem.What, _ subject: String, _ kind: CoverageItem.Evidence, at moment: Moment? = nil, _ text: String) {
        items.append(CoverageItem(what, subject, kind, at: moment?.unixMicroseconds ?? 0, .proven, text))
    }

    /// What makes the verdict less than proven.
    private mutating func lack(
        _ what: CoverageItem.What, _ subject: String, _ kind: CoverageItem.Evidence, verdict: Verdict = .unproven, _ text: String
    ) {
        items.append(CoverageItem(what, subject, kind, at: 0, verdict, text))
    }

    // MARK: Hosts

    private mutating func cover(_ host: HostName) {
        if let how = evidence.contested[host] {
            lackContested(host, how)
        } else if evidence.attestedOff.contains(host) {
            add(.host, host.raw, .attested, "attested powered off")  // the override says the rest
        } else if let heard = evidence.heard[host] {
            add(.host, host.raw, .measured, at: heard, "answered on its session")
        } else {
            lack(.host, host.raw, .none, "\(host) answered nothing in this run")
        }
    }

    private mutating func lackContested(_ host: HostName, _ how: String) {
        lack(.host, host.raw, .none, "two instances of \(host) live (\(how)): what one says is not true of the other")
    }

    // MARK: Workers

    private mutating func cover(_ worker: WorkerName) {
        let name = worker.description
        guard let stop = evidence.stops[worker] else {
            return lack(.worker, name, .none, "\(worker) was not shown stopped")
        }
        if stop.attested { return add(.worker, name, .attested, "its host is attested powered off") }
        if stop.treeEmpty {
            add(.worker, name, .measured, at: evidence.verifiedAt[worker], "its process tree is empty")
        } else {
            lack(.worker, name, .measured, "\(worker)'s process tree was not shown empty")
        }
        if !isLookedAtLast(worker) { lack(.worker, name, .none, "\(worker) was not looked at again at the end") }
        if stop.killed { lack(.exit, name, .measured, "\(worker) was killed: it could not finish") }
        coverEnd(of: worker, exit: stop.exit, checks: stop.checks, killed: stop.killed, saying: stop.status)
        coverState(worker)
    }

    /// A worker of the scope that was stopped when the run began: what its own stop was less than proven for, this one does not make good.
    private mutating func coverStoppedBefore(_ worker: WorkerName) {
        guard let look = evidence.looks[worker] else {
            return lack(.worker, worker.description, .none, "\(worker) was stopped before, which this run did not see")
        }
        if look.treeEmpty, !isLookedAtLast(worker) {
            lack(.worker, worker.description, .none, "\(worker) was stopped before, and was not looked at again at the end")
        } else if look.treeEmpty {
            add(.worker, worker.description, .measured, at: evidence.verifiedAt[worker], "stopped before; its process tree is empty")
        } else {
            lack(.worker, worker.description, .none, "\(worker) was stopped before, which this run did not see: \(look.problem)")
        }
        var exit: WorkerExit?
        if case .ended(let last)? = evidence.launches[worker]?.launches.last(where: { $0.end != .never })?.end { exit = last }
        coverEnd(of: worker, exit: exit, checks: look.checks)
        coverState(worker)
    }

    /// Whether it was looked at once everything else was over: what starts while the counts are read was not seen before.
    private func isLookedAtLast(_ worker: WorkerName) -> Bool {
        guard let at = evidence.verifiedAt[worker] else { return false }
        return evidence.lastLookBegan.map { at.boot >= $0.boot } ?? true
    }

    // MARK: Ends

    /// How a worker's last launch ended, and what it left; one rule, whichever run or latch ended it.
    private mutating func coverEnd(
        of worker: WorkerName, exit: WorkerExit?, checks: [Verification.Check], killed: Bool = false, saying status: String = ""
    ) {
        coverChecks(checks, of: worker, killed: killed)
        let name = worker.description
        guard let exit else {
            if !neverRan(worker) {
                let forgotten = ": it has run, and its agent's journal, begun anew since, knows of no launch. Was the old one lost?"
                lack(.exit, name, .none, "how \(worker) ended is not known\(saysNeverRan(worker) ? forgotten : "")")
            }
            return
        }
        let isClean = (inventory.declared(worker)?.stop ?? StopSpec()).isClean(exit)
        if isClean {
            add(.exit, name, .measured, exit.words)
        } else if !killed {
            lack(.exit, name, .measured, "\(worker) ended with \(exit.words)\(status.isEmpty ? "" : ", saying \"\(status)\"")")
        }
        guard !killed, exit.how != .unknown else { return }
        coverTree(exit.tree, of: worker)
    }

    /// A grace belongs to the whole tree: what was killed of it could not finish.
    private mutating func coverTree(_ tree: TreeEnd?, of worker: WorkerName) {
        let name = worker.description
        guard let tree else {
            return lack(
                .tree, name, .none, "whether others of \(worker)'s processes were killed is not known: its shim is older. Its next start brings a newer one")
        }
        guard !tree.isDeclared, !tree.words.isEmpty else { return add(.tree, name, .measured, tree.words.isEmpty ? "none of it was killed" : tree.words) }
        lack(.tree, name, .measured, "\(worker) ended and left processes that did not: \(tree.words)")
    }

    /// Whether no process of it has ever run there, so that none can have left anything: its agent says so, by a journal that would know.
    private func neverRan(_ worker: WorkerName) -> Bool {
        guard saysNeverRan(worker) else { return false }
        guard let journal = evidence.ranUnder[worker], !journal.isEmpty else { return true }
        return evidence.launches[worker]?.journal == journal
    }

    private func saysNeverRan(_ worker: WorkerName) -> Bool {
        guard let launches = evidence.launches[worker]?.launches else { return false }
        return launches.allSatisfy { $0.end == .never } && launches.first.map { $0.number == 1 } ?? true
    }

    private mutating func coverChecks(_ checks: [Verification.Check], of worker: WorkerName, killed: Bool) {
        for what in Verification.What.allCases where what != .tree {
            let subject = "\(worker) \(what.rawValue)"
            guard let check = checks.first(where: { $0.what == what }) else {
                if !neverRan(worker) { lack(.check, subject, .none, "\(worker), \(what.rawValue) was not looked at") }
                continue
            }
            let text = check.text.isEmpty ? check.what.rawValue : check.text
            switch check.state {
            case .left: lack(.check, subject, .measured, "\(worker) left behind: \(text)")
            // That a killed worker left no marker is no news beside that it was killed.
            case .unknown where !(what == .marker && killed): lack(.check, subject, .none, "\(worker), \(what.rawValue) unknown: \(text)")
            case .clear: add(.check, subject, what == .marker ? .reported : .measured, at: evidence.verifiedAt[worker], text)
            case .unchecked where isDeclared(what, worker):
                lack(.check, subject, .none, "\(worker), \(what.rawValue) was not looked at, though the inventory declares it")
            case .unknown, .unchecked: break
            }
        }
    }

    /// Whether the inventory has something to look at: what its agent calls undeclared then was left out.
    private func isDeclared(_ what: Verification.What, _ worker: WorkerName) -> Bool {
        guard let release = inventory.declared(worker)?.release else { return false }
        return switch what {
        case .tree, .sockets: false
        case .hugepages: !release.hugepages.isEmpty || release.hugepageMount != nil
        case .locks: !release.lockFiles.isEmpty
        case .pidFile: release.pidFile != nil
        case .marker: release.markerFile != nil
        }
    }

    private mutating func coverState(_ worker: WorkerName) {
        let declared = inventory.declared(worker)?.stateFiles.count ?? 0
        guard declared > 0, !neverRan(worker) else { return }
        let digests = evidence.stateFiles[worker] ?? [:]
        if let (path, why) = digests.filter({ $0.value.hasPrefix("unreadable") }).min(by: { $0.key < $1.key }) {
            lack(.state, worker.description, .none, "state file \(path) of \(worker) is \(why)")
        } else if digests.count < declared {
            lack(.state, worker.description, .none, "\(digests.count) of \(declared) state files of \(worker) were recorded")
        } else {
            add(.state, worker.description, .measured, "\(declared) state file\(declared == 1 ? "" : "s") recorded")
        }
    }

    // MARK: Quiesce, gates, streams

    private func isOverridden(gate: String) -> Bool { evidence.overrides.contains { $0.hasPrefix("gate \(gate) overridden") } }

    private mutating func coverQuiesce(_ worker: WorkerName) {
        let name = worker.description
        if let at = evidence.quiesced[worker] {
            add(.quiesce, name, .reported, at: at, "quiesced")
        } else if isOverridden(gate: RunMachine.quiesceGate) || evidence.attestedOff.contains(worker.host) {
            add(.quiesce, name, .attested, "overridden")
        } else {
            lack(.quiesce, name, .none, "\(worker) was not shown quiesced")
        }
    }

    private mutating func coverGate(_ question: GateQuestion) {
        let subject = "\(question.gate) of \(question.owner)@\(question.host)"
        if let value = evidence.gates[question] {
            add(.gate, subject, .reported, "\(question.gate) \(value)")
        } else if isOverridden(gate: question.gate) {
            add(.gate, subject, .attested, "overridden")
        } else {
            lack(.gate, subject, .none, "the gate \(question.description) was not shown to hold")
        }
    }

    /// Every stream with an end among the workers of the plan has a line.
    private mutating func coverStreams(_ ledger: [LedgerLine]) {
        let ending = plan.ending
        for stream in inventory.streams {
            let feeds = stream.from.contains(where: ending.contains)
            for consumer in stream.to where feeds || ending.contains(consumer.service) {
                if ledger.contains(where: { $0.stream == stream.name && $0.consumer == consumer.service }) { continue }
                let subject = "\(stream.name) -> \(consumer.service)"
                lack(.stream, subject, .none, "\(subject) was not counted")
            }
        }
    }
}

extension StopVerdict {
    package init(_ coverage: StopCoverage) {
        let found = coverage.items.filter { $0.verdict != .proven }
        self.init(
            verdict: found.map(\.verdict).max() ?? .proven,
            because: found.filter { $0.verdict == .contradicted }.map(\.text) + found.filter { $0.verdict != .contradicted }.map(\.text))
    }
}
