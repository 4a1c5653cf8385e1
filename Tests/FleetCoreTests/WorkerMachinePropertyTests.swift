import FleetCore
import TestSupport
import Testing

/// Any events in any order: what must never be.
struct WorkerMachinePropertyTests {
    @Test("over 40,000 random events no invariant breaks")
    func randomEvents() {
        for seed in seeds(80, of: "random worker events") {
            var walk = Walk(seed: seed)
            for step in 0..<500 {
                walk.step()
                if let violation = walk.violation {
                    Issue.record("step \(step): \(violation) [\(howToRepeat(seed, "WorkerMachinePropertyTests"))]")
                    return
                }
            }
        }
    }

    @Test("whatever has come before, a stop by order ends once the tree is gone, or is held for a person")
    func stopEnds() {
        for seed in seeds(200, of: "stops after random worker events") {
            var walk = Walk(seed: seed)
            for _ in 0..<60 { walk.step() }
            if let problem = walk.end() {
                Issue.record("\(problem) [\(howToRepeat(seed, "WorkerMachinePropertyTests"))]")
                return
            }
        }
    }

    @Test("the same events give the same machine and the same effects")
    func deterministic() {
        var first = Walk(seed: 42)
        var second = Walk(seed: 42)
        for _ in 0..<500 {
            first.step()
            second.step()
            #expect(first.worker.machine == second.worker.machine && first.worker.last == second.worker.last)
        }
    }
}

