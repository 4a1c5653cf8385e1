import Testing

@testable import FleetCore

/// What a verdict makes of what a main process left of its tree.
struct StopVerdictTests {
    /// Of a stop in which everything else is in order.
    private func verdict(_ tree: TreeEnd?, signalledNow: Bool = true) throws -> StopVerdict {
        var run = try RunFixture()
        run.ends["gateway"] = WorkerExit(how: .exited(0), tree: tree, at: .zero)
        run.signalled = signalledNow ? 1 : 0
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

    @Test("a worker that an earlier stop has ended is that stop's to judge")
    func stoppedBefore() throws {
        for tree in [nil, TreeEnd(killed: 1, untold: 1)] { #expect(try verdict(tree, signalledNow: false).verdict == .proven) }
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
