import Testing

@testable import FleetCore

/// What a verdict makes of what a main process left of its tree.
struct StopVerdictTests {
    /// Of a stop in which everything else is in order.
    private func verdict(_ tree: TreeEnd?, inventory: Inventory = RunFixture.inventory) throws -> StopVerdict {
        var run = try RunFixture(inventory: inventory)
        run.ends["gateway"] = WorkerExit(how: .exited(0), tree: tree, at: .zero)
        run.signalled = 1
        run.tell(.begin)
        run.goOn()
        return StopVerdict.judge(run.machine)
    }

    @Test("what ended in its grace, or was declared to be killed, is no news")
    func proven() throws {
        for tree in [TreeEnd(), TreeEnd(left: 3), TreeEnd(left: 3, killed: 3, untold: 3, isDeclared: true)] {
            #expect(try verdict(tree) == StopVerdict(verdict: .proven, because: []))
        }
    }

    @Test("a process of the tree that was killed, told or not, or of which nobody knows, makes it unproven by its worker's name")
    func unproven() throws {
        for (tree, words) in [
            (TreeEnd(left: 1, killed: 1, untold: 0), "1 more of its processes killed"), (TreeEnd(left: 2, killed: 2, untold: 1), "1 of them untold"),
            (TreeEnd(killed: 1, untold: 1), "1 more of its processes killed, untold"), (TreeEnd(killed: nil, untold: nil), "is not known"),
            (nil, "its shim is older"),
        ] as [(TreeEnd?, String)] {
            let verdict = try verdict(tree)
            #expect(verdict.verdict == .unproven && verdict.because.count == 1, "\(verdict)")
            #expect(verdict.because.first?.contains("gateway@ex-1") == true && verdict.because.first?.contains(words) == true, "\(verdict)")
        }
    }

    /// Of a stop that finds the gateway stopped already, with the rest in order.
    private func verdictOfSecondStop(
        _ exit: WorkerExit = WorkerExit(how: .exited(0), tree: TreeEnd(), at: .zero), inventory: Inventory = RunFixture.inventory,
        checks: [Verification.Check] = Verification.Check.allClear, isTold: Bool = true
    ) throws -> StopVerdict {
        var run = try RunFixture(inventory: inventory, stopped: ["gateway@ex-1"])
        run.ends["gateway"] = exit
        run.checks["gateway"] = checks
        if !isTold { run.untold = ["gateway"] }
        run.tell(.begin)
        run.goOn()
        #expect(run.machine.plan.stoppedBefore == ["gateway@ex-1"])
        return StopVerdict.judge(run.machine)
    }

    @Test("what an earlier stop was less than proven for, a later one does not make good")
    func stoppedBefore() throws {
        #expect(try verdictOfSecondStop().verdict == .proven)
        func isUnproven(_ verdict: StopVerdict, _ words: String) {
            #expect(verdict.verdict == .unproven && verdict.because.count == 1, "\(verdict)")
            #expect(verdict.because.first?.contains("gateway@ex-1") == true && verdict.because.first?.contains(words) == true, "\(verdict)")
        }
        func end(_ how: WorkerExit.How = .exited(0), _ tree: TreeEnd? = TreeEnd()) -> WorkerExit { WorkerExit(how: how, tree: tree, at: .zero) }
        isUnproven(try verdictOfSecondStop(end(.exited(3))), "exit 3")
        isUnproven(try verdictOfSecondStop(end(.signalled(9, core: false))), "signal 9")
        isUnproven(try verdictOfSecondStop(end(.unknown)), "unknown")
        isUnproven(try verdictOfSecondStop(end(.exited(0), TreeEnd(killed: 1, untold: 1))), "1 more of its processes killed")
        isUnproven(try verdictOfSecondStop(end(.exited(0), nil)), "its shim is older")
        isUnproven(try verdictOfSecondStop(isTold: false), "how gateway@ex-1 ended is not known")
        for state in [Verification.State.left, .unknown] {
            let checks = Verification.Check.allClear.map { $0.what == .sockets ? Verification.Check(.sockets, state, "2 of them") : $0 }
            isUnproven(try verdictOfSecondStop(checks: checks), "2 of them")
        }
        isUnproven(try verdictOfSecondStop(checks: Verification.Check.allClear.filter { $0.what != .locks }), "locks was not looked at")
    }

    @Test("state files of what an earlier stop ended are recorded by this one too, or named")
    func stateFilesBefore() throws {
        var inventory = RunFixture.inventory
        for index in inventory.services.indices where inventory.services[index].name == "gateway" { inventory.services[index].stateFiles = ["/s"] }
        for digest in ["ab12", "unreadable: it is a pipe", nil] {
            var run = try RunFixture(inventory: inventory, stopped: ["gateway@ex-1"])
            run.stateFiles["gateway"] = digest.map { ["/s": $0] } ?? [:]
            run.tell(.begin)
            run.goOn()
            let verdict = StopVerdict.judge(run.machine)
            #expect(verdict.verdict == (digest == "ab12" ? .proven : .unproven), "\(verdict)")
            #expect(verdict.because.allSatisfy { $0.contains("gateway@ex-1") })
        }
    }

    @Test("what the inventory declares to look at, and its agent calls undeclared, was not looked at, in this stop's end or an earlier one's")
    func unchecked() throws {
        var inventory = RunFixture.inventory
        for index in inventory.services.indices where inventory.services[index].name == "gateway" { inventory.services[index].release.markerFile = "/m" }
        for verdict in [try verdictOfSecondStop(inventory: inventory), try verdict(TreeEnd(), inventory: inventory)] {
            #expect(verdict.verdict == .unproven && verdict.because.count == 1, "\(verdict)")
            #expect(verdict.because.first?.contains("gateway@ex-1") == true && verdict.because.first?.contains("declares it") == true, "\(verdict)")
        }
    }

    @Test("what a record says of a tree's end comes back as it was, at any extreme bounded")
    func fields() {
        for tree in [TreeEnd(), TreeEnd(left: 2, killed: 1, untold: 0, isDeclared: true), TreeEnd(left: 1, killed: nil, untold: nil)] {
            let exit = WorkerExit(how: .exited(0), tree: tree, at: .zero)
            #expect(TreeEnd(field: { key in exit.fields.first { $0.key == key }?.value }) == tree)
        }
        #expect(TreeEnd(field: { _ in nil }) == nil)
        #expect(TreeEnd(field: { _ in "\(UInt64.max)" })?.killed == 1 << 22)
        for text in ["-1", "x", "1e9", "", "18446744073709551616"] { #expect(TreeEnd(field: { _ in text }) == nil) }
    }
}