private struct Walk {
    var random: SplitMix64
    var worker: WorkerFixture
    var violation: String?
    private var launchCount = 0
    private var open: [String: Order] = [:]
    private var answered: Set<String> = []
    private var asked: LaunchID?
    private var starts: [BootTime] = []

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        var restart = RestartSpec(
            policy: random.pick([.never, .onFailure, .always]), delay: random.chance(20) ? .zero : .seconds(1), limitStarts: 1 + random.below(4),
            limitWithin: .seconds(30))
        restart.delayMax = .seconds(1 + random.below(8))
        // So long that the budget is never earned back in a walk: the count of starts below knows only orders.
        restart.stableAfter = .seconds(1_000_000)
        var check = HealthSpec(how: .tcp("127.0.0.1:1"))
        check.failures = 1 + random.below(3)
        check.successes = 1 + random.below(2)
        worker = WorkerFixture(
            then: random.chance(50) ? .hold : .kill, ready: random.chance(50) ? .delay(.seconds(1)) : .notify(within: .seconds(5)), restart: restart,
            coreDump: random.chance(50) ? .wait : .killDump, health: random.chance(70) ? [check] : [], watchdog: .seconds(2))
    }

    private mutating func makeOrder(_ verb: Verb) -> Order {
        if random.chance(10), let old = random.pickAny(open.values.filter { $0.verb == verb }.sorted { $0.operation < $1.operation }) { return old }
        var order = worker.order(verb)
        if random.chance(15) { order.expectedGeneration = UInt64(random.below(Int(worker.machine.generation) + 2)) }
        return order
    }

    private mutating func event() -> WorkerMachine.Event {
        launchCount += 1
        let launch = LaunchID("launch-\(launchCount)")
        let exit = WorkerExit(how: random.pick([.exited(0), .exited(1), .signalled(9, core: false), .unknown]), at: worker.now)
        switch random.below(39) {
        case 0...2: return .startRequested(makeOrder(.start), launch: launch)
        case 3, 4: return .stopRequested(makeOrder(.stop), killNow: random.chance(25))
        case 5: return .quiesceRequested(makeOrder(.quiesce))
        case 6: return .resumeRequested(makeOrder(.resume))
        case 7: return .holdWaitRequested(makeOrder(.hold), .seconds(random.below(20)))
        case 8: return .holdReleaseRequested(makeOrder(.hold), kill: random.chance(50))
        case 9...11: return .processStarted(pid: Int32(100 + random.below(100)))
        case 12: return .launchFailed("no")
        case 13, 14: return .readySaid
        case 15: return .extensionSaid(.seconds(random.below(40)))
        case 16: return .notified(random.pick(["X_QUIESCED=1", "X_QUIESCED=0", "READY=1", "X_A=1"]))
        case 17: return random.chance(50) ? .actionSent(problem: random.chance(30) ? "no" : nil) : .actionShown
        case 18, 19: return .gone(exit)
        case 20:
            return random.chance(30)
                ? .adopted(launch, pid: 7, ready: random.chance(50), stopping: random.chance(30), quiesced: random.chance(20))
                : .foundGone(launch, exit, wasStopping: random.chance(50))
        case 21: return random.chance(40) ? .latched("l\(random.below(3))") : .unlatched
        case 22, 23: return .verified(asked ?? "nobody", random.chance(70) ? WorkerFixture.clear : WorkerFixture.left)
        case 24: return .verified(LaunchID("launch-\(random.below(launchCount))"), WorkerFixture.clear)
        case 25: return .dumping(random.chance(70), bytes: UInt64(random.below(1 << 20)))
        case 26: return random.chance(60) ? .watchdogLate : .watchdogBack
        case 27, 28: return .healthRead(index: random.below(2), problem: random.chance(60) ? "HTTP 503" : nil)
        case 29: return random.chance(50) ? .mainPIDChanged(Int32(100 + random.below(100))) : .reloading(random.chance(50))
        case 30:
            let order = makeOrder(random.chance(30) ? .lock : .unlock)
            return order.verb == .lock ? .lockRequested(order, Mark(by: "ops-\(random.below(2))", text: "x", unixMicroseconds: 1)) : .unlockRequested(order)
        case 31: return .remarkRequested(makeOrder(.note), random.chance(50) ? Mark(by: "ops-1", text: "y", unixMicroseconds: 1) : nil)
        case 38: return .marksUnrecorded
        default: return .timeReached(launch: launch)
        }
    }

    mutating func step() {
        let event = event()
        let before = worker.machine
        let wait: Duration =
            if case .timeReached = event, random.chance(50), let deadline = before.deadline, deadline > worker.now {
                deadline - worker.now
            } else {
                .milliseconds(random.below(1_500))
            }
        worker.tell(event, after: wait)
        check(event, before)
        checkStarts(event, before)
        checkKill(event, before)
    }

    /// Ends it as the world would: unlocked, stopped by order, the clock where it asks for it, and no word from anybody but
    /// that the tree is gone. Nil, or what is wrong.
    mutating func end() -> String? {
        worker.unlock()
        if worker.machine.slot?.verb != .stop {
            worker.stop()
            // In some phases the answer comes at once.
            if worker.machine.slot == nil { return worker.answers.isEmpty ? "the stop has no answer in \(worker.machine.phase)" : nil }
        }
        for _ in 0..<20 {
            guard let deadline = worker.machine.deadline, worker.machine.slot != nil else { break }
            worker.wait(max(.zero, deadline - worker.now))
        }
        guard worker.machine.slot != nil else { return nil }
        switch worker.machine.phase {
        case .held, .dumping: break
        case let phase: return "the stop waits in \(phase) for nothing"
        }
        worker.gone(verified: false)
        worker.waitDeadline()
        if worker.machine.phase != .stopped || worker.machine.slot != nil { return "the stop has not ended: \(worker.machine.phase)" }
        if case .done? = worker.answers.last { return nil }
        return "the stop ended with \(worker.answers)"
    }

    private mutating func fail(_ text: String) { if violation == nil { violation = text } }

    /// At most so many starts per window, none under a lock, and never sooner than the delay says.
    private mutating func checkStarts(_ event: WorkerMachine.Event, _ before: WorkerMachine) {
        let machine = worker.machine
        let spec = machine.policy.restart
        if case .backoff(let until) = machine.phase, machine.phase != before.phase {
            var nominal = spec.delay
            for _ in 1..<max(1, machine.backoffStep) { nominal = min(nominal * 2, max(spec.delay, spec.delayMax)) }
            let delay = until - worker.now
            let least = min(nominal, max(spec.delay, spec.delayMax)).nanoseconds / 10 * 8
            if delay.nanoseconds < least { fail("it comes back after \(delay), at least \(least) ns were due at step \(machine.backoffStep)") }
            if delay > max(spec.delay, spec.delayMax) { fail("it comes back only after \(delay)") }
            if spec.delay == .zero, delay != .zero { fail("no delay has become \(delay)") }
        }
        for case .launch(let id) in worker.last {
            if machine.lock != nil { fail("\(id) is launched though it is locked") }
            if case .startRequested = event { starts = [] }
            let window = worker.now + (.zero - spec.limitWithin)
            starts.append(worker.now)
            starts.removeAll { $0 < window }
            if starts.count > max(1, spec.limitStarts) { fail("\(starts.count) starts within \(spec.limitWithin), the limit is \(spec.limitStarts)") }
        }
        if case .adopted = event, before.launch == nil, machine.recentStarts.count == 1, before.recentStarts.isEmpty { starts = [worker.now] }
    }

    /// Whoever is held, or writes a core that is waited for, is killed by an order or a latch and by nothing else.
    private mutating func checkKill(_ event: WorkerMachine.Event, _ before: WorkerMachine) {
        for effect in worker.last {
            guard case .killTree(latch: nil) = effect else { continue }
            switch (before.phase, event) {
            case (.launching, .timeReached), (.launching, .processStarted): break
            case (_, .stopRequested(_, killNow: true)), (_, .holdReleaseRequested(_, kill: true)): break
            case (.killing, .stopRequested), (.dumping, .stopRequested): break
            case (.stopping, .timeReached): if before.policy.stop.then == .hold { fail("killed by the clock though it was to be held") }
            case (_, .dumping(true, _)): if before.policy.release.coreDump == .wait { fail("its core was to be waited for") }
            default: fail("killed by \(event) in \(before.phase)")
            }
        }
        if case .dumping = before.phase, case .timeReached = event, worker.machine.phase != before.phase { fail("the clock has ended a core dump") }
    }

    private mutating func check(_ event: WorkerMachine.Event, _ before: WorkerMachine) {
        let machine = worker.machine
        var hasRecord = false
        for effect in worker.last {
            switch effect {
            case .launch(let id):
                if before.launch != nil { fail("\(id) is launched while \(before.launch?.raw ?? "") lives (\(event))") }
                if machine.latch != nil { fail("\(id) is launched under latch \(machine.latch ?? "")") }
                if !hasRecord { fail("\(id) is launched without a record before") }
            case .signal, .callOffStop, .perform: if !hasRecord { fail("\(effect) goes out without a record before") }
            case .killTree(latch: nil): if !hasRecord { fail("a kill without a record before (\(event))") }
            case .killTree: break
            case .verify(let id):
                asked = id
                if case .gone = event, before.launch != id { fail("\(id) is looked at, \(before.launch?.raw ?? "nothing") was gone") }
            case .record: hasRecord = true
            case .answer(let order, let answer):
                if case .progress = answer { continue }
                if order.operation.isEmpty { fail("an answer to nobody") }
                let mayRepeat = answered.contains(order.operation) && isOrder(event, order)
                if answered.contains(order.operation), !mayRepeat { fail("\(order.operation) \(order.verb) is answered twice") }
                answered.insert(order.operation)
                open[order.operation] = nil
                if case .done = answer, order.verb == .stop, machine.phase != .stopped { fail("a stop is answered as done in \(machine.phase)") }
                if case .done = answer, order.verb == .stop, before.launch != nil {
                    switch (before.phase, event) {
                    case (.verifying, .verified), (.verifying, .timeReached), (.launching, .launchFailed): break
                    default: fail("a stop is answered as done by \(event) in \(before.phase)")
                    }
                    if machine.verification == nil, case .verifying = before.phase { fail("a stop is done and nothing is said of what is left") }
                    if machine.verification?.left.isEmpty == false { fail("a stop is done with something left behind") }
                }
            }
        }
        if let slot = machine.slot {
            if answered.contains(slot.operation), before.slot?.operation == slot.operation { fail("\(slot.operation) holds the slot after its answer") }
            open[slot.operation] = slot
        }
        if let old = before.slot, machine.slot?.operation != old.operation, !answered.contains(old.operation) {
            fail("\(old.operation) \(old.verb) lost the slot without an answer")
        }
        if let old = before.slot, old.verb == .stop, let new = machine.slot, new.operation != old.operation {
            if case .stopRequested(_, killNow: true) = event {} else { fail("a stop was superseded by \(new.verb)") }
        }
        if machine.generation < before.generation { fail("the generation fell") }
        if let launch = machine.launch, let old = before.launch, launch != old { fail("\(old) turned into \(launch)") }
        if machine.latch != nil {
            switch machine.phase {
            case .stopped, .failed, .killing, .launching, .verifying: break
            case .dumping: if !wasKilled { fail("\(machine.phase) under a latch and not killed") }
            case .starting, .running, .stopping, .held, .backoff: fail("\(machine.phase) under a latch")
            }
        }
        if machine.lock != nil, case .backoff = machine.phase { fail("waiting for a restart under a lock") }
        if case .verifying = machine.phase, machine.slot?.verb != .stop { fail("verifying for nobody") }
        if let old = before.slot, machine.slot?.operation == old.operation, machine.slot != old { fail("the order in the slot has changed") }
        if case .stopping(_, _, let graceEnds, let limit) = machine.phase, graceEnds > limit { fail("the grace ends after its bound") }
        if case .held = machine.phase, machine.policy.stop.then == .kill { fail("held though it was to be killed") }
        if case .killing = machine.phase, machine.policy.stop.then == .hold, case .timeReached = event, case .stopping = before.phase {
            fail("killed by the clock though it was to be held")
        }
        if case .timeReached = event, let deadline = machine.deadline, deadline <= worker.now { fail("the deadline stays in the past in \(machine.phase)") }
        if machine.slot == nil, machine.phase == before.phase, case .running = machine.phase, machine.deadline != nil {
            fail("a deadline without an operation")
        }
    }

    /// SIGKILL went out for what is dumping core now.
    private var wasKilled: Bool { worker.machine.isUnderStop }

    private func isOrder(_ event: WorkerMachine.Event, _ order: Order) -> Bool {
        switch event {
        case .startRequested(order, _), .stopRequested(order, _), .quiesceRequested(order), .resumeRequested(order), .holdWaitRequested(order, _),
            .holdReleaseRequested(order, _), .lockRequested(order, _), .unlockRequested(order), .remarkRequested(order, _):
            true
        default: false
        }
    }
}
