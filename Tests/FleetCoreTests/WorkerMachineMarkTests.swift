import FleetCore
import Testing

/// Locks and notes.
struct WorkerMachineMarkTests {
    private static let done = WorkerMachine.Answer.done(killed: false, held: false)

    @Test("a lock refuses every verb in words that say who and why, and unlocking lets them through again")
    func refuses() {
        var worker = WorkerFixture.at(.running)
        worker.lock()
        #expect(worker.records == [.workerLocked] && worker.answers == [Self.done] && worker.field("text", of: .workerLocked) == "bad param file")
        #expect(worker.machine.lock == Mark(by: "ops-1", text: "bad param file", unixMicroseconds: 5) && worker.machine.generation == 2)
        let locked = worker.machine
        for event in [
            WorkerMachine.Event.startRequested(worker.order(.start), launch: "a2"), .stopRequested(worker.order(.stop), killNow: false),
            .stopRequested(worker.order(.stop), killNow: true), .quiesceRequested(worker.order(.quiesce)), .resumeRequested(worker.order(.resume)),
            .holdWaitRequested(worker.order(.hold), .seconds(1)), .holdReleaseRequested(worker.order(.hold), kill: true),
        ] {
            worker.tell(event)
            #expect(worker.slug == "locked" && worker.last.count == 1 && worker.machine == locked)
        }
        worker.stop()
        if case .refused(_, let text)? = worker.answers.last { #expect(text.hasPrefix("w@h is locked by ops-1: \"bad param file\". Nothing was done.")) }
        worker.unlock()
        #expect(worker.records == [.workerUnlocked] && worker.machine.lock == nil)
        worker.stop()
        #expect(worker.has(.signal("TERM")))
    }

    @Test("a stop for a host that goes down passes a lock, says whose, and leaves it on")
    func throughLock() {
        var worker = WorkerFixture.at(.running)
        worker.lock()
        var order = worker.order(.stop)
        order.throughLock = true
        worker.tell(.stopRequested(order, killNow: false))
        #expect(worker.has(.signal("TERM")) && worker.machine.lock != nil)
        #expect(worker.field("through_lock_of", of: .workerSignal) == "ops-1" && worker.field("lock", of: .workerSignal) == "bad param file")
    }

    @Test("a lock can be set, read and taken off in every phase and moves nothing", arguments: WorkerFixture.At.allCases)
    func everywhere(at phase: WorkerFixture.At) {
        var worker = WorkerFixture.at(phase)
        let before = worker.machine
        worker.lock()
        #expect(worker.machine.launch == before.launch && worker.machine.slot == before.slot)
        if phase == .backoff {
            #expect(worker.records == [.workerLocked, .workerFailed])
            #expect(worker.machine.phase == .failed("locked: not restarted; last: exit 1"))
        } else {
            #expect(worker.machine.phase == before.phase && worker.records == [.workerLocked])
        }
        worker.lock()
        #expect(worker.records.isEmpty && worker.answers == [Self.done])
        worker.wait(.seconds(3_600))
        #expect(worker.launches.isEmpty)
        worker.unlock()
        worker.unlock()
        #expect(worker.records.isEmpty && worker.answers == [Self.done])
    }

    @Test("a mark that could not be recorded is recorded at the next order, though it changes nothing any more")
    func owed() {
        var worker = WorkerFixture.at(.running)
        for event in [AuditEvent.workerLocked, .workerUnlocked] {
            func order() { if event == .workerLocked { worker.lock() } else { worker.unlock() } }
            order()
            worker.tell(.marksUnrecorded)
            #expect(worker.last.isEmpty)
            order()
            #expect(worker.records == [event] && worker.answers == [Self.done])
            order()
            #expect(worker.records.isEmpty && worker.answers == [Self.done])
        }
    }

    @Test("a stop in progress is not undone by a lock, nor refused when it is offered again")
    func stopGoesOn() {
        var worker = WorkerFixture.at(.running)
        let stop = worker.stop()
        worker.lock()
        worker.tell(.stopRequested(stop, killNow: false))
        #expect(worker.last.isEmpty)
        worker.wait(.seconds(10))
        #expect(worker.records == [.workerKill])
        worker.gone(.signalled(9, core: false))
        #expect(worker.last.contains(.answer(stop, .done(killed: true, held: false))))
        worker.stop()
        #expect(worker.answers == [Self.done])
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.slug == "locked" && worker.launches.isEmpty)
    }

    @Test("a locked worker that ends by itself is not restarted, and not when it is unlocked either")
    func noRestart() {
        var worker = WorkerFixture.at(.running)
        worker.lock()
        worker.gone(.exited(1))
        #expect(worker.machine.phase == .failed("locked: not restarted; last: exit 1") && worker.records == [.workerExit, .workerFailed])
        worker.unlock()
        worker.wait(.seconds(3_600))
        #expect(worker.launches.isEmpty)
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.launches == ["a2"])
    }

    @Test("a latch goes through a lock, and its words come first")
    func latch() {
        var worker = WorkerFixture.at(.running)
        worker.lock()
        worker.tell(.latched("l1"))
        #expect(worker.last.first == .killTree(latch: "l1"))
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.slug == "latched")
        worker.tell(.unlatched)
        worker.gone(.signalled(9, core: false))
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.slug == "locked")
    }

    @Test("another person's lock is not overwritten; one's own text may change")
    func another() {
        var worker = WorkerFixture()
        worker.lock()
        worker.lock(by: "eng-2", "mine")
        #expect(worker.slug == "locked" && worker.machine.lock?.by == "ops-1" && worker.records.isEmpty)
        worker.lock("until PE-4411")
        #expect(worker.records == [.workerLocked] && worker.machine.lock?.text == "until PE-4411")
    }

    @Test("a note is kept until it is taken away, changes no generation, and saying it twice is one record")
    func remark() {
        var worker = WorkerFixture.at(.running)
        let mark = Mark(by: "ops-1", text: "watch its memory", unixMicroseconds: 9)
        worker.tell(.remarkRequested(worker.order(.note), mark))
        #expect(worker.records == [.workerNoted] && worker.machine.remark == mark && worker.machine.generation == 1)
        worker.tell(.remarkRequested(worker.order(.note), mark))
        #expect(worker.records.isEmpty && worker.answers == [Self.done])
        worker.tell(.remarkRequested(worker.order(.note), Mark(by: "ops-2", text: "", unixMicroseconds: 10)))
        #expect(worker.records == [.workerNoted] && worker.machine.remark == nil && worker.field("text", of: .workerNoted) == "")
        worker.tell(.remarkRequested(worker.order(.note), nil))
        #expect(worker.records.isEmpty)
    }

    @Test("lock and note of the agent before hold on, over a pending restart too")
    func past() {
        var past = WorkerMachine.Past()
        past.lock = Mark(by: "ops-1", text: "x", unixMicroseconds: 1)
        past.remark = Mark(by: "ops-2", text: "y", unixMicroseconds: 2)
        past.restartPending = true
        var worker = WorkerFixture(past: past)
        #expect(worker.machine.lock == past.lock && worker.machine.remark == past.remark && worker.machine.phase == .failed("locked: not restarted"))
        worker.wait(.seconds(100))
        #expect(worker.launches.isEmpty)
    }
}
