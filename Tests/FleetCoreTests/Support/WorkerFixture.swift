import FleetCore

/// One worker, told by hand what happens.
struct WorkerFixture {
    static let stopSpec = StopSpec(grace: .seconds(10), extendTo: .seconds(30), then: .kill)
    static let quiesce = ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(5))
    static let resume = ActionSpec(how: .signal("USR2"), done: .notify("X_QUIESCED=0"), within: .seconds(5))

    var machine: WorkerMachine
    var now = BootTime(nanoseconds: 1_000_000_000)
    private(set) var last: [WorkerMachine.Effect] = []
    private var orders = 0

    init(then: StopSpec.Then = .kill, ready: ReadySpec = .notify(within: .seconds(20)), restart: RestartSpec = RestartSpec()) {
        var stop = Self.stopSpec
        stop.then = then
        machine = WorkerMachine(
            worker: "w@h", policy: WorkerPolicy(ready: ready, stop: stop, quiesce: Self.quiesce, resume: Self.resume, restart: restart), now: now)
    }

    mutating func order(_ verb: String, by: String = "ops-1", generation: UInt64? = nil) -> Order {
        orders += 1
        return Order(operation: "op-\(orders)", verb: verb, by: by, reason: "test", expectedGeneration: generation)
    }

    mutating func tell(_ event: WorkerMachine.Event, after: Duration = .milliseconds(1)) {
        now = now + after
        last = machine.handle(event, now: now)
    }

    mutating func wait(_ time: Duration) { tell(.timeReached(launch: "later"), after: time) }

    /// Running and ready, by an order that was answered.
    mutating func run(_ launch: LaunchID = "a1") {
        tell(.startRequested(order("start"), launch: launch))
        tell(.processStarted(pid: 100))
        tell(.readySaid)
    }

    @discardableResult
    mutating func stop(killNow: Bool = false) -> Order {
        let order = order("stop")
        tell(.stopRequested(order, killNow: killNow))
        return order
    }

    mutating func gone(_ how: WorkerExit.How = .exited(0)) { tell(.gone(WorkerExit(how: how, at: now))) }

    var answers: [WorkerMachine.Answer] { last.compactMap { if case .answer(_, let answer) = $0 { answer } else { nil } } }

    var slug: String? {
        switch answers.last {
        case .refused(let slug, _), .failed(let slug, _), .progress(let slug, _): slug
        case .done, nil: nil
        }
    }

    var records: [AuditEvent] { last.compactMap { if case .record(let event, _, _) = $0 { event } else { nil } } }

    func has(_ effect: WorkerMachine.Effect) -> Bool { last.contains(effect) }

    var launches: [LaunchID] { last.compactMap { if case .launch(let id) = $0 { id } else { nil } } }
}
