import FleetCore
import Testing

struct WorkerMachineTests {
    private static let done = WorkerMachine.Answer.done(killed: false, held: false)

    // MARK: Start

    @Test("a start is recorded, launched, and answered once the worker says that it is ready")
    func start() {
        var worker = WorkerFixture()
        let order = worker.order(.start)
        worker.tell(.startRequested(order, launch: "a1"))
        #expect(worker.records == [.workerStart] && worker.launches == ["a1"])
        #expect(worker.last.last == .launch("a1"))
        worker.tell(.processStarted(pid: 7))
        #expect(worker.records == [.workerLaunched] && worker.answers.isEmpty)
        worker.tell(.notified("READY=1"))
        #expect(worker.answers == [Self.done])
        #expect(worker.machine.phase == .running("a1", pid: 7) && worker.machine.slot == nil && worker.machine.generation == 1)
        worker.tell(.readySaid)
        #expect(worker.last.isEmpty)
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.answers == [Self.done] && worker.launches.isEmpty)
    }

    @Test("a worker that is ready by delay is ready then, not before")
    func readyByDelay() {
        var worker = WorkerFixture(ready: .delay(.seconds(2)))
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.tell(.processStarted(pid: 7))
        worker.wait(.seconds(1))
        #expect(worker.answers.isEmpty)
        worker.wait(.seconds(1))
        #expect(worker.answers == [Self.done])
    }

    @Test("READY=1 heard before the word that the process runs is not lost")
    func readyEarly() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.tell(.readySaid)
        #expect(worker.last.isEmpty)
        worker.tell(.processStarted(pid: 7))
        #expect(worker.answers == [Self.done])
    }

    @Test("a worker that never says ready fails its start and is left running; said late it counts")
    func notReady() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.tell(.processStarted(pid: 7))
        worker.wait(.seconds(20))
        #expect(worker.slug == "not-ready")
        #expect(worker.machine.deadline == nil && worker.machine.health(now: .zero) == "NOT READY in time")
        worker.tell(.readySaid)
        #expect(worker.machine.health(now: .zero) == "")
        #expect(worker.machine.phase == .running("a1", pid: 7))
    }

    @Test("a launch that fails is said, and only an order starts it again")
    func launchFails() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.tell(.launchFailed("no such file"))
        #expect(worker.records == [.workerLaunchFailed] && worker.slug == "launch-failed")
        #expect(worker.machine.phase == .failed("no such file") && worker.machine.deadline == nil)
        worker.tell(.launchFailed("again"))
        #expect(worker.last.isEmpty)
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.launches == ["a2"])
    }

    @Test("a shim that does not report is killed and the launch called failed; a stop waiting for it is not called done")
    func launchLate() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.stop()
        #expect(worker.slug == "superseded")
        worker.wait(WorkerMachine.launchBound)
        #expect(worker.has(.killTree(latch: nil)) && worker.slug == "launch-unresolved")
        // Nobody has seen whether anything ran: now it is looked at.
        worker.stop()
        #expect(worker.has(.verify("a1")) && worker.answers.isEmpty)
        worker.tell(.verified("a1", WorkerFixture.clear))
        #expect(worker.answers == [Self.done])
    }

    // MARK: Stop

    @Test("a stop signals, waits for the whole tree, and keeps the exit")
    func stop() {
        var worker = WorkerFixture()
        worker.run()
        worker.stop()
        #expect(worker.records == [.workerSignal] && worker.has(.signal("TERM")) && worker.answers.isEmpty)
        worker.gone(.exited(3))
        #expect(worker.records == [.workerStop, .workerVerified] && worker.answers == [Self.done])
        #expect(worker.machine.lastExit?.how == .exited(3) && worker.machine.phase == .stopped)
        worker.gone()
        #expect(worker.last.isEmpty)
        worker.stop()
        #expect(worker.answers == [Self.done])
    }

    @Test("past its grace a worker is killed, with a warning on record, and answered as killed")
    func kill() {
        var worker = WorkerFixture()
        worker.run()
        worker.stop()
        worker.wait(.milliseconds(9_999))
        #expect(worker.last.isEmpty)
        worker.wait(.milliseconds(1))
        #expect(worker.records == [.workerKill] && worker.has(.killTree(latch: nil)) && worker.answers.isEmpty)
        worker.wait(WorkerMachine.killLateAfter)
        #expect(worker.slug == "kill-late" && worker.machine.deadline == nil)
        let again = worker.stop()
        #expect(worker.has(.killTree(latch: nil)))
        worker.gone(.signalled(9, core: false))
        #expect(worker.last.contains(.answer(again, .done(killed: true, held: false))))
    }

    @Test("a worker may stretch its grace, never past the bound from the first signal and never shorter")
    func extend() {
        var worker = WorkerFixture()
        worker.run()
        worker.stop()
        let signalled = worker.now
        worker.tell(.extensionSaid(.seconds(1)))
        #expect(worker.machine.deadline == signalled + .seconds(10))
        worker.tell(.extensionSaid(.seconds(15)))
        #expect(worker.machine.deadline! > signalled + .seconds(15))
        for _ in 0..<100 { worker.tell(.extensionSaid(.seconds(20)), after: .milliseconds(100)) }
        #expect(worker.machine.deadline == signalled + .seconds(30))
        worker.tell(.extensionSaid(.zero - .seconds(5)))
        #expect(worker.machine.deadline == signalled + .seconds(30))
    }

    @Test("a stop during a launch waits for the process, signals it, and ends with it")
    func stopWhileLaunching() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.stop()
        #expect(worker.machine.phase == .launching("a1"))
        worker.tell(.processStarted(pid: 7))
        #expect(worker.has(.signal("TERM")))
        worker.gone()
        #expect(worker.answers == [Self.done])
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        worker.stop()
        worker.tell(.launchFailed("no shim"))
        #expect(worker.answers == [Self.done] && worker.machine.phase == .stopped)
    }

    @Test("an order to kill during a launch kills what it launched, whenever it shows")
    func killWhileLaunching() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        worker.stop(killNow: true)
        #expect(worker.has(.killTree(latch: nil)))
        worker.tell(.processStarted(pid: 7))
        #expect(worker.has(.killTree(latch: nil)) && !worker.has(.signal("TERM")))
        worker.gone(.signalled(9, core: false))
        #expect(worker.answers == [.done(killed: true, held: false)])
    }

    @Test("nothing supersedes a stop but an order to kill, and that only once")
    func oneStop() {
        var worker = WorkerFixture()
        worker.run()
        let first = worker.stop()
        worker.stop()
        #expect(worker.slug == "busy" && worker.machine.slot == first)
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.slug == "busy")
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        #expect(worker.slug == "busy")
        let kill = worker.stop(killNow: true)
        #expect(worker.slug == "superseded" && worker.machine.slot == kill)
        worker.stop(killNow: true)
        #expect(worker.slug == "busy")
        worker.gone(.signalled(9, core: false))
        #expect(worker.last.contains(.answer(kill, .done(killed: true, held: false))))
    }

    @Test("a stop that waits for a launch is not superseded by another stop")
    func oneStopWhileLaunching() {
        var worker = WorkerFixture()
        worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        let first = worker.stop()
        worker.stop()
        #expect(worker.slug == "busy" && worker.machine.slot == first)
    }

    @Test("the same order again is neither refused nor done twice; a held worker says again that it is held")
    func repeated() {
        var worker = WorkerFixture(then: .hold)
        worker.run()
        let order = worker.stop()
        worker.tell(.stopRequested(order, killNow: false))
        #expect(worker.last.isEmpty)
        worker.wait(.seconds(10))
        worker.tell(.stopRequested(order, killNow: false))
        #expect(worker.slug == "hold" && worker.records.isEmpty)
        #expect(worker.machine.slot == order)
    }

    // MARK: Hold

    @Test("past its grace a worker that is to be held is held, never killed, until a person decides")
    func hold() {
        var worker = WorkerFixture(then: .hold)
        worker.run()
        let stop = worker.stop()
        worker.wait(.seconds(10))
        #expect(worker.records == [.workerHold] && worker.slug == "hold")
        #expect(worker.machine.deadline == nil)
        worker.wait(.seconds(3_600))
        #expect(worker.last.isEmpty)
        worker.tell(.holdWaitRequested(worker.order(.hold), .seconds(60)))
        #expect(worker.records == [.holdWait] && worker.machine.deadline == worker.now + .seconds(60))
        worker.tell(.extensionSaid(.seconds(600)))
        #expect(worker.machine.deadline! <= worker.now + .seconds(60))
        worker.wait(.seconds(60))
        #expect(worker.records == [.workerHold] && worker.slug == "hold")
        worker.tell(.holdReleaseRequested(worker.order(.hold), kill: true))
        #expect(worker.records == [.holdRelease, .workerKill] && worker.has(.killTree(latch: nil)))
        worker.gone(.signalled(9, core: false))
        #expect(worker.last.contains(.answer(stop, .done(killed: true, held: true))))
    }

    @Test("a hold released without a kill leaves the worker running and fails the stop")
    func holdReleased() {
        var worker = WorkerFixture(then: .hold)
        worker.run()
        let stop = worker.stop()
        worker.wait(.seconds(10))
        worker.tell(.holdReleaseRequested(worker.order(.hold), kill: false))
        #expect(worker.machine.phase == .running("a1", pid: 100) && worker.machine.slot == nil)
        #expect(worker.last.contains { if case .answer(stop, .failed("hold-released", _)) = $0 { true } else { false } })
        worker.stop()
        #expect(worker.has(.signal("TERM")))
    }

    @Test("a held worker that ends by itself ends its stop")
    func heldEnds() {
        var worker = WorkerFixture(then: .hold)
        worker.run()
        worker.stop()
        worker.wait(.seconds(10))
        worker.gone()
        #expect(worker.answers == [.done(killed: false, held: true)])
    }

    @Test("hold orders for a worker that is not held are refused")
    func notHeld() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.holdWaitRequested(worker.order(.hold), .seconds(1)))
        #expect(worker.slug == "not-held")
        worker.tell(.holdReleaseRequested(worker.order(.hold), kill: true))
        #expect(worker.slug == "not-held" && worker.machine.phase == .running("a1", pid: 100))
    }

    // MARK: Latches

    typealias At = WorkerFixture.At

    private func worker(at phase: At) -> WorkerFixture { WorkerFixture.at(phase) }

    @Test("a latch kills at once in every phase, before any record, and nothing launches under it", arguments: At.allCases)
    func latch(at phase: At) {
        var worker = worker(at: phase)
        let mayRun = worker.machine.launch != nil && phase != .verifying
        let slot = worker.machine.slot
        worker.tell(.latched("l1"))
        #expect(mayRun == (worker.last.first == .killTree(latch: "l1")))
        if let slot, slot.verb == .start { #expect(worker.slug == "latched") }
        if let slot, slot.verb == .stop { #expect(worker.machine.slot == slot) }
        worker.tell(.latched("l1"))
        #expect(worker.last.isEmpty)
        if phase == .launching {
            worker.tell(.processStarted(pid: 7))
            #expect(worker.last.first == .killTree(latch: "l1") && worker.records.contains(.emergencyKill))
        }
        worker.tell(.startRequested(worker.order(.start), launch: "a9"))
        #expect(worker.slug == "latched" && worker.launches.isEmpty)
        worker.gone(.signalled(9, core: false))
        if let slot, slot.verb == .stop { #expect(worker.answers == [.done(killed: phase != .verifying, held: phase == .held)]) }
        worker.wait(.seconds(60))
        #expect(worker.launches.isEmpty && worker.machine.launch == nil)
        worker.tell(.unlatched)
        worker.wait(.seconds(60))
        #expect(worker.launches.isEmpty)
        worker.tell(.startRequested(worker.order(.start), launch: "a9"))
        #expect(worker.launches == ["a9"])
    }

    @Test("a launch caught by a latch dies even when the latch is released before its process shows")
    func latchReleasedEarly() {
        var worker = worker(at: .launching)
        worker.tell(.latched("l1"))
        worker.tell(.unlatched)
        worker.tell(.processStarted(pid: 7))
        #expect(worker.has(.killTree(latch: nil)))
        worker.gone(.signalled(9, core: false))
        #expect(worker.machine.phase == .stopped)
    }

    @Test("a worker adopted under a latch is killed")
    func adoptedUnderLatch() {
        var worker = WorkerFixture()
        worker.tell(.latched("l1"))
        worker.tell(.adopted("a1", pid: 7, ready: true, stopping: false, quiesced: false))
        #expect(worker.last.first == .killTree(latch: "l1") && worker.records == [.workerAdopted, .emergencyKill])
    }

    // MARK: Adoption

    @Test("a worker is adopted as it is: running, starting, or on its way out with a new grace")
    func adopted() {
        var running = WorkerFixture()
        running.tell(.adopted("a1", pid: 7, ready: true, stopping: false, quiesced: true))
        #expect(running.machine.phase == .running("a1", pid: 7) && running.machine.quiesced && running.records == [.workerAdopted])
        running.tell(.adopted("a2", pid: 8, ready: true, stopping: false, quiesced: false))
        #expect(running.last.isEmpty && running.machine.launch == "a1")
        var starting = WorkerFixture()
        starting.tell(.adopted("a1", pid: 7, ready: false, stopping: false, quiesced: false))
        starting.tell(.readySaid)
        #expect(starting.machine.phase == .running("a1", pid: 7))
        var stopping = WorkerFixture()
        stopping.tell(.adopted("a1", pid: 7, ready: true, stopping: true, quiesced: false))
        stopping.stop()
        #expect(!stopping.has(.signal("TERM")) && stopping.answers.isEmpty)
        stopping.wait(.seconds(10))
        #expect(stopping.records == [.workerKill])
        stopping.gone(.signalled(9, core: false))
        #expect(stopping.answers == [.done(killed: true, held: false)])
    }

    @Test("a launch found ended restarts by policy, unless it was being stopped or a latch had killed it")
    func foundGone() {
        var crashed = WorkerFixture()
        let exit = WorkerExit(how: .exited(1), at: .zero)
        crashed.tell(.foundGone("a0", exit, wasStopping: false))
        if case .backoff = crashed.machine.phase {} else { Issue.record("\(crashed.machine.phase)") }
        crashed.tell(.foundGone("a0", exit, wasStopping: false))
        #expect(crashed.last.isEmpty)
        var stopped = WorkerFixture()
        stopped.tell(.foundGone("a0", exit, wasStopping: true))
        #expect(stopped.machine.phase == .stopped && stopped.records == [.workerStop])
        var killed = WorkerFixture()
        killed.tell(.foundGone("a0", WorkerExit(how: .signalled(9, core: false), killedByLatch: "l1", at: .zero), wasStopping: false))
        #expect(killed.machine.phase == .stopped)
    }

    // MARK: Quiesce, generations

    @Test("a quiesce is recorded, performed, and answered when the worker shows it; so is a resume")
    func quiesce() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        #expect(worker.last == [.record(.workerQuiesce, order: worker.machine.slot, fields: []), .perform(WorkerFixture.quiesce)])
        worker.tell(.actionSent(problem: nil))
        #expect(worker.last.isEmpty)
        worker.tell(.notified("X_QUIESCED=0"))
        #expect(worker.last.isEmpty)
        worker.tell(.notified("X_QUIESCED=1"))
        #expect(worker.records == [.workerQuiesced] && worker.answers == [Self.done] && worker.machine.quiesced)
        worker.tell(.resumeRequested(worker.order(.resume)))
        worker.tell(.notified("X_QUIESCED=0"))
        #expect(worker.answers == [Self.done] && !worker.machine.quiesced)
    }

    @Test("a quiesce that is late or refused fails; what the worker says later is seen all the same")
    func quiesceLate() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        worker.wait(.seconds(5))
        #expect(worker.slug == "quiesce-late" && worker.machine.deadline == nil)
        worker.tell(.notified("X_QUIESCED=1"))
        #expect(worker.machine.quiesced && worker.last.isEmpty)
        worker.tell(.resumeRequested(worker.order(.resume)))
        worker.tell(.actionSent(problem: "no such process"))
        #expect(worker.slug == "resume-failed")
    }

    @Test("a resume supersedes a quiesce that is under way: an aborted stop is undone")
    func resumeSupersedes() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        worker.tell(.resumeRequested(worker.order(.resume)))
        #expect(worker.slug == "superseded" && worker.has(.perform(WorkerFixture.resume)))
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        #expect(worker.slug == "busy")
    }

    @Test("an order made for another generation is stale, and changes nothing")
    func stale() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.stopRequested(worker.order(.stop, generation: 0), killNow: true))
        #expect(worker.slug == "stale" && worker.machine.phase == .running("a1", pid: 100))
        worker.tell(.stopRequested(worker.order(.stop, generation: 1), killNow: false))
        #expect(worker.has(.signal("TERM")) && worker.machine.generation == 2)
    }
}
