import FleetCore
import Testing

/// Any events in any order: what must never be.
struct WorkerMachinePropertyTests {
    @Test("over 20,000 random events no invariant breaks")
    func randomEvents() {
        for seed in seeds(40, of: "random worker events") {
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

    init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        let restart = RestartSpec(
            policy: random.pick([.never, .onFailure, .always]), delay: .seconds(1), limitStarts: 1 + random.below(4), limitWithin: .seconds(30))
        worker = WorkerFixture(
            then: random.chance(50) ? .hold : .kill, ready: random.chance(50) ? .delay(.seconds(1)) : .notify(within: .seconds(5)), restart: restart)
    }

    private mutating func makeOrder(_ verb: String) -> Order {
        if random.chance(10), let old = random.pickAny(open.values.filter { $0.verb == verb }.sorted { $0.operation < $1.operation }) { return old }
        var order = worker.order(verb)
        if random.chance(15) { order.expectedGeneration = UInt64(random.below(Int(worker.machine.generation) + 2)) }
        return order
    }

    private mutating func event() -> WorkerMachine.Event {
        launchCount += 1
        let launch = LaunchID("launch-\(launchCount)")
        let exit = WorkerExit(how: random.pick([.exited(0), .exited(1), .signalled(9, core: false), .unknown]), at: worker.now)
        switch random.below(26) {
        case 0...2: return .startRequested(makeOrder("start"), launch: launch)
        case 3, 4: return .stopRequested(makeOrder("stop"), killNow: random.chance(25))
        case 5: return .quiesceRequested(makeOrder("quiesce"))
        case 6: return .resumeRequested(makeOrder("resume"))
        case 7: return .holdWaitRequested(makeOrder("hold"), .seconds(random.below(20)))
        case 8: return .holdReleaseRequested(makeOrder("hold"), kill: random.chance(50))
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
                : .foundGone(exit, wasStopping: random.chance(50))
        case 21: return random.chance(40) ? .latched("l\(random.below(3))") : .unlatched
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
    }

    private mutating func fail(_ text: String) { if violation == nil { violation = text } }

    private mutating func check(_ event: WorkerMachine.Event, _ before: WorkerMachine) {
        let machine = worker.machine
        var hasRecord = false
        for effect in worker.last {
            switch effect {
            case .launch(let id):
                if before.launch != nil { fail("\(id) is launched while \(before.launch?.raw ?? "") lives (\(event))") }
                if machine.latch != nil { fail("\(id) is launched under latch \(machine.latch ?? "")") }
                if !hasRecord { fail("\(id) is launched without a record before") }
            case .signal, .perform: if !hasRecord { fail("\(effect) goes out without a record before") }
            case .killTree(latch: nil): if !hasRecord { fail("a kill without a record before (\(event))") }
            case .killTree: break
            case .record: hasRecord = true
            case .answer(let order, let answer):
                if case .progress = answer { continue }
                if order.operation.isEmpty { fail("an answer to nobody") }
                let mayRepeat = answered.contains(order.operation) && isOrder(event, order)
                if answered.contains(order.operation), !mayRepeat { fail("\(order.operation) \(order.verb) is answered twice") }
                answered.insert(order.operation)
                open[order.operation] = nil
                if case .done = answer, order.verb == "stop", machine.phase != .stopped { fail("a stop is answered as done in \(machine.phase)") }
                if case .done = answer, order.verb == "stop", before.launch != nil {
                    switch event {
                    case .gone, .launchFailed: break
                    default: fail("a stop is answered as done by \(event)")
                    }
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
        if let old = before.slot, old.verb == "stop", let new = machine.slot, new.operation != old.operation {
            if case .stopRequested(_, killNow: true) = event {} else { fail("a stop was superseded by \(new.verb)") }
        }
        if machine.generation < before.generation { fail("the generation fell") }
        if let launch = machine.launch, let old = before.launch, launch != old { fail("\(old) turned into \(launch)") }
        if machine.latch != nil {
            switch machine.phase {
            case .stopped, .failed, .killing, .launching: break
            case .starting, .running, .stopping, .held, .backoff: fail("\(machine.phase) under a latch")
            }
        }
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

    private func isOrder(_ event: WorkerMachine.Event, _ order: Order) -> Bool {
        switch event {
        case .startRequested(order, _), .stopRequested(order, _), .quiesceRequested(order), .resumeRequested(order), .holdWaitRequested(order, _),
            .holdReleaseRequested(order, _):
            true
        default: false
        }
    }
}
