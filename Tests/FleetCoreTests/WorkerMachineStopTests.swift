import FleetCore
import Testing

/// What is left after an end, core dumps, more time, and the main process.
struct WorkerMachineStopTests {
    private static let done = WorkerMachine.Answer.done(killed: false, held: false)

    // MARK: Verification

    @Test("a stop is answered once what the launch left was looked at, and says so on record")
    func verified() {
        var worker = WorkerFixture.at(.running)
        let stop = worker.stop()
        worker.gone(verified: false)
        #expect(worker.last.first == .verify("a1") && worker.records == [.workerStop] && worker.answers.isEmpty)
        #expect(worker.machine.launch == "a1" && worker.machine.pid == nil && worker.machine.slot == stop)
        worker.tell(.verified("a0", WorkerFixture.left))
        #expect(worker.last.isEmpty)
        worker.tell(.verified("a1", WorkerFixture.clear))
        #expect(worker.records == [.workerVerified] && worker.answers == [Self.done] && worker.field("locks", of: .workerVerified) == "clear")
        #expect(worker.machine.phase == .stopped && worker.machine.verification == WorkerFixture.clear)
        worker.tell(.verified("a1", WorkerFixture.left))
        #expect(worker.last.isEmpty && worker.machine.verification == WorkerFixture.clear)
        worker.stop()
        #expect(worker.answers == [Self.done] && worker.machine.phase == .stopped)
    }

