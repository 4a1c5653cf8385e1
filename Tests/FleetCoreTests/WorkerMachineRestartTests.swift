import FleetCore
import Testing

/// What follows an end that nobody ordered.
struct WorkerMachineRestartTests {
    private static let quick = RestartSpec(policy: .onFailure, delay: .seconds(5), limitStarts: 3, limitWithin: .seconds(60))

    private func backoff(_ worker: WorkerFixture) -> Double? {
        guard case .backoff(let until) = worker.machine.phase else { return nil }
        return (until - worker.now).milliseconds / 1_000
    }

    @Test("a worker that fails is restarted after a delay that doubles, up to its limit, then called failed")
    func limit() throws {
        var worker = WorkerFixture()
        worker.run()
        for number in 1...2 {
            worker.gone(.exited(1))
            #expect(worker.records == [.workerExit] && worker.field("next", of: .workerExit) == "restart")
            let delay = try #require(backoff(worker))
            let nominal = number == 1 ? 5.0 : 10.0
            #expect(delay >= 0.8 * nominal && delay <= 1.2 * nominal)
            worker.wait(.milliseconds(3_900))
            #expect(worker.last.isEmpty)
            worker.waitDeadline()
            #expect(worker.records == [.workerRestart] && worker.launches.count == 1 && worker.machine.restarts == number)
            #expect(worker.field("step", of: .workerRestart) == "\(number)" && worker.field("starts", of: .workerRestart) == "\(number + 1)")
            worker.tell(.processStarted(pid: 101))
        }
        worker.gone(.signalled(11, core: true))
        #expect(worker.records == [.workerExit, .workerFailed] && worker.machine.deadline == nil)
        #expect(worker.machine.phase == .failed("ended 3 times in 60 s and will not be restarted; last: signal 11, core dumped"))
        #expect(worker.field("slug", of: .workerFailed) == "start-limit")
        worker.wait(.seconds(3_600))
        #expect(worker.launches.isEmpty)
        worker.tell(.startRequested(worker.order(.start), launch: "b1"))
        #expect(worker.launches == ["b1"] && worker.machine.restarts == 0 && worker.machine.backoffStep == 0)
    }

    @Test("the delay doubles up to its ceiling and never past it, jitter included")
    func ceiling() throws {
        var spec = RestartSpec(policy: .always, delay: .seconds(1), limitStarts: 100, limitWithin: .seconds(1))
        spec.delayMax = .seconds(20)
        spec.stableAfter = .seconds(3_600)
        var worker = WorkerFixture(restart: spec)
        worker.run()
        var nominal = 1.0
        for _ in 0..<80 {
            worker.gone(.exited(1))
            let delay = try #require(backoff(worker))
            #expect(delay >= 0.8 * nominal && delay <= min(1.2 * nominal, 20))
            nominal = min(nominal * 2, 20)
            worker.waitDeadline()
            worker.tell(.processStarted(pid: 101))
        }
    }

