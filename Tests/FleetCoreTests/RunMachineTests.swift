import FleetCore
import Testing

struct RunMachineTests {
    @Test("a whole stop goes through every step and completes")
    func wholeStop() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn()
        #expect(run.machine.state == .completed)
        #expect(run.machine.steps.allSatisfy { $0.state == .done })
        #expect(run.machine.evidence.tierOrder.map(\.proven) == [true, true, true])
        let stops = run.sends.compactMap { if case .stop(let service) = $0.ask { service } else { nil } }
        #expect(stops == ["recorder", "feed", "strategy", "gateway"])
        #expect(StopVerdict.judge(run.machine).verdict == .proven)
    }

    @Test("every decision is recorded before the commands that follow from it")
    func recordsFirst() throws {
        var run = try RunFixture()
        run.tell(.begin)
        for _ in 0..<40 where !run.machine.state.isEnded {
            run.goOnOne()
            guard let firstSend = run.last.firstIndex(where: { if case .send = $0 { true } else { false } }) else { continue }
            let label = run.machine.current?.label ?? ""
            if ["gate", "ledger"].contains(label), run.last.count == 1 { continue }  // asked again: no decision
            #expect(run.last[..<firstSend].contains { if case .record = $0 { true } else { false } } || label == "ledger")
        }
    }

    @Test("a host lost before a step begins blocks the run as soon as the step asks it")
    func lostBeforeStep() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        run.tell(.hostLost("ex-1", why: "no word for 5 s"))
        #expect(run.machine.blocked == nil)
        run.goOn(until: "execution")
        #expect(run.machine.blocked?.slug == "host-unknown")
        #expect(run.machine.blocked?.text.contains("tier execution can't be proven stopped") == true)
        let id = run.id(of: .stop("gateway"))
        run.tell(.hostReturned("ex-1"))
        #expect(run.last.contains(.send(id, to: "ex-1", .stop("gateway"))))
        #expect(run.machine.blocked == nil)
        run.goOn()
        #expect(run.machine.state == .completed)
    }

    @Test("a host that is silent at the check holds the run there; attested off it goes on, other silent hosts or not")
    func lostDuringCheck() throws {
        var run = try RunFixture(.stop, OperationScope(tiers: ["market-data", "strategies"]))
        run.tell(.hostLost("ex-1", why: "not of this plan"))
        run.tell(.hostLost("st-1", why: "silent"))
        run.tell(.begin)
        #expect(run.machine.current?.what == .check)
        #expect(run.machine.blocked?.slug == "host-unknown")
        run.tell(.overridden(RunOverride(what: .hostOff("st-1"), by: "eng-1", reason: "unplugged")))
        #expect(run.machine.current?.what == .capture)
        run.goOn()
        // What was attested once is not asked about again at every later step.
        #expect(run.machine.state == .completed)
        #expect(run.machine.evidence.stops["strategy@st-1"]?.attested == true)
        #expect(run.machine.evidence.tierOrder.map(\.proven) == [true, false])
        let verdict = StopVerdict.judge(run.machine)
        #expect(verdict.verdict == .unproven)
        #expect(verdict.because == ["st-1 attested powered off by eng-1: unplugged"])
    }

    @Test("a host that answers can't be attested powered off")
    func attestedAlive() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        run.tell(.overridden(RunOverride(what: .hostOff("st-1"), by: "eng-1", reason: "typo")))
        #expect(run.machine.current?.label == "strategies")
        #expect(run.machine.evidence.attestedOff.isEmpty && run.machine.evidence.overrides.isEmpty)
    }

    @Test("a gate that stays false blocks after its wait in words that say what to type, and passes by itself")
    func gateBlocks() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        run.answer(run.gateQuestion, .done(RunReply.Done(gateHolds: false, gateValue: "3")))
        #expect(run.machine.blocked == nil)
        run.tell(.timeReached, after: .seconds(31))
        run.answer(run.gateQuestion, .done(RunReply.Done(gateHolds: false, gateValue: "3")))
        #expect(
            run.machine.blocked?.text
                == "step 4: gateway@ex-1 has 3 open orders, the gate wants 0; for 31.0 s. Nothing has been stopped. It goes on by itself at 0. Give up: trading runs abort 9 --reason …  "
                + "Without the gate: trading runs override 9 --gate open-orders --reason … (verdict: unproven)")
        run.tell(.timeReached, after: .seconds(1))
        run.answer(run.gateQuestion, .done(RunReply.Done(gateHolds: true, gateValue: "0")))
        #expect(run.machine.blocked == nil)
        #expect(run.machine.current?.label == "market-data")
        #expect(run.machine.evidence.marks.last?.proven == true)
    }

    @Test("a gate overridden while its question is out ends the step, and the answer that comes late changes nothing")
    func gateOverriddenOutstanding() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        let late = run.id(of: run.gateQuestion)
        run.tell(.overridden(RunOverride(what: .gate("some-other"), by: "eng-1", reason: "-")))
        #expect(run.machine.current?.label == "gate")
        run.tell(.overridden(RunOverride(what: .gate("open-orders"), by: "eng-1", reason: "venue says 0")))
        #expect(run.machine.current?.label == "market-data")
        #expect(run.machine.steps[3].state == .overridden)
        #expect(run.machine.evidence.marks.last?.proven == false)
        let before = run.machine
        run.tell(.answered(late, .done(RunReply.Done(gateHolds: false, gateValue: "9"))))
        #expect(run.last.isEmpty && run.machine == before)
    }

    @Test("a gate on a host that is attested off stays open until the gate itself is overridden")
    func gateOnDeadHost() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        run.tell(.hostLost("ex-1", why: "silent"))
        run.tell(.overridden(RunOverride(what: .hostOff("ex-1"), by: "eng-1", reason: "fire")))
        #expect(run.machine.current?.label == "gate")
        run.tell(.timeReached, after: .seconds(31))
        #expect(run.machine.blocked?.slug == "open-orders")
        run.tell(.overridden(RunOverride(what: .gate("open-orders"), by: "eng-1", reason: "fire")))
        #expect(run.machine.current?.label == "market-data")
    }

    @Test("an override during the ledger does not make one reading count as two")
    func ledgerOverride() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "ledger")
        let reading = StreamReading(stream: "ticks", consumer: "recorder", host: "md-1", known: true, entriesAdded: 5, lag: 0)
        run.answer(.readStreams, .done(RunReply.Done(streams: [reading])))
        run.tell(.overridden(RunOverride(what: .gate("open-orders"), by: "eng-1", reason: "-")))
        #expect(run.machine.current?.label == "ledger")
        run.tell(.timeReached, after: .seconds(1))
        run.answer(.readStreams, .done(RunReply.Done(streams: [reading])))
        #expect(run.machine.evidence.settled)
        #expect(run.machine.current?.label == "snapshot")
    }

    @Test("a baseline is two readings that say alike between two looks at whatever is at either end; a stream that moved in between is named")
    func baseline() throws {
        for moved in [false, true] {
            var run = try RunFixture(.start)
            run.tell(.begin)
            run.goOn(until: "baseline")
            let ends: [ServiceName] = ["feed", "recorder", "strategy"]
            func look(_ number: UInt64) -> RunReply {
                .done(RunReply.Done(treeEmpty: true, launches: LaunchHistory([LaunchAccount(number: number, launch: "l")])))
            }
            for service in ends {
                #expect(run.machine.wants(run.id(of: .verify(service))) && !run.sends.contains { $0.ask == .readStreams }, "looked at before any reading")
                run.answer(.verify(service), look(1))
            }
            func reading(_ added: Int64) -> StreamReading {
                StreamReading(stream: "ticks", consumer: "recorder", host: "md-1", known: true, entriesAdded: added, lag: 0)
            }
            run.answer(.readStreams, .done(RunReply.Done(streams: [reading(5)])))
            #expect(run.machine.current?.label == "baseline", "one reading is no cut")
            run.answer(.readStreams, .done(RunReply.Done(streams: [reading(moved ? 6 : 5)])))
            for service in ends.dropLast() { run.answer(.verify(service), look(1)) }
            #expect(run.machine.current?.label == "baseline", "what was launched meanwhile is in the reports of the next second")
            run.answer(.verify("strategy"), look(2))
            let kept = run.last.compactMap { if case .keepBaseline(let baseline) = $0 { baseline } else { nil } }
            #expect(kept.map(\.readings) == [[reading(moved ? 6 : 5)]] && kept.map(\.moving) == [moved ? ["ticks"] : []])
            #expect(kept.first?.before["strategy@st-1"]?.lastLaunch?.number == 1 && kept.first?.after["strategy@st-1"]?.lastLaunch?.number == 2)
            #expect(run.machine.current?.label == "market-data" || run.machine.current?.label == "execution")
        }
    }

    @Test("a host that only measures and goes silent holds up neither a capture nor a baseline", arguments: [RunKind.stop, .start])
    func measuringHost(kind: RunKind) throws {
        // Its streams end at st-1 and are measured on md-1.
        var run = try RunFixture(kind, OperationScope(services: ["strategy"]))
        run.tell(.begin)
        run.goOn(until: kind == .stop ? "capture" : "baseline")
        let before = run.machine.current?.label
        run.tell(.hostLost("md-1", why: "silent"))
        if kind == .start { for _ in 0..<2 { run.answer(.verify("strategy"), RunFixture.gone) } }
        #expect(run.machine.current?.label != before && run.machine.blocked == nil, "\(String(describing: run.machine.blocked))")
    }

    @Test("readings that never agree end the ledger as unsettled, after a bounded number")
    func ledgerUnsettled() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "ledger")
        for count in 0..<RunMachine.readingsLimit {
            let reading = StreamReading(stream: "ticks", consumer: "recorder", host: "md-1", known: true, entriesAdded: Int64(count), lag: 0)
            run.answer(.readStreams, .done(RunReply.Done(streams: [reading])))
            run.tell(.timeReached, after: .seconds(1))
        }
        #expect(run.machine.current?.label == "snapshot")
        #expect(!run.machine.evidence.settled)
    }

    @Test("an abort before the first stop resumes what was quiesced and then ends")
    func abortResumes() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        run.answer(run.gateQuestion, .done(RunReply.Done(gateHolds: false, gateValue: "3")))
        run.tell(.abortOrdered(by: "ops-1", reason: "orders left"))
        #expect(run.last.contains(.send(run.id(of: .resume("strategy")), to: "st-1", .resume("strategy"))))
        #expect(run.machine.deadline == run.now.boot + .seconds(5) + RunMachine.answerBound)
        guard case .record(.runOverride, _, _)? = run.last.first else { return #expect(Bool(false), "the abort goes out before its record") }
        run.answer(run.gateQuestion, .done(RunReply.Done(gateHolds: true, gateValue: "0")))
        #expect(run.last.isEmpty)
        run.answer(.resume("strategy"), .done(RunReply.Done()))
        #expect(run.machine.state == .aborted("by ops-1: orders left"))
    }

    @Test("an abort whose resume fails ends all the same and names what is still quiesced")
    func abortResumeFails() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        run.tell(.abortOrdered(by: "ops-1", reason: "no"))
        run.answer(.resume("strategy"), .failed(slug: "resume-late", text: "it has not shown it"))
        #expect(run.machine.state == .aborted("by ops-1: no; still quiesced: strategy@st-1: it has not shown it"))
    }

    @Test("an abort that waits for a lost host says so, and a second abort ends it")
    func abortTwice() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "gate")
        run.tell(.abortOrdered(by: "ops-1", reason: "no"))
        run.tell(.hostLost("st-1", why: "silent"))
        #expect(run.machine.blocked?.text.contains("the abort waits for st-1") == true)
        run.tell(.abortOrdered(by: "ops-1", reason: "really"))
        #expect(run.machine.state == .aborted("by ops-1: no; may still be quiesced: strategy@st-1"))
    }

    @Test("an abort after the first stop leaves everything as it is; answers that come later do nothing")
    func abortLate() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        let stop = run.id(of: .stop("strategy"))
        run.tell(.abortOrdered(by: "ops-1", reason: "no"))
        #expect(run.machine.state == .aborted("by ops-1: no"))
        #expect(!run.machine.wants(stop))
        run.tell(.answered(stop, RunFixture.gone))
        #expect(run.last.isEmpty)
    }

    @Test("a host that comes and goes without end, or gives one reason after another, fills no audit")
    func flapping() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        var records = 0
        for round in 0..<500 {
            run.tell(.hostLost("st-1", why: "silent"))
            records += run.last.count { if case .record(.runBlocked, _, _) = $0 { true } else { false } }
            #expect(run.machine.blocked?.slug == "host-unknown")
            run.tell(.hostReturned("st-1"))
            run.answer(.stop("strategy"), .progress(slug: "slug-\(round)", text: "\(round)"))
            records += run.last.count { if case .record(.runBlocked, _, _) = $0 { true } else { false } }
        }
        #expect((1...2 * RunMachine.blockRecordsMax).contains(records), "\(records)")
    }

    @Test("a run that has not begun can be aborted and overridden")
    func abortWaiting() throws {
        var run = try RunFixture()
        run.tell(.hostLost("st-1", why: "silent"))
        run.tell(.overridden(RunOverride(what: .hostOff("st-1"), by: "eng-1", reason: "off")))
        run.tell(.abortOrdered(by: "ops-1", reason: "no"))
        #expect(run.machine.state == .aborted("by ops-1: no"))
    }

    @Test("a hold is shown until it ends, over other answers and the loss of another host")
    func holdStays() throws {
        var run = try RunFixture(.stop, OperationScope(tiers: ["execution"]))
        run.tell(.begin)
        run.goOn(until: "execution")
        run.answer(.stop("gateway"), .progress(slug: "hold", text: "held. trading hold wait …"))
        #expect(run.machine.blocked?.slug == "hold")
        run.tell(.hostLost("ex-1", why: "silent"))
        #expect(run.machine.blocked?.slug == "host-unknown")
        run.tell(.hostReturned("ex-1"))
        #expect(run.machine.blocked?.slug == "hold")
        run.answer(.stop("gateway"), RunFixture.gone)
        #expect(run.machine.blocked == nil)
        #expect(run.machine.evidence.held == ["gateway@ex-1"])
    }

    @Test("a hold released without a kill blocks the run, for whoever says so: a person stops the worker again, or aborts")
    func holdReleased() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "execution")
        run.answer(.stop("gateway"), .progress(slug: "hold", text: "held"))
        run.answer(.stop("gateway"), .failed(slug: "hold-released", text: "left running by ops-1"))
        #expect(run.machine.state == .active && run.machine.blocked?.slug == "hold-released")
        #expect(run.machine.blocked?.text.contains("trading runs retry 9") == true)
        run.tell(.retryOrdered(by: "ops-1"))
        run.answer(.stop("gateway"), RunFixture.gone)
        run.goOn()
        #expect(run.machine.state == .completed)
    }

    @Test("a stop refused as busy blocks; a retry asks again under a new id and only what failed")
    func busyRetry() throws {
        var run = try RunFixture(.stop, OperationScope(services: ["strategy", "gateway"]))
        run.tell(.begin)
        run.goOn(until: "strategies")
        let first = run.id(of: .stop("strategy"))
        run.answer(.stop("strategy"), .refused(slug: "busy", text: "strategy@st-1 is busy"))
        #expect(run.machine.blocked?.slug == "busy")
        run.tell(.retryOrdered(by: "ops-1"))
        #expect(run.id(of: .stop("strategy")) != first)
        #expect(run.machine.blocked == nil)
        run.goOn()
        #expect(run.machine.state == .completed)
    }

    @Test("a stop that leaves processes is no proof: the next tier waits")
    func notGone() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        run.answer(.stop("strategy"), .done(RunReply.Done(treeEmpty: false, text: "2 children are left")))
        #expect(run.machine.blocked?.slug == "not-gone")
        #expect(!run.sends.contains { $0.ask == .stop("gateway") })
    }

    @Test("a quiesce that fails can be overridden by name, and the verdict says so")
    func quiesceOverride() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "quiesce")
        run.answer(.quiesce("strategy"), .failed(slug: "quiesce-late", text: "strategy has not shown it"))
        #expect(run.machine.blocked?.text.contains("override 9 --gate quiesce") == true)
        run.tell(.overridden(RunOverride(what: .gate("quiesce"), by: "eng-1", reason: "hung")))
        run.goOn()
        #expect(run.machine.state == .completed)
        #expect(StopVerdict.judge(run.machine).verdict == .unproven)
    }

    @Test("an emergency stop ends the run at once and nothing follows")
    func latched() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "strategies")
        run.tell(.latched("ab12"))
        #expect(run.machine.state == .aborted("emergency stop ab12 is in force"))
        #expect(run.last.contains(.ended))
        run.tell(.hostReturned("st-1"))
        #expect(run.last.isEmpty)
    }

    @Test("a host's own emergency stop ends no run: the others go on, and the verdict says it; what that host refuses blocks until a person decides")
    func hostLatched() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "quiesce")
        run.tell(.hostLatched("st-1", "own-1"))
        #expect(run.machine.state == .active && run.last.count == 1, "\(run.last)")
        run.tell(.hostLatched("st-1", "own-2"))
        #expect(run.last.isEmpty, "said once")
        run.answer(.quiesce("strategy"), .refused(slug: "latched", text: "strategy@st-1 is under emergency stop own-1"))
        #expect(run.machine.state == .active && run.machine.blocked?.slug == "latched")
        #expect(run.machine.blocked?.text.contains("override 9 --gate quiesce") == true)
        run.tell(.overridden(RunOverride(what: .gate("quiesce"), by: "eng-1", reason: "it is gone")))
        run.goOn()
        #expect(run.machine.state == .completed)
        let verdict = StopVerdict.judge(run.machine)
        #expect(verdict.verdict == .unproven && verdict.because.contains { $0.contains("emergency stop own-2 holds") }, "\(verdict)")
    }

    @Test("a run whose host stopped itself is unproven, whatever its workers say")
    func hostLatchedAlone() throws {
        for isLatched in [false, true] {
            var run = try RunFixture()
            run.tell(.begin)
            run.goOn(until: "strategies")
            if isLatched { run.tell(.hostLatched("st-1", "own-1")) }
            run.goOn()
            let verdict = StopVerdict.judge(run.machine)
            #expect(verdict.verdict == (isLatched ? .unproven : .proven), "\(verdict)")
        }
    }

    @Test("a start that fails ends the run and starts nothing behind it")
    func startFails() throws {
        var run = try RunFixture(.start)
        run.tell(.begin)
        run.goOn(until: "execution")
        run.answer(.start("gateway"), .failed(slug: "launch-failed", text: "no such file"))
        #expect(run.machine.state == .failed("no such file"))
        #expect(!run.sends.contains { $0.ask == .start("strategy") })
    }

    @Test("what could not be read of a drain is never taken for drained, and asking again does not flood the audit")
    func drainUnknown() throws {
        var inventory = RunFixture.inventory
        inventory.streams[0].to[0].policy = .drain
        var run = try RunFixture(inventory: inventory)
        run.tell(.begin)
        run.goOn(until: "market-data")
        run.answer(.stop("feed"), RunFixture.gone)
        var records = 0
        for _ in 0..<300 {
            run.answer(.readStreams, .failed(slug: "probe", text: "Redis does not answer"))
            records += run.last.count { if case .record = $0 { true } else { false } }
            run.tell(.timeReached, after: .milliseconds(200))
            records += run.last.count { if case .record = $0 { true } else { false } }
        }
        #expect(run.machine.blocked?.slug == "not-drained")
        #expect(records == 1)
        run.tell(.overridden(RunOverride(what: .stream("ticks"), by: "eng-1", reason: "counted")))
        #expect(run.sends.contains { $0.ask == .stop("recorder") })
    }
}