    @Test("a stop that left something behind has failed and names it; stopped again after a clean-up it is looked at again")
    func left() {
        var worker = WorkerFixture.at(.verifying)
        worker.tell(.verified("a1", WorkerFixture.left))
        #expect(worker.slug == "left-behind" && worker.machine.phase == .stopped)
        #expect(worker.field("locks", of: .workerVerified) == "left: /run/w.lock is there")
        if case .failed(_, let text)? = worker.answers.last { #expect(text.contains("/run/w.lock is there")) }
        worker.stop()
        #expect(worker.last.first == .verify("a1") && worker.answers.isEmpty)
        worker.tell(.verified("a1", WorkerFixture.clear))
        #expect(worker.answers == [Self.done])
    }

    @Test("a kill that meets it ended is none; one that ends it is")
    func killedOrNot() {
        for (how, killed) in [(WorkerExit.How.exited(0), false), (.signalled(9, core: false), true), (.unknown, true)] {
            var worker = WorkerFixture.at(.running)
            worker.tell(.stopRequested(worker.order(.stop), killNow: true))
            worker.gone(how)
            #expect(worker.answers.last == .done(killed: killed, held: false), "\(how)")
        }
    }

    @Test("a look that never answers ends a stop after its bound, with all that is declared unknown; its late answer is kept")
    func late() {
        var worker = WorkerFixture.at(.verifying)
        worker.wait(.milliseconds(4_990))
        #expect(worker.last.isEmpty)
        worker.waitDeadline()
        #expect(worker.answers == [Self.done] && worker.records == [.workerVerified])
        #expect(worker.machine.verification?.unknown.map(\.what) == [.sockets, .locks, .marker])
        worker.tell(.verified("a1", WorkerFixture.left))
        #expect(worker.records == [.workerVerified] && worker.answers.isEmpty && worker.machine.verification == WorkerFixture.left)
        worker.tell(.startRequested(worker.order(.start), launch: "a2"))
        #expect(worker.machine.verification == nil)
        worker.tell(.verified("a1", WorkerFixture.clear))
        #expect(worker.last.isEmpty && worker.machine.verification == nil)
    }

    @Test("an end by itself is not held up by the look; a stop that comes meanwhile waits for it")
    func beside() {
        var worker = WorkerFixture.at(.running)
        worker.gone(.exited(1))
        #expect(worker.last.first == .verify("a1"))
        if case .backoff = worker.machine.phase {} else { Issue.record("\(worker.machine.phase)") }
        var stopped = worker
        worker.tell(.verified("a1", WorkerFixture.left))
        #expect(worker.records == [.workerVerified] && worker.answers.isEmpty)
        worker.waitDeadline()
        #expect(worker.launches.count == 1)
        stopped.stop()
        #expect(stopped.records == [.workerStop] && !stopped.has(.verify("a1")) && stopped.answers.isEmpty)
        stopped.tell(.verified("a1", WorkerFixture.clear))
        #expect(stopped.answers == [Self.done] && stopped.machine.phase == .stopped)
    }

    @Test("checks are read back from the audit as they were written")
    func fields() {
        let checks = Verification(
            [.init(.tree, .clear), .init(.sockets, .unknown, "onload: the kernel can't list them"), .init(.pidFile, .unchecked)], at: .zero)
        let fields = Dictionary(uniqueKeysWithValues: checks.fields.map { ($0.key, $0.value) })
        #expect(Verification({ fields[$0] }, at: .zero) == checks)
        #expect(Verification({ _ in nil }, at: .zero) == nil && Verification({ _ in "strange" }, at: .zero) == nil)
    }

    // MARK: Core dumps

    @Test("a stop waits for a core dump past its grace, says so with its size, and is never cut short by the clock")
    func dumpWaits() {
        var worker = WorkerFixture.at(.running)
        let stop = worker.stop()
        worker.tell(.dumping(true, bytes: 0))
        #expect(worker.records == [.workerDumping] && worker.machine.phase == .dumping("a1", pid: 100) && worker.machine.wantsDumpLook)
        worker.tell(.dumping(true, bytes: 2_254_857_830))
        #expect(worker.last.isEmpty && worker.machine.dumpedBytes == 2_254_857_830)
        worker.waitDeadline()
        #expect(worker.slug == "dumping-core" && worker.records.isEmpty && worker.machine.deadline == nil)
        if case .progress(_, let text)? = worker.answers.last {
            #expect(text.hasPrefix("w@h is dumping core: 2.0 GiB written, still holds its sockets"))
        }
        worker.wait(.seconds(3_600))
        #expect(worker.last.isEmpty)
        worker.tell(.stopRequested(stop, killNow: false))
        #expect(worker.slug == "dumping-core")
        worker.gone(.signalled(6, core: true))
        #expect(worker.last.contains(.answer(stop, Self.done)))
    }

    @Test("an order to kill cuts a core dump short, and so does a latch", arguments: [ReleaseSpec.CoreDump.wait, .killDump])
    func dumpKilled(coreDump: ReleaseSpec.CoreDump) {
        var worker = WorkerFixture(coreDump: coreDump)
        worker.run()
        worker.tell(.dumping(true, bytes: 0))
        #expect(!worker.has(.killTree(latch: nil)))
        var latched = worker
        worker.stop(killNow: true)
        #expect(worker.has(.killTree(latch: nil)) && worker.records == [.workerKill])
        // It still writes; killed once is killed.
        worker.tell(.dumping(true, bytes: 9))
        #expect(worker.last.isEmpty)
        worker.waitDeadline()
        #expect(worker.slug == "kill-late")
        latched.tell(.latched("l1"))
        #expect(latched.last.first == .killTree(latch: "l1"))
    }

    @Test("where it is declared so a stop cuts a core dump short, whichever comes first; without a stop it is let be")
    func killDump() {
        var worker = WorkerFixture(coreDump: .killDump)
        worker.run()
        worker.tell(.dumping(true, bytes: 0))
        #expect(worker.records == [.workerDumping])
        worker.stop()
        #expect(worker.records == [.workerKill])
        worker = WorkerFixture(coreDump: .killDump)
        worker.run()
        worker.stop()
        worker.tell(.dumping(true, bytes: 0))
        #expect(worker.records == [.workerDumping, .workerKill] && worker.has(.killTree(latch: nil)))
    }

    @Test("a dump that is over leaves the rest where it was: a stop then signals, or goes on with its grace")
    func dumpOver() {
        var worker = WorkerFixture.at(.dumping)
        worker.tell(.dumping(false, bytes: 0))
        #expect(worker.machine.phase == .running("a1", pid: 100))
        worker.tell(.dumping(true, bytes: 0))
        #expect(worker.records.isEmpty)  // recorded once in a launch
        worker.stop()
        #expect(!worker.has(.signal("TERM")) && worker.records == [.workerDumping])
        worker.tell(.dumping(false, bytes: 0))
        #expect(worker.has(.signal("TERM")))
        worker.tell(.dumping(true, bytes: 0))
        worker.wait(.seconds(20))
        worker.tell(.dumping(false, bytes: 0))
        worker.wait(.zero)
        #expect(worker.records == [.workerKill])
    }

    @Test("a worker that dumps core on its own restarts by policy when it is gone; a start that waits for it has failed")
    func dumpsByItself() {
        var worker = WorkerFixture.at(.dumping)
        worker.gone(.signalled(11, core: true))
        if case .backoff = worker.machine.phase {} else { Issue.record("\(worker.machine.phase)") }
        var starting = WorkerFixture.at(.starting)
        starting.tell(.dumping(true, bytes: 0))
        #expect(starting.slug == "ended" && starting.machine.slot == nil)
        var held = WorkerFixture.at(.held)
        held.tell(.dumping(true, bytes: 0))
        held.wait(.seconds(60))
        #expect(held.last.isEmpty && held.machine.phase == .dumping("a1", pid: 100))
        held.tell(.holdReleaseRequested(held.order(.hold), kill: true))
        #expect(held.has(.killTree(latch: nil)))
    }

    // MARK: More time

    @Test("each phase's extensions are recorded at once and then every five seconds at most, with what it says is in flight")
    func extensions() {
        var worker = WorkerFixture.at(.stopping)
        let words = WorkerMachine.flightWords(inFlight: 1_234, status: "flushing")
        #expect(words == "1,234 in flight, flushing")
        worker.tell(.extensionSaid(.seconds(11), words: words))
        #expect(worker.records == [.workerExtended] && worker.field("in_flight", of: .workerExtended) == words)
        var records = 0
        for _ in 0..<1_000 {
            worker.tell(.extensionSaid(.seconds(12)), after: .milliseconds(10))
            records += worker.records.count
        }
        #expect(records == 2)
        worker.tell(.extensionSaid(.seconds(1)))
        #expect(worker.last.isEmpty)
    }

    @Test("figures are written as people read them")
    func words() {
        #expect(
            WorkerMachine.flightWords(inFlight: nil, status: "") == "" && WorkerMachine.flightWords(inFlight: -1_000_000, status: "") == "-1,000,000 in flight")
        #expect(WorkerMachine.flightWords(inFlight: Int64.min, status: "") == "-9,223,372,036,854,775,808 in flight")
        #expect(WorkerMachine.byteWords(0) == "0 B" && WorkerMachine.byteWords(1_536) == "1.5 KiB" && WorkerMachine.byteWords(.max) == "15.9 EiB")
    }

