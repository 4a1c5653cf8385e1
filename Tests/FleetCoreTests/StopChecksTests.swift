import FleetCore
import Testing

@Suite("What a stop leaves")
struct StopChecksTests {
    /// What is not named is clear.
    private func done(_ checks: [Verification.Check]) -> RunReply.Done {
        var done = RunReply.Done.gone()
        done.checks = done.checks.map { clear in checks.first { $0.what == clear.what } ?? clear }
        return done
    }

    private func verdict(_ run: RunFixture) -> StopVerdict {
        StopVerdict.judge(run.machine)
    }

    private func atGateway() throws -> RunFixture {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "execution")
        return run
    }

    @Test("checks that are clear, or have nothing declared to look at, leave a stop proven")
    func clear() throws {
        var run = try atGateway()
        run.answer(.stop("gateway"), .done(done([.init(.tree, .clear), .init(.sockets, .clear), .init(.hugepages, .unchecked)])))
        run.goOn()
        #expect(run.machine.state == .completed && verdict(run).verdict == .proven)
        #expect(run.machine.evidence.stops["gateway@ex-1"]?.checks.count == 6)
    }

    @Test("something left blocks in a sentence; a retry that finds it gone is proven")
    func left() throws {
        var run = try atGateway()
        var first = done([.init(.locks, .left, "/run/gw.lock is still there")])
        first.killed = true
        first.citations = ["ex-1:7:ab"]
        run.answer(.stop("gateway"), .leftBehind(first))
        #expect(run.machine.blocked?.slug == "left-behind")
        #expect(run.machine.blocked?.text.contains("gateway@ex-1 has stopped and left behind: /run/gw.lock is still there") == true)
        #expect(run.machine.blocked?.text.contains("override 9 --gate left-behind") == true)
        run.tell(.retryOrdered(by: "eng-1"))
        run.answer(.stop("gateway"), .done(done([.init(.locks, .clear)])))
        run.goOn()
        #expect(run.machine.state == .completed && run.machine.evidence.tierOrder.last?.proven == true)
        let stop = run.machine.evidence.stops["gateway@ex-1"]
        #expect(stop?.leavesAnything == false && stop?.killed == true && stop?.citations == ["ex-1:7:ab"])
    }

    @Test("what is left can be accepted by name: asked once, the tier and the verdict are then not proven")
    func accepted() throws {
        var run = try atGateway()
        let left = [Verification.Check(.hugepages, .left, "3 pages of 2 MiB are not back")]
        run.answer(.stop("gateway"), .leftBehind(done(left)))
        run.tell(.overridden(RunOverride(what: .gate("left-behind"), by: "eng-1", reason: "cleaned up after hours")))
        #expect(run.machine.current?.label == "verify")
        for worker in run.machine.plan.workers where worker.service != "gateway" { run.answer(.verify(worker.service), .done(done([]))) }
        run.answer(.verify("gateway"), .done(done(left)))
        run.goOn()
        #expect(run.machine.state == .completed && run.machine.evidence.tierOrder.last?.proven == false)
        #expect(verdict(run).verdict == .unproven)
        #expect(verdict(run).because.contains("gateway@ex-1 left behind: 3 pages of 2 MiB are not back"))
    }

    @Test("what could not be looked at lets the run go on and the verdict not be proven")
    func unknown() throws {
        var run = try atGateway()
        run.answer(.stop("gateway"), .done(done([.init(.sockets, .unknown, "the kernel can't list kernel-bypass sockets")])))
        run.goOn()
        #expect(run.machine.state == .completed)
        #expect(
            verdict(run)
                == StopVerdict(
                    verdict: .unproven, because: ["gateway@ex-1, sockets unknown: the kernel can't list kernel-bypass sockets"]))
    }
}
