import FleetCore

/// What an honest agent answers about a worker that has ended well.
extension Verification.Check {
    static let allClear: [Verification.Check] = Verification.What.allCases.map { Verification.Check($0, $0 == .marker ? .unchecked : .clear) }
}

extension LaunchHistory {
    /// One launch, ended so.
    static func one(_ exit: WorkerExit, wasReady: Bool = true) -> LaunchHistory {
        LaunchHistory([LaunchAccount(number: 1, launch: "l1", wasReady: wasReady, end: .ended(exit))])
    }
}

extension RunReply.Done {
    static func gone(_ exit: WorkerExit? = WorkerExit(how: .exited(0), tree: TreeEnd(), at: .zero)) -> RunReply.Done {
        RunReply.Done(treeEmpty: true, exit: exit, checks: Verification.Check.allClear, launches: exit.map { .one($0) } ?? LaunchHistory())
    }
}

extension StopVerdict {
    static func judge(_ machine: RunMachine, ending: String? = nil) -> StopVerdict {
        judge(plan: machine.plan, inventory: machine.inventory, evidence: machine.evidence, book: machine.book, ending: ending)
    }

    static func judge(plan: Plan, inventory: Inventory, evidence: RunEvidence, book: LedgerBook, ending: String? = nil) -> StopVerdict {
        let lines = Ledger(inventory: inventory, book: book, evidence: evidence).lines(of: plan)
        return StopVerdict(StopCoverage(plan: plan, inventory: inventory, evidence: evidence, ledger: lines, ending: ending))
    }
}
