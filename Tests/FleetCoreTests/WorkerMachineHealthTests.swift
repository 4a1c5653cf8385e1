import FleetCore
import Testing

/// Watchdog and health checks.
struct WorkerMachineHealthTests {
    private static let check: HealthSpec = {
        var check = HealthSpec(how: .http(HTTPProbeSpec(url: "http://127.0.0.1:1/h", pointer: "")))
        check.failures = 3
        check.successes = 2
        return check
    }()

    private func running(then: StopSpec.Then = .kill, policy: RestartSpec.Policy = .onFailure) -> WorkerFixture {
        var worker = WorkerFixture(then: then, restart: RestartSpec(policy: policy), health: [Self.check], watchdog: .seconds(2))
        worker.run()
        return worker
    }

    private func fail(_ worker: inout WorkerFixture, times: Int = 3) {
        for _ in 0..<times { worker.tell(.healthRead(index: 0, problem: "HTTP 503")) }
    }

    @Test("so many failures in a row make it unhealthy: it is recorded and stopped by its own sequence, then restarted as after a failure")
    func unhealthy() {
        var worker = running()
        fail(&worker, times: 2)
        #expect(worker.last.isEmpty && worker.machine.health(now: worker.now).hasPrefix("http http://127.0.0.1:1/h 2 of 3: HTTP 503"))
        worker.tell(.healthRead(index: 0, problem: nil))
        fail(&worker, times: 2)
        #expect(worker.last.isEmpty)
        fail(&worker, times: 1)
        #expect(worker.records == [.workerUnhealthy, .workerSignal] && worker.has(.signal("TERM")) && worker.machine.slot == nil)
        #expect(worker.machine.health(now: worker.now).hasPrefix("unhealthy: http") && !worker.machine.wantsHealthReads)
        fail(&worker)
        #expect(worker.last.isEmpty)
        worker.gone(.exited(0))
        #expect(worker.records == [.workerStop] && worker.field("next", of: .workerStop) == "restart")
        worker.waitDeadline()
        #expect(worker.records == [.workerRestart])
        worker.tell(.processStarted(pid: 101))
        worker.tell(.readySaid)
        #expect(worker.records == [.workerReady] && worker.machine.health(now: worker.now).contains("not read yet"))
        worker.tell(.healthRead(index: 0, problem: nil))
        #expect(worker.last.isEmpty)
        worker.tell(.healthRead(index: 0, problem: nil))
        #expect(worker.records == [.workerHealthy] && worker.machine.health(now: worker.now) == "ok")
    }

