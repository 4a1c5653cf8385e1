import FleetCore
import FleetJournal
import FleetWire
import Testing

@testable import FleetAgent

struct AgentJournalFoldTests {
    private static func record(_ event: AuditEvent, _ fields: [(String, String)] = [], run: UInt64? = nil) -> AuditRecord {
        AuditRecord(event.rawValue, worker: "feed@md-1", run: run, fields: fields)
    }

    private static let start = record(.workerStart, [("launch", "a1"), ("generation", "3"), ("op", "o1")])

    private func folded(_ records: AuditRecord...) -> AgentJournalFold.Worker? { AgentJournalFold(records).workers["feed"] }

    @Test("a started worker has an open launch, ready once it said so")
    func started() {
        var worker = folded(Self.start)
        #expect(worker?.launch == "a1" && worker?.open == true && worker?.ready == false && worker?.generation == 3)
        worker = folded(Self.start, Self.record(.workerLaunched), Self.record(.workerReady))
        #expect(worker?.ready == true && worker?.stopping == false && worker?.open == true)
    }

    @Test("a signalled, killed, held or latched worker is stopping", arguments: [AuditEvent.workerSignal, .workerKill, .workerHold, .holdWait, .emergencyKill])
    func stopping(event: AuditEvent) {
        #expect(folded(Self.start, Self.record(event))?.stopping == true)
        let gone = folded(Self.start, Self.record(event), Self.record(.workerStop, [("exit", "signal 9, core dumped"), ("latch", "em-1")]))
        #expect(gone?.stopping == false && gone?.open == false)
        #expect(gone?.exit?.how == .signalled(9, core: true) && gone?.exit?.killedByLatch == "em-1")
    }

    @Test("a hold that was released without a kill is no stop any more; with a kill it is one")
    func released() {
        #expect(folded(Self.start, Self.record(.workerHold), Self.record(.holdRelease, [("kill", "false")]))?.stopping == false)
        #expect(folded(Self.start, Self.record(.workerHold), Self.record(.holdRelease, [("kill", "true")]))?.stopping == true)
    }

    @Test("quiesced until resumed or started anew")
    func quiesced() {
        #expect(folded(Self.start, Self.record(.workerQuiesce))?.quiesced == false)
        #expect(folded(Self.start, Self.record(.workerQuiesced))?.quiesced == true)
        #expect(folded(Self.start, Self.record(.workerQuiesced), Self.record(.workerResumed))?.quiesced == false)
        #expect(folded(Self.start, Self.record(.workerQuiesced), Self.record(.workerExit), Self.start)?.quiesced == false)
    }

    @Test("restarts are counted until an order starts it")
    func restarted() {
        let again = Self.record(.workerRestart, [("launch", "a2")])
        let twice = folded(Self.start, Self.record(.workerExit, [("exit", "exit 3")]), again, Self.record(.workerExit), again)
        #expect(twice?.restarts == 2 && twice?.launch == "a2" && twice?.open == true && twice?.exit?.how == .exited(3))
        #expect(folded(Self.start, again, Self.record(.workerExit), Self.start)?.restarts == 0)
    }

    @Test("what a worker left for a certificate is read back")
    func exit() {
        let fields = [("exit", "exit 0"), ("status", "flushed"), ("X_PRODUCED", "41"), ("said_stopping", "true"), ("gone_boottime_ns", "77")]
        let exit = folded(Self.start, Self.record(.workerStop, fields))?.exit
        #expect(exit == WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "41"], saidStopping: true, status: "flushed", at: BootTime(nanoseconds: 77)))
        // A stop of what was stopped already says nothing of an exit.
        #expect(folded(Self.start, Self.record(.workerStop, fields), Self.record(.workerStop, [("already", "stopped")]))?.exit == exit)
    }

    @Test("a launch that failed is closed")
    func failed() {
        #expect(folded(Self.start, Self.record(.workerLaunchFailed, [("why", "no program")]))?.open == false)
    }