    @Test("workers that fall together come back apart, and the same launch always comes back alike")
    func jitter() throws {
        var delays: Set<Double> = []
        for digits in ["00c0ffee00000001", "00c0ffee00000002", "9f3a77d1e0b25c44", "9f3a77d1e0b25c45", "ffffffffffffffff"] {
            var first = WorkerFixture()
            first.run(LaunchID(digits))
            var second = first
            first.gone(.exited(1))
            second.gone(.exited(1))
            #expect(first.machine.phase == second.machine.phase)
            delays.insert(try #require(backoff(first)))
        }
        #expect(delays.count >= 4)
    }

    @Test("a delay of zero stays zero, and then nothing is looked at first")
    func immediate() {
        var worker = WorkerFixture(restart: RestartSpec(policy: .always, delay: .zero, limitStarts: 5))
        worker.run()
        for _ in 0..<4 {
            worker.gone(.exited(1))
            #expect(worker.machine.phase == .backoff(until: worker.now) && !worker.last.contains { if case .verify = $0 { true } else { false } })
            worker.wait(.zero)
            #expect(worker.launches.count == 1)
            worker.tell(.processStarted(pid: 101))
        }
    }

    @Test("having run stably long enough earns the whole budget and the short delay back; not having been ready earns nothing")
    func stable() throws {
        var worker = WorkerFixture(restart: Self.quick)
        worker.run()
        worker.gone(.exited(1))
        worker.waitDeadline()
        worker.tell(.processStarted(pid: 101))
        worker.tell(.readySaid)
        worker.tell(.gone(WorkerExit(how: .exited(1), at: worker.now)), after: .seconds(60))
        var delay = try #require(backoff(worker))
        #expect(delay <= 6 && worker.machine.backoffStep == 1)
        worker.waitDeadline()
        worker.tell(.processStarted(pid: 102))
        // Never ready: it has shown nothing, however long it was there.
        worker.tell(.gone(WorkerExit(how: .exited(1), at: worker.now)), after: .seconds(600))
        delay = try #require(backoff(worker))
        #expect(delay >= 8 && worker.machine.backoffStep == 2)
    }

    @Test("starts longer ago than the window don't count against the limit")
    func window() {
        var worker = WorkerFixture()
        worker.run()
        for _ in 0..<10 {
            worker.tell(.gone(WorkerExit(how: .exited(1), at: worker.now)), after: .seconds(61))
            worker.waitDeadline()
            #expect(worker.launches.count == 1)
            worker.tell(.processStarted(pid: 101))
        }
    }

    @Test(
        "what ends by itself restarts as its policy says",
        arguments: [
            (RestartSpec.Policy.never, WorkerExit.How.exited(1), false), (.onFailure, .exited(0), false), (.onFailure, .signalled(11, core: true), true),
            (.onFailure, .unknown, true), (.always, .exited(0), true), (.never, .exited(0), false),
        ])
    func policies(policy: RestartSpec.Policy, how: WorkerExit.How, restarts: Bool) {
        var worker = WorkerFixture(restart: RestartSpec(policy: policy))
        worker.run()
        worker.gone(how)
        #expect((worker.machine.deadline != nil) == restarts)
        if !restarts { #expect(worker.records == (how == .exited(0) ? [.workerExit] : [.workerExit, .workerFailed])) }
        worker.waitDeadline()
        #expect(worker.launches.isEmpty == !restarts)
    }

    @Test("a quiesced worker that dies is not restarted: it would come back unquiesced")
    func quiescedDies() {
        var worker = WorkerFixture()
        worker.run()
        worker.tell(.quiesceRequested(worker.order(.quiesce)))
        worker.tell(.notified("X_QUIESCED=1"))
        worker.gone(.exited(1))
        #expect(worker.machine.deadline == nil && !worker.machine.quiesced)
    }

    @Test("a stop during the wait for a restart ends it")
    func stopInBackoff() {
        var worker = WorkerFixture.at(.backoff)
        worker.tell(.verified("a1", WorkerFixture.clear))
        worker.stop()
        #expect(worker.answers == [.done(killed: false, held: false)])
        worker.wait(.seconds(60))
        #expect(worker.launches.isEmpty)
    }

    // MARK: Across a restart of the agent

    @Test("an agent that starts again gives a crashing worker no fresh budget")
    func pastBudget() throws {
        var past = WorkerMachine.Past()
        let now = BootTime(nanoseconds: 1_000_000_000)
        past.recentStarts = [now, now]
        past.backoffStep = 1
        past.restarts = 1
        var worker = WorkerFixture(past: past)
        worker.tell(.adopted("a2", pid: 7, ready: true, stopping: false, quiesced: false))
        worker.gone(.exited(1))
        let delay = try #require(backoff(worker))
        #expect(delay >= 8 && worker.machine.restarts == 1)
        worker.waitDeadline()
        worker.tell(.processStarted(pid: 8))
        worker.gone(.exited(1))
        #expect(worker.records == [.workerExit, .workerFailed] && worker.machine.restarts == 2)
    }

    @Test("a restart that was pending is still due, one that was given up still needs an order")
    func pastPending() {
        var past = WorkerMachine.Past()
        past.restartPending = true
        past.backoffStep = 2
        past.lastLaunch = "a1"
        var worker = WorkerFixture(past: past)
        #expect((backoff(worker) ?? 0) >= 8)
        worker.waitDeadline()
        #expect(worker.launches == ["later"] && worker.machine.restarts == 1)
        past.failed = "ended 3 times in 60 s and will not be restarted"
        worker = WorkerFixture(past: past)
        #expect(worker.machine.deadline == nil && worker.machine.phase == .failed("ended 3 times in 60 s and will not be restarted"))
        worker.tell(.startRequested(worker.order(.start), launch: "b1"))
        #expect(worker.launches == ["b1"])
    }

    @Test("of a back-off that was under way only what is left is waited for, whatever the agent before has waited")
    func pastBackoff() throws {
        var past = WorkerMachine.Past()
        past.restartPending = true
        past.backoffStep = 2
        past.lastLaunch = "a1"
        let now = BootTime(nanoseconds: 1_000_000_000_000)
        let policy = WorkerFixture(past: past).machine.policy
        func machine() -> WorkerMachine { WorkerMachine(worker: WorkerName("feed", on: "md-1"), policy: policy, past: past, now: now) }
        let whole = try #require(machine().deadline)
        past.backoffSince = now + (.zero - .seconds(3))
        #expect(machine().deadline == whole + (.zero - .seconds(3)))
        // Handed on, it is the same.
        #expect(machine().past.backoffSince == past.backoffSince)
        // One that is over is due at once; one of the future, by a clock's fault, begins now.
        past.backoffSince = now + (.zero - .seconds(600))
        #expect(machine().deadline == now)
        past.backoffSince = now + .seconds(600)
        #expect(machine().deadline == whole)
    }

    @Test("a worker found ended that had been ready for long has earned its budget back")
    func pastStable() throws {
        var past = WorkerMachine.Past()
        let began = BootTime(nanoseconds: 1_000_000_000)
        past.recentStarts = [began, began, began]
        past.backoffStep = 2
        past.readySince = began
        var worker = WorkerFixture(past: past)
        worker.tell(.foundGone("a3", WorkerExit(how: .exited(1), at: began + .seconds(61)), wasStopping: false), after: .seconds(62))
        #expect(try #require(backoff(worker)) <= 6 && worker.machine.backoffStep == 1)
    }

    @Test("a restart that the agent before intended and that did happen is not done twice")
    func pastIntended() {
        var past = WorkerMachine.Past()
        past.restartPending = true
        past.lastLaunch = "a1"
        past.backoffStep = 1
        var adopted = WorkerFixture(past: past)
        adopted.tell(.adopted("a2", pid: 7, ready: false, stopping: false, quiesced: false))
        #expect(adopted.machine.launch == "a2")
        adopted.wait(.seconds(15))
        #expect(adopted.launches.isEmpty)
        var ended = WorkerFixture(past: past)
        ended.tell(.foundGone("a2", WorkerExit(how: .exited(1), at: ended.now), wasStopping: false))
        #expect(ended.records == [.workerExit] && ended.machine.backoffStep == 2)
        ended.tell(.foundGone("a2", WorkerExit(how: .exited(1), at: ended.now), wasStopping: false))
        #expect(ended.last.isEmpty)
    }

    @Test("what a latch has ended while it waited for its restart is on record: no later agent finds it due")
    func latched() {
        var worker = WorkerFixture.at(.backoff)
        worker.tell(.latched("l1"))
        #expect(worker.records == [.workerStop] && worker.machine.phase == .stopped && !worker.machine.past.restartPending)
    }

    @Test("a machine in any phase hands on what the next one needs", arguments: WorkerFixture.At.allCases)
    func past(at phase: WorkerFixture.At) {
        var worker = WorkerFixture.at(phase)
        worker.lock()
        worker.unlock()
        let past = worker.machine.past
        let next = WorkerMachine(worker: "w@h", policy: worker.machine.policy, past: past, now: worker.now)
        #expect(next.past == past && next.launch == nil && next.slot == nil && next.generation == worker.machine.generation)
    }
}
