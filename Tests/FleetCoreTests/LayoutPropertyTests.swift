import FleetCore
import TestSupport
import Testing

/// Random machines, random layouts, and a judge that knows nothing of the planner.
struct LayoutPropertyTests {
    @Test("in 5,000 random layouts the planner accepts exactly what the judge finds nothing wrong with")
    func judged() {
        var accepted = 0
        for seed in seeds(5_000, of: "random layouts") {
            var random = SplitMix64(seed: seed)
            let host = RandomHost(&random)
            let plan = LayoutPlanner.plan(host.demand, on: host.topology)
            let judge = LayoutJudge(demand: host.demand, topology: host.topology)
            var faults = judge.violations()
            // Only the planner knows where interrupts go; what it refuses to move it must complain of.
            let stuck = plan.problems.filter { $0.severity == .problem && $0.text.contains("nowhere else to move it") }
            let problems = plan.problems.filter { $0.severity == .problem && !stuck.contains($0) }
            if plan.isPossible { accepted += 1 }
            if faults.isEmpty != problems.isEmpty {
                faults = ["judge: \(faults), planner: \(problems.map(\.text))"]
            } else {
                faults = Self.afterwards(host, plan, judge)
            }
            for fault in faults.prefix(3) { Issue.record("\(fault) [\(howToRepeat(seed, "LayoutPropertyTests"))]") }
            if !faults.isEmpty { break }
        }
        print("random layouts: \(accepted) accepted")
    }

    /// What the changes promise, looked at once they are made.
    private static func afterwards(_ host: RandomHost, _ plan: LayoutPlan, _ judge: LayoutJudge) -> [String] {
        var faults: [String] = []
        guard plan.isPossible else { return [] }
        let after = judge.carriedOut(plan.changes)
        let exclusive = Set(host.demand.workers.flatMap { $0.exclusive?.cpus ?? [] })
        for line in after.interruptLines {
            guard let cpus = line.cpus else { continue }
            if cpus.isEmpty { faults.append("\(line.subject) may go nowhere") }
            if !exclusive.isDisjoint(with: cpus.cpus) { faults.append("\(line.subject) still interrupts a worker") }
            if let declared = host.demand.expect.interfaces[line.interface]?.irqCPUs, !Set(declared.cpus).isSuperset(of: cpus.cpus) {
                faults.append("\(line.subject) isn't where it is declared")
            }
        }
        for wanted in host.demand.hugepages {
            let pool = after.pool(node: wanted.node, pageBytes: wanted.pageBytes)
            let refused = plan.changes.contains {
                guard case .hugepages(wanted.node, wanted.pageBytes, _, _) = $0.what else { return false }
                return $0.refused != nil
            }
            if !refused, let pool, pool.total != wanted.count { faults.append("node \(wanted.node) has \(pool.total) pages, not \(wanted.count)") }
        }
        for change in plan.changes where !change.workers.isEmpty {
            let dead = change.workers.filter { name in host.demand.workers.contains { $0.service == name && $0.pid == nil } }
            if !dead.isEmpty { faults.append("\(change.subject) is said to touch \(dead), not running") }
            if change.refusal(overriding: [], host: "h") == nil { faults.append("\(change.subject) would touch a live worker unasked") }
        }
        // Planning again, there is nothing left but what is refused.
        let again = LayoutPlanner.plan(host.demand, on: after).changes.filter { $0.refused == nil }
        if !again.isEmpty { faults.append("planned twice: \(again.map(\.subject))") }
        // And a verification of it finds neither pages nor interrupts astray, but for pages that were refused.
        let drift = LayoutVerifier.verify(host.demand, topology: after, observation: LayoutObservation()).drift
        let astray = drift.filter { $0.slug == .irqAffinity || ($0.slug == .hugepages && !$0.subject.hasPrefix("free ")) }
        if !astray.isEmpty { faults.append("drift after a plan was carried out: \(astray)") }
        return faults
    }
}
