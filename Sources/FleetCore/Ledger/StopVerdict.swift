/// What a stop has shown, and why it is not more.
package struct StopVerdict: Equatable, Sendable {
    package var verdict: Verdict
    /// One sentence each, the worst first; empty only when proven.
    package var because: [String]

    package init(verdict: Verdict, because: [String]) {
        self.verdict = verdict
        self.because = because
    }

    /// Judges a stop by its evidence. `ending` is how the run ended; nil: it went to its end.
    package static func judge(plan: Plan, evidence: RunEvidence, ledger: [LedgerLine], ending: String?) -> StopVerdict {
        var found: [(Verdict, String)] = []
        if let ending { found.append((.unproven, "the run did not end: \(ending)")) }
        for worker in plan.workers {
            guard let stop = evidence.stops[worker] else {
                found.append((.unproven, "\(worker) was not shown stopped"))
                continue
            }
            if stop.attested { continue }  // the override says so already
            if !stop.treeEmpty { found.append((.unproven, "\(worker)'s process tree was not shown empty")) }
            for check in stop.checks where check.what != .tree {
                let what = check.text.isEmpty ? check.what.rawValue : check.text
                switch check.state {
                case .left: found.append((.unproven, "\(worker) left behind: \(what)"))
                // That a killed worker left no marker is no news beside that it was killed.
                case .unknown where !(check.what == .marker && stop.killed): found.append((.unproven, "\(worker), \(check.what.rawValue) unknown: \(what)"))
                case .unknown, .clear, .unchecked: break
                }
            }
            if stop.killed { found.append((.unproven, "\(worker) was killed: it could not finish")) }
            found += tree(of: stop, worker)
            if let exit = stop.exit, !exit.isClean, !stop.killed {
                found.append((.unproven, "\(worker) ended with \(exit.words)\(stop.status.isEmpty ? "" : ", saying \"\(stop.status)\"")"))
            }
        }
        for (host, latch) in evidence.hostLatches.sorted(by: { $0.key < $1.key }) {
            found.append((.unproven, "\(host) said during the run that emergency stop \(latch) holds over its workers"))
        }
        for override in evidence.overrides { found.append((.unproven, override)) }
        for line in ledger where line.verdict != .proven {
            found.append((line.verdict, "\(line.stream) -> \(line.consumer): \(line.note)"))
        }
        let worst = found.map(\.0).max() ?? .proven
        let sorted = found.filter { $0.0 == .contradicted }.map(\.1) + found.filter { $0.0 != .contradicted }.map(\.1)
        return StopVerdict(verdict: worst, because: sorted)
    }

    /// A grace belongs to the whole tree. A worker that this run has not signalled was stopped before: its tree was an earlier stop's.
    private static func tree(of stop: RunEvidence.Stopped, _ worker: WorkerName) -> [(Verdict, String)] {
        guard !stop.killed, stop.signalledUnixMicroseconds > 0, let exit = stop.exit, exit.how != .unknown else { return [] }
        guard let tree = exit.tree else {
            return [(.unproven, "whether others of \(worker)'s processes were killed is not known: its shim is older. Its next start brings a newer one")]
        }
        guard !tree.isDeclared, !tree.words.isEmpty else { return [] }
        return [(.unproven, "\(worker) ended and left processes that did not: \(tree.words)")]
    }
}