    @Test("a late watchdog counts only once it is ready, and only until it says that it stops", arguments: WorkerFixture.At.allCases)
    func watchdog(at phase: WorkerFixture.At) {
        var worker = WorkerFixture.at(phase)
        let before = worker.machine
        worker.tell(.watchdogLate)
        #expect(worker.records == (phase == .running ? [.workerUnhealthy, .workerSignal] : []))
        if phase != .running { #expect(worker.machine == before) }
        worker.tell(.watchdogLate)
        #expect(worker.last.isEmpty)
        var leaving = WorkerFixture.at(phase)
        leaving.tell(.notified("STOPPING=1"))
        leaving.tell(.watchdogLate)
        #expect(leaving.records.isEmpty)
    }

    @Test("WATCHDOG=trigger is a late watchdog at once")
    func trigger() {
        var worker = running()
        worker.tell(.notified("WATCHDOG=trigger"))
        #expect(worker.records == [.workerUnhealthy, .workerSignal] && worker.field("why", of: .workerUnhealthy) == "WATCHDOG=trigger")
    }

    @Test("a policy of never leaves an unhealthy worker stopped, as failed, with the reason")
    func never() {
        var worker = running(policy: .never)
        worker.tell(.watchdogLate)
        worker.gone(.exited(0))
        #expect(worker.records == [.workerStop, .workerFailed] && worker.machine.phase == .failed("unhealthy: no WATCHDOG=1 within 2.0 s"))
    }

    @Test("past its grace an unhealthy worker is killed, or held for a person, without an order in the slot")
    func grace() {
        var worker = running()
        worker.tell(.watchdogLate)
        worker.waitDeadline()
        #expect(worker.records == [.workerKill])
        worker.gone(.signalled(9, core: false))
        if case .backoff = worker.machine.phase {} else { Issue.record("\(worker.machine.phase)") }
        var held = running(then: .hold)
        held.tell(.watchdogLate)
        held.waitDeadline()
        #expect(held.records == [.workerHold] && held.answers.isEmpty && held.machine.slot == nil && held.machine.deadline == nil)
        var stopped = held
        stopped.stop()
        #expect(stopped.has(.signal("TERM")))
        stopped.gone()
        #expect(stopped.answers == [.done(killed: false, held: false)] && stopped.machine.phase == .stopped)
        held.tell(.holdReleaseRequested(held.order(.hold), kill: false))
        #expect(held.machine.phase == .running("a1", pid: 100))
        // A person has left it running: it is shown, and not stopped again for the same.
        fail(&held, times: 5)
        #expect(!held.has(.signal("TERM")) && held.machine.pid == 100)
        held.tell(.watchdogBack)
        held.tell(.healthRead(index: 0, problem: nil))
        held.tell(.healthRead(index: 0, problem: nil))
        #expect(held.records == [.workerHealthy])
        fail(&held)
        #expect(held.has(.signal("TERM")))
    }

    @Test("a stop order takes the sequence over: it is then a normal stop, and nothing restarts")
    func takenOver() {
        var worker = running()
        worker.tell(.watchdogLate)
        let stop = worker.stop()
        #expect(worker.records == [.workerSignal] && !worker.has(.signal("TERM")) && worker.field("already", of: .workerSignal) == "signalled")
        worker.gone()
        #expect(worker.last.contains(.answer(stop, .done(killed: false, held: false))) && worker.machine.phase == .stopped)
        worker.wait(.seconds(3_600))
        #expect(worker.launches.isEmpty)
    }

    @Test("a quiesce under way is answered when the worker is found unhealthy")
    func quiesce() {
        var worker = running()
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        worker.tell(.watchdogLate)
        #expect(worker.slug == "unhealthy" && worker.machine.slot == nil && worker.has(.signal("TERM")))
    }

    @Test("a locked worker that is unhealthy is recorded, shown and left alone; unlocked, it is stopped if it still is")
    func locked() {
        var worker = running()
        worker.lock()
        worker.tell(.watchdogLate)
        #expect(worker.records == [.workerUnhealthy] && worker.field("left_alone", of: .workerUnhealthy) == "locked" && worker.machine.pid == 100)
        var recovered = worker
        var records = 0
        for _ in 0..<100 {
            recovered.tell(.watchdogBack)
            recovered.tell(.healthRead(index: 0, problem: nil))
            recovered.tell(.healthRead(index: 0, problem: nil))
            recovered.tell(.watchdogLate)
            records += recovered.records.count
        }
        #expect(records == 0)
        recovered.tell(.watchdogBack)
        recovered.unlock()
        #expect(!recovered.has(.signal("TERM")))
        worker.unlock()
        #expect(worker.has(.signal("TERM")))
    }

    @Test("a latch takes over from an unhealthy stop, and nothing restarts when it is released")
    func latch() {
        var worker = running()
        worker.tell(.watchdogLate)
        worker.tell(.latched("l1"))
        worker.tell(.unlatched)
        worker.gone(.signalled(9, core: false))
        #expect(worker.machine.phase == .stopped && worker.machine.deadline == nil)
    }

    @Test("an agent that starts again carries an unhealthy stop on, and restarts the worker after it")
    func past() {
        var past = WorkerMachine.Past()
        past.unhealthy = "no WATCHDOG=1"
        var worker = WorkerFixture(past: past)
        worker.tell(.adopted("a1", pid: 7, ready: true, stopping: true, quiesced: false))
        worker.gone(.exited(0))
        if case .backoff = worker.machine.phase {} else { Issue.record("\(worker.machine.phase)") }
        var found = WorkerFixture(past: past)
        found.tell(.foundGone("a1", WorkerExit(how: .exited(0), at: .zero), wasStopping: true))
        if case .backoff = found.machine.phase {} else { Issue.record("\(found.machine.phase)") }
    }

    @Test("a policy that changes its checks forgets what was read of the old ones")
    func changed() {
        var worker = running()
        fail(&worker, times: 2)
        var policy = worker.machine.policy
        policy.health = [HealthSpec(how: .tcp("127.0.0.1:1"))]
        worker.tell(.policyChanged(policy))
        fail(&worker, times: 1)
        #expect(worker.last.isEmpty)
        policy.health = []
        worker.tell(.policyChanged(policy))
        fail(&worker)
        #expect(worker.last.isEmpty && worker.machine.health(now: worker.now) == "ok" && !worker.machine.wantsHealthReads)
    }
}
