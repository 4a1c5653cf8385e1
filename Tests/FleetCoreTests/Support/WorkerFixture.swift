import FleetCore

/// One worker, told by hand what happens.
struct WorkerFixture {
    static let stopSpec = StopSpec(grace: .seconds(10), extendTo: .seconds(30), then: .kill)
    static let quiesce = ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(5))
    static let clear = Verification(Verification.What.allCases.map { Verification.Check($0, .clear) }, at: .zero)
    static let left = Verification([Verification.Check(.tree, .clear), Verification.Check(.locks, .left, "/run/w.lock is there")], at: .zero)
    static let resume = ActionSpec(how: .signal("USR2"), done: .notify("X_QUIESCED=0"), within: .seconds(5))

    var machine: WorkerMachine
    var now = BootTime(nanoseconds: 1_000_000_000)
    private(set) var last: [WorkerMachine.Effect] = []
    private var orders = 0

    init(
        then: StopSpec.Then = .kill, ready: ReadySpec = .notify(within: .seconds(20)), restart: RestartSpec = RestartSpec(),
        coreDump: ReleaseSpec.CoreDump = .wait, health: [HealthSpec] = [], watchdog: Duration? = nil, past: WorkerMachine.Past = WorkerMachine.Past()
    ) {
        var stop = Self.stopSpec
        stop.then = then
        var release = ReleaseSpec()
        release.coreDump = coreDump
        release.lockFiles = ["/run/w.lock"]
        machine = WorkerMachine(
            worker: "w@h",
            policy: WorkerPolicy(
                ready: ready, stop: stop, quiesce: Self.quiesce, resume: Self.resume, restart: restart, release: release, health: health, watchdog: watchdog),
            past: past, now: now)
    }

    mutating func order(_ verb: Verb, by: String = "ops-1", generation: UInt64? = nil) -> Order {
        orders += 1
        return Order(operation: "op-\(orders)", verb: verb, by: by, reason: "test", expectedGeneration: generation)
    }

    mutating func tell(_ event: WorkerMachine.Event, after: Duration = .milliseconds(1)) {
        now = now + after
        last = machine.handle(event, now: now)
    }

    mutating func wait(_ time: Duration) { tell(.timeReached(launch: "later"), after: time) }

    /// Up to what the machine itself waits for.
    mutating func waitDeadline() { if let deadline = machine.deadline { wait(deadline - now) } }

    mutating func lock(by: String = "ops-1", _ text: String = "bad param file") {
        tell(.lockRequested(order(.lock, by: by), Mark(by: by, text: text, unixMicroseconds: 5)))
    }

    mutating func unlock() { tell(.unlockRequested(order(.unlock))) }

    /// Running and ready, by an order that was answered.
    mutating func run(_ launch: LaunchID = "a1") {
        tell(.startRequested(order(.start), launch: launch))
        tell(.processStarted(pid: 100))
        tell(.readySaid)
    }

    @discardableResult
    mutating func stop(killNow: Bool = false) -> Order {
        let order = order(.stop)
        tell(.stopRequested(order, killNow: killNow))
        return order
    }

    /// The whole tree is gone; what it left is looked at in the same breath, unless `verified` is false.
    mutating func gone(_ how: WorkerExit.How = .exited(0), verified: Bool = true) {
        tell(.gone(WorkerExit(how: how, at: now)))
        guard verified, case .verifying(let launch, _) = machine.phase else { return }
        let before = last
        tell(.verified(launch, Self.clear), after: .zero)
        last = before + last
    }

    var answers: [WorkerMachine.Answer] { last.compactMap { if case .answer(_, let answer) = $0 { answer } else { nil } } }

    var slug: String? {
        switch answers.last {
        case .refused(let slug, _), .failed(let slug, _), .progress(let slug, _): slug
        case .done, nil: nil
        }
    }

    var records: [AuditEvent] { last.compactMap { if case .record(let event, _, _) = $0 { event } else { nil } } }

    /// A field of the last record of that event.
    func field(_ key: String, of event: AuditEvent) -> String? {
        for case .record(event, _, let fields) in last.reversed() { return fields.first { $0.key == key }?.value }
        return nil
    }

    func has(_ effect: WorkerMachine.Effect) -> Bool { last.contains(effect) }

    var launches: [LaunchID] { last.compactMap { if case .launch(let id) = $0 { id } else { nil } } }
}

// MARK: Every phase

extension WorkerFixture {
    enum At: CaseIterable { case stopped, launching, starting, running, stopping, dumping, held, killing, verifying, backoff, failed }

    /// A worker in that phase, by the shortest way; where there is a launch it is `a1`.
    static func at(_ phase: At, then: StopSpec.Then = .kill, health: [HealthSpec] = []) -> WorkerFixture {
        var worker = WorkerFixture(then: phase == .held ? .hold : then, health: health)
        switch phase {
        case .stopped: break
        case .launching: worker.tell(.startRequested(worker.order(.start), launch: "a1"))
        case .starting:
            worker.tell(.startRequested(worker.order(.start), launch: "a1"))
            worker.tell(.processStarted(pid: 100))
        case .running: worker.run()
        case .stopping:
            worker.run()
            worker.stop()
        case .dumping:
            worker.run()
            worker.tell(.dumping(true, bytes: 0))
        case .held, .killing:
            worker.run()
            worker.stop()
            worker.wait(.seconds(10))
        case .verifying:
            worker.run()
            worker.stop()
            worker.gone(verified: false)
        case .backoff:
            worker.run()
            worker.gone(.exited(1))
        case .failed:
            worker.tell(.startRequested(worker.order(.start), launch: "a1"))
            worker.tell(.launchFailed("no"))
        }
        return worker
    }
}