    @Test("an order that expired leaves the worker as its record says, and nothing of itself to be cited")
    func expired() {
        let expired = AuditRecord(
            AgentJournal.orderExpired, worker: "feed@md-1", fields: [("op", "o2"), ("stopping", "false"), ("open", "true"), ("generation", "3")])
        let fold = AgentJournalFold([Self.start, Self.record(.workerSignal, [("op", "o2"), ("generation", "4")]), expired])
        #expect(fold.workers["feed"]?.stopping == false && fold.workers["feed"]?.open == true && fold.workers["feed"]?.generation == 4)
        #expect(fold.operations["o2"] == nil && fold.operations["o1"]?.count == 1)
        // What the last order wanted is wanted still.
        #expect(fold.workers["feed"]?.wanted?.isUp == true)
    }

    @Test("events that a later version wrote change nothing and lose nothing")
    func unknown() {
        let strange = AuditRecord("WORKER_TELEPORTED", worker: "feed@md-1", fields: [("op", "o9"), ("launch", "zz")])
        #expect(AgentJournalFold([Self.start, strange]).workers == AgentJournalFold([Self.start]).workers)
        #expect(AgentJournalFold([strange]).operations["o9"]?.count == 1)
        #expect(AgentJournalFold([AuditRecord("X")]).workers.isEmpty)
    }

    @Test("latches are no worker's state, and a released one leaves the worker stopping as it was")
    func latched() {
        let fold = AgentJournalFold([Self.start, AuditRecord(AuditEvent.latchSet.rawValue), AuditRecord(AuditEvent.latchReleased.rawValue)])
        #expect(fold.workers["feed"]?.stopping == false && fold.workers.count == 1)
    }

    @Test("the last boot id is the one that counts")
    func boot() {
        let one = AuditRecord(AuditEvent.agentStart.rawValue, fields: [("boot_id", "b1")])
        let two = AuditRecord(AuditEvent.agentStart.rawValue, fields: [("boot_id", "b2")])
        #expect(AgentJournalFold([]).bootID == nil)
        #expect(AgentJournalFold([one, two]).bootID == "b2")
        #expect(AgentJournalFold([two, one, AuditRecord(AuditEvent.agentStart.rawValue)]).bootID == "b1")
    }

    @Test("records of operations are kept in order with their hashes, the newest operations only; the last run's number too")
    func operations() {
        var records: [AuditRecord] = []
        for index in 0...AgentJournalFold.operationsKept {
            var record = Self.record(.workerSignal, [("op", "o\(index)")])
            record.sequence = UInt64(index)
            records.append(record)
        }
        let fold = AgentJournalFold(records) { "h\($0)" }
        #expect(fold.operations.count == AgentJournalFold.operationsKept && fold.operations["o0"] == nil)
        #expect(fold.operations["o7"]?.first?.hash == "h7")
        #expect(AgentJournalFold([Self.record(.shutdownStart, run: 4), Self.record(.startupStart, run: 2)]).lastRun == 4)
    }

    // MARK: What a machine is told of it

    private static func at(_ seconds: UInt64, _ event: AuditEvent, _ fields: [(String, String)] = []) -> AuditRecord {
        AuditRecord(event.rawValue, worker: "feed@md-1", by: "ops-1", reason: "why", fields: fields, unixMicroseconds: seconds * 1_000_000)
    }

    private func past(_ records: [AuditRecord], rebooted: Bool = false, now: UInt64 = 1_000) -> WorkerMachine.Past {
        AgentJournalFold(records).past(
            of: "feed", rebooted: rebooted, unixNow: now * 1_000_000, bootNow: BootTime(nanoseconds: 500 * 1_000_000_000))
    }

    private static func boot(_ seconds: UInt64) -> BootTime { BootTime(nanoseconds: seconds * 1_000_000_000) }

    private static let crash: [(String, String)] = [("exit", "exit 1"), ("next", "restart"), ("step", "1"), ("starts", "1")]