extension RunFixture {
    fileprivate mutating func goOnOne() {
        let step = machine.step
        for _ in 0..<20 where machine.step == step && !machine.state.isEnded {
            guard let (id, _, ask) = sends.first(where: { machine.wants($0.id) }) else {
                tell(.timeReached, after: .seconds(1))
                continue
            }
            switch ask {
            case .stop, .verify: tell(.answered(id, Self.gone))
            case .gate: tell(.answered(id, .done(RunReply.Done(gateHolds: true, gateValue: "0"))))
            case .readStreams, .quiesce, .resume, .start, .snapshot: tell(.answered(id, .done(RunReply.Done())))
            }
        }
    }

    // MARK: Answers that don't come

    @Test("a reading, or a snapshot, that never comes is said within its bound; without it, by name, the run goes on and is not proven")
    func withoutAnswer() throws {
        for (label, ask) in [("capture", RunMachine.Ask.readStreams), ("ledger", .readStreams), ("snapshot", .snapshot("gateway"))] {
            var run = try RunFixture()
            run.tell(.begin)
            run.goOn(until: label)
            for (id, _, asked) in run.sends where run.machine.wants(id) && asked != ask { run.tell(.answered(id, .done(RunReply.Done()))) }
            #expect(run.machine.blocked == nil)
            run.tell(.overridden(RunOverride(what: .gate("no-answer"), by: "eng-1", reason: "too early")))
            #expect(run.machine.current?.label == label, "nothing is overdue yet")
            run.tell(.timeReached, after: RunMachine.answerBound)
            #expect(run.machine.blocked?.slug == "no-answer" && run.machine.deadline == nil, "\(label)")
            let host = ask == .readStreams ? "md-1" : "gateway@ex-1"
            #expect(run.machine.blocked?.text.contains(host) == true && run.machine.blocked?.text.contains("--gate no-answer") == true)
            run.tell(.overridden(RunOverride(what: .gate("no-answer"), by: "eng-1", reason: "its mount hangs")))
            #expect(run.machine.blocked == nil && (run.machine.current?.label != label || label == "ledger"), "\(label)")
            run.goOn()
            #expect(run.machine.state == .completed && StopVerdict.judge(run.machine).verdict == .unproven, "\(label)")
        }
    }