    @Test("a slow start may ask for more time, bounded from its beginning; asked too late it changes nothing")
    func startExtended() {
        var worker = WorkerFixture.at(.starting)
        let began = worker.now
        worker.tell(.extensionSaid(.seconds(25), words: "loading"))
        #expect(worker.records == [.workerExtended] && worker.machine.deadline == worker.now + .seconds(25))
        for _ in 0..<10 { worker.tell(.extensionSaid(.seconds(600))) }
        #expect(worker.machine.deadline == began + .seconds(50))
        worker.waitDeadline()
        #expect(worker.slug == "not-ready")
        worker.tell(.extensionSaid(.seconds(600)))
        #expect(worker.last.isEmpty && worker.machine.deadline == nil)
    }

    // MARK: The main process, reloading

    @Test("a new main process is taken over in every phase that has one, and recorded, but not without end", arguments: WorkerFixture.At.allCases)
    func mainPID(at phase: WorkerFixture.At) {
        var worker = WorkerFixture.at(phase)
        let had = worker.machine.pid
        worker.tell(.mainPIDChanged(200))
        #expect(worker.machine.pid == (had == nil ? nil : 200) && worker.records == (had == nil ? [] : [.workerLaunched]))
        worker.tell(.mainPIDChanged(200))
        #expect(worker.last.isEmpty)
        var records = 0
        for pid in 201..<400 {
            worker.tell(.mainPIDChanged(Int32(pid)))
            records += worker.records.count
        }
        #expect(records < 20 && worker.machine.pid == (had == nil ? nil : 399))
        worker.tell(.mainPIDChanged(0))
        #expect(worker.last.isEmpty && worker.machine.pid != 0)
    }

    @Test("reloading is shown until READY=1, and is no change of phase")
    func reloading() {
        var worker = WorkerFixture.at(.running)
        let phase = worker.machine.phase
        worker.tell(.notified("RELOADING=1"))
        #expect(worker.machine.reloading && worker.machine.phase == phase && worker.last.isEmpty)
        worker.tell(.notified("READY=1"))
        #expect(!worker.machine.reloading && worker.last.isEmpty)
        worker.tell(.reloading(true))
        worker.gone(.exited(1))
        #expect(!worker.machine.reloading)
    }

    @Test("events that mean nothing in a phase change nothing in it", arguments: WorkerFixture.At.allCases)
    func negativeSpace(at phase: WorkerFixture.At) {
        let worker = WorkerFixture.at(phase)
        let isLive = worker.machine.pid != nil
        for event in [WorkerMachine.Event.verified("old", WorkerFixture.left), .dumping(false, bytes: 0), .watchdogBack, .healthRead(index: 7, problem: "x")]
        where phase != .dumping {
            var told = worker
            told.tell(event)
            #expect(told.last.isEmpty && told.machine == worker.machine)
        }
        if !isLive {
            for event in [WorkerMachine.Event.dumping(true, bytes: 5), .watchdogLate, .mainPIDChanged(9), .extensionSaid(.seconds(9)), .notified("STOPPING=1")]
            {
                var told = worker
                told.tell(event)
                #expect(told.last.isEmpty && told.machine.phase == worker.machine.phase)
            }
        }
    }
}
