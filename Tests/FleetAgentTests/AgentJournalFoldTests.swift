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
}