    @Test("an answer that comes after its bound counts, and takes the block away")
    func lateAnswer() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "execution")
        run.tell(.timeReached, after: RunMachine.answerBound)
        #expect(run.machine.blocked == nil, "a stop has its grace beside")
        let bound = try #require(run.machine.deadline) - run.now.boot
        run.tell(.timeReached, after: bound)
        #expect(run.machine.blocked?.slug == "no-answer" && run.machine.blocked?.text.contains("the stop of gateway@ex-1") == true)
        run.tell(.overridden(RunOverride(what: .gate("no-answer"), by: "eng-1", reason: "no stop is given up like that")))
        #expect(run.machine.blocked?.slug == "no-answer")
        run.answer(.stop("gateway"), RunFixture.gone)
        #expect(run.machine.blocked == nil)
        run.goOn()
        #expect(run.machine.state == .completed)
    }

    @Test("a host that returns has its whole bound again, and what waits for a person is not also called late")
    func boundsBeginAgain() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "execution")
        let bound = try #require(run.machine.deadline) - run.now.boot
        run.tell(.hostLost("ex-1", why: "cut"), after: bound - .seconds(1))
        #expect(run.machine.deadline == nil)
        run.tell(.hostReturned("ex-1"), after: .seconds(60))
        #expect(run.machine.blocked == nil && run.machine.deadline == run.now.boot + bound)
        run.answer(.stop("gateway"), .progress(slug: "hold", text: "it waits for a person"))
        #expect(run.machine.blocked?.slug == "hold" && run.machine.deadline == nil)
    }

    @Test("a worker that is launched after it was shown stopped makes the stop unproven by its name, running or ended again")
    func launchedAgain() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "snapshot")
        let again = WorkerExit(how: .exited(0), tree: TreeEnd(), at: .zero)
        let launches = [1, 2].map { LaunchAccount(number: $0, launch: LaunchID("l\($0)"), wasReady: true, end: .ended(again)) }
        for service in ["feed", "recorder", "strategy", "gateway"] as [ServiceName] { run.answer(.snapshot(service), .done(RunReply.Done())) }
        #expect(run.machine.current?.label == "verify")
        var done = RunReply.Done.gone(again)
        done.launches = LaunchHistory(launches)
        run.answer(.verify("gateway"), .done(done))
        run.goOn()
        #expect(run.machine.state == .completed)
        #expect(StopVerdict.judge(run.machine).because == ["gateway@ex-1 was launched again while the stop was under way"])
    }

    @Test("what was stopped before and is not looked at again at the end, for its host is cut off or does not answer, is not proven")
    func lastLookMissing() throws {
        for isCut in [true, false] {
            var run = try RunFixture(stopped: ["gateway@ex-1"])
            run.tell(.begin)
            run.goOn(until: "snapshot")
            for (id, _, _) in run.sends where run.machine.wants(id) { run.tell(.answered(id, .done(RunReply.Done()))) }
            #expect(run.machine.current?.label == "verify")
            let looks = run.sends.suffix(4)
            #expect(looks.allSatisfy { run.machine.wants($0.id) })
            for (id, _, ask) in looks where ask != .verify("gateway") { run.tell(.answered(id, .done(RunReply.Done(treeEmpty: true)))) }
            if isCut { run.tell(.hostLost("ex-1", why: "cut")) } else { run.tell(.timeReached, after: RunMachine.answerBound) }
            #expect(run.machine.state == .completed, "nobody waits for what is only looked at")
            let verdict = StopVerdict.judge(run.machine)
            #expect(verdict.verdict == .unproven)
            #expect(verdict.because == ["gateway@ex-1 was stopped before, and was not looked at again at the end"], "\(verdict)")
        }
    }

    @Test("a look that never comes is gone on without by name, and then names its worker")
    func verifyWithoutAnswer() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "verify")
        for (id, _, ask) in run.sends where run.machine.wants(id) && ask != .verify("gateway") {
            run.tell(.answered(id, .done(RunReply.Done(treeEmpty: true))))
        }
        run.tell(.timeReached, after: RunMachine.answerBound)
        #expect(run.machine.blocked?.slug == "no-answer")
        run.tell(.overridden(RunOverride(what: .gate("no-answer"), by: "eng-1", reason: "its disk hangs")))
        run.goOn()
        #expect(run.machine.state == .completed && StopVerdict.judge(run.machine).verdict == .unproven)
    }

    @Test("a launch that no process of came about is no launch after the stop")
    func neverLaunched() throws {
        var run = try RunFixture()
        run.tell(.begin)
        run.goOn(until: "snapshot")
        for service in ["feed", "recorder", "strategy", "gateway"] as [ServiceName] { run.answer(.snapshot(service), .done(RunReply.Done())) }
        let exit = WorkerExit(how: .exited(0), tree: TreeEnd(), at: .zero)
        var done = RunReply.Done.gone(exit)
        done.launches = LaunchHistory([
            LaunchAccount(number: 1, launch: "l1", wasReady: true, end: .ended(exit)), LaunchAccount(number: 2, launch: "l2", end: .never),
        ])
        run.answer(.verify("gateway"), .done(done))
        run.goOn()
        #expect(run.machine.state == .completed && StopVerdict.judge(run.machine).verdict == .proven)
    }
}