    @Test("a crashing worker keeps its count of starts and its back-off, on the new agent's clock")
    func budget() {
        var records = [
            Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerExit, Self.crash),
            Self.at(915, .workerRestart, [("launch", "a2"), ("step", "1"), ("starts", "2")]), Self.at(916, .workerLaunched), Self.at(920, .workerReady),
        ]
        var past = past(records)
        #expect(past.recentStarts == [Self.boot(400), Self.boot(415)] && past.backoffStep == 1 && past.restarts == 1)
        #expect(past.readySince == Self.boot(420) && !past.restartPending && past.failed == nil && past.lastLaunch == "a1")
        // Earned back: only the starts that the machine counted are kept.
        records.append(Self.at(990, .workerExit, [("exit", "exit 1"), ("next", "restart"), ("step", "1"), ("starts", "0")]))
        past = self.past(records)
        #expect(past.recentStarts.isEmpty && past.restartPending && past.lastLaunch == "a2" && past.readySince == nil)
        records.append(Self.at(995, .workerStart, [("launch", "a3")]))
        past = self.past(records)
        #expect(past.recentStarts == [Self.boot(495)] && past.backoffStep == 0 && past.restarts == 0 && !past.restartPending)
    }

    @Test("a clock that was set back makes no start of the future")
    func clock() {
        let past = past([Self.at(2_000, .workerStart, [("launch", "a1")])])
        #expect(past.recentStarts == [Self.boot(500)])
    }

    @Test("a pending restart is due again, unless an order, a latch, a lock or the policy has ended it, or the host has booted")
    func pending() {
        let began = [Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerExit, Self.crash)]
        #expect(past(began).restartPending && !past(began, rebooted: true).restartPending)
        #expect(past(began, rebooted: true).recentStarts.isEmpty)
        // Its back-off goes on from its end, where that is known; that of another boot is nobody's.
        let ended = [began[0], Self.at(910, .workerExit, Self.crash + [("gone_boottime_ns", "410000000000")])]
        #expect(past(began).backoffSince == nil && past(ended).backoffSince == Self.boot(410) && past(ended, rebooted: true).backoffSince == nil)
        #expect(!past(began + [Self.at(911, .workerStop, [("already", "stopped")])]).restartPending)
        let failed = past(began + [Self.at(911, .workerFailed, [("why", "locked: not restarted")])])
        #expect(!failed.restartPending && failed.failed == "locked: not restarted")
        #expect(past(began + [Self.at(911, .workerFailed, [("why", "x")]), Self.at(912, .workerStart, [("launch", "a2")])]).failed == nil)
        // The intent of a restart that got no further; one that ran is no longer pending.
        let intent = began + [Self.at(915, .workerRestart, [("launch", "a2"), ("step", "1"), ("starts", "2")])]
        #expect(past(intent).restartPending && past(intent).restarts == 1)
        #expect(!past(intent + [Self.at(916, .workerLaunched)]).restartPending)
        #expect(past(intent + [Self.at(916, .workerLaunchFailed, [("why", "no program"), ("next", "failed")])]).failed == "no program")
    }

    @Test("an unhealthy worker's own stop goes on as its own, until an order or a latch takes it over")
    func unhealthy() {
        let began = [
            Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerUnhealthy, [("why", "no WATCHDOG=1")]),
            Self.at(911, .workerSignal, [("signal", "TERM")]),
        ]
        #expect(past(began).unhealthy == "no WATCHDOG=1" && past(began, rebooted: true).unhealthy == nil)
        #expect(past(began + [Self.at(912, .workerKill)]).unhealthy == "no WATCHDOG=1")
        #expect(past(began + [Self.at(912, .workerSignal, [("already", "signalled"), ("op", "o2")])]).unhealthy == nil)
        #expect(past(began + [Self.at(912, .emergencyKill)]).unhealthy == nil)
        #expect(past(began + [Self.at(912, .workerStop, [("exit", "exit 0")])]).unhealthy == nil)
        let left = [Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerUnhealthy, [("why", "x"), ("left_alone", "locked")])]
        #expect(past(left).unhealthy == nil)
    }

    @Test("locks and notes are folded back with who and when, over a boot too")
    func marks() {
        var records = [
            Self.at(900, .workerLocked, [("text", "bad param file"), ("unix_us", "77")]),
            Self.at(901, .workerNoted, [("text", "watch it"), ("unix_us", "78")]),
        ]
        var past = past(records, rebooted: true)
        #expect(past.lock == Mark(by: "ops-1", text: "bad param file", unixMicroseconds: 77))
        #expect(past.remark == Mark(by: "ops-1", text: "watch it", unixMicroseconds: 78))
        records += [Self.at(902, .workerUnlocked), Self.at(903, .workerNoted, [("text", "")])]
        past = self.past(records)
        #expect(past.lock == nil && past.remark == nil)
    }

    @Test("what the last launch was found to have left is known again, and no other launch's")
    func verification() {
        let began = [Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerStop, [("exit", "exit 0")])]
        let checks = [("launch", "a1"), ("tree", "clear"), ("locks", "left: /run/x")]
        let past = past(began + [Self.at(911, .workerVerified, checks)])
        #expect(past.verification?.left.map(\.text) == ["/run/x"] && past.verification?.at == Self.boot(411) && past.lastLaunch == "a1")
        #expect(self.past(began + [Self.at(911, .workerVerified, [("launch", "a0"), ("tree", "clear")])]).verification == nil)
        #expect(self.past(began + [Self.at(911, .workerVerified, checks), Self.at(912, .workerStart, [("launch", "a2")])]).verification == nil)
    }

    @Test("a start that expired leaves the worker as it was before it, failed or waiting")
    func expiredStart() {
        let began = [Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerExit, Self.crash)]
        let expired = AuditRecord(
            AgentJournal.orderExpired, worker: "feed@md-1", fields: [("op", "o2"), ("stopping", "false"), ("open", "false"), ("generation", "3")])
        let past = past(began + [Self.at(920, .workerStart, [("launch", "a2"), ("op", "o2"), ("generation", "3")]), expired])
        #expect(past.restartPending && past.backoffStep == 1 && past.lastLaunch == "a1" && past.generation == 3)
    }

    @Test("a restart whose intent was cut short is still due after any number of agents that end before it runs")
    func restartCutShort() throws {
        var records = [
            Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerExit, Self.crash),
            Self.at(912, .workerRestart, [("launch", "a2"), ("step", "1"), ("starts", "2")]),
        ]
        for second in 1...3 {
            let past = past(records)
            #expect(past.restartPending, "after \(second - 1) agents that ended")
            var machine = WorkerMachine(worker: WorkerName("feed", on: "md-1"), policy: WorkerPolicy(), past: past, now: Self.boot(500))
            let effects = machine.handle(.foundNever("a2"), now: Self.boot(500))
            guard case .record(let event, nil, let fields)? = effects.first else { return #expect(Bool(false), "\(effects)") }
            records.append(Self.at(920 + UInt64(second), event, fields.map { ($0.key, $0.value) }))
        }
        #expect(self.past([Self.at(900, .workerStart, [("launch", "a1")])]).restartPending == false)
    }

    @Test("what a machine is told is what it tells the next one")
    func roundTrip() {
        let records = [
            Self.at(900, .workerStart, [("launch", "a1")]), Self.at(910, .workerExit, Self.crash), Self.at(911, .workerLocked, [("text", "x")]),
            Self.at(912, .workerFailed, [("why", "locked: not restarted")]),
        ]
        let past = past(records)
        #expect(WorkerMachine(worker: WorkerName("feed", on: "md-1"), policy: WorkerPolicy(), past: past, now: Self.boot(500)).past == past)
        #expect(AgentJournalFold([]).past(of: "feed", rebooted: false, unixNow: 0, bootNow: .zero) == WorkerMachine.Past())
    }
}
