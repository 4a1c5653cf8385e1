import FleetCore
import FleetJournal
import Testing

@testable import FleetCoordinator

struct CoordinatorFoldTests {
    private func record(_ event: AuditEvent, by: String, word: String, host: HostName? = nil) -> AuditRecord {
        AuditRecord(
            event, host: host, by: by, reason: "test",
            fields: [("latch", "x1"), ("everything", "true"), ("word", word), ("unix_us", "7"), ("signature", "")])
    }

    @Test("a host's word in the journal releases no latch of the fleet's, whichever came first")
    func hostsWord() {
        let fleets = record(.latchSet, by: "operator/alice", word: "signed")
        let hosts = record(.latchReleased, by: "agent/h-1", word: "host/h-1", host: "h-1")
        for records in [[fleets, hosts], [hosts, fleets], [hosts, hosts, fleets, hosts]] {
            #expect(CoordinatorFold(records).latches.inForce.map(\.id) == ["x1"])
        }
        let released = record(.latchReleased, by: "operator/alice", word: "signed")
        for records in [[fleets, released], [released, fleets]] { #expect(CoordinatorFold(records).latches.inForce.isEmpty) }
        // Nor does a host's own set become the fleet's.
        #expect(CoordinatorFold([record(.latchSet, by: "agent/h-1", word: "host/h-1", host: "h-1")]).latches.inForce.isEmpty)
    }

    @Test("what may run on a host comes back as its last word had it, and what a person settled does not")
    func openLaunches() {
        func word(_ host: String, begun: String = "", ended: String = "") -> AuditRecord {
            AuditRecord(.hostWorkers, fields: [("host", host), ("begun", begun), ("ended", ended)].filter { !$0.1.isEmpty })
        }
        let fold = CoordinatorFold([
            word("ex-1", begun: "gateway mirror"), word("st-1", begun: "strategy"), word("ex-1", begun: "drop-copy", ended: "mirror"),
            word("st-1", ended: "strategy"),
        ])
        #expect(fold.openLaunches.services == ["ex-1": ["gateway", "drop-copy"]])
    }

    @Test("openings, settled cuts and contested hosts come back as they were recorded, and an older program's baseline has readings alone")
    func ledgers() {
        let reading = StreamReading(stream: "ticks", consumer: "recorder", host: "md-1", known: true, runID: "r", entriesAdded: 5, lag: 2)
        let baseline = AuditRecord(
            .baseline, run: 1, fields: [("ticks/recorder/md-1", reading.json.text), ("launches/ticks", "feed@md-1=3:ab recorder@md-2=0:")])
        let fold = CoordinatorFold([
            baseline, AuditRecord(.verdict, run: 7, fields: [("verdict", "proven"), ("cut/ticks/recorder", "as seen")]),
            AuditRecord(.hostContested, fields: [("host", "ex-1"), ("how", "a; and b"), ("instances", "i1 i2")]),
            AuditRecord(.hostContested, fields: [("host", "st-1"), ("how", "c; and d")]), AuditRecord(.hostSettled, fields: [("host", "st-1"), ("how", "x")]),
        ])
        #expect(
            fold.book.openings["ticks"]
                == LedgerBook.Opening(
                    readings: [reading],
                    marks: [WorkerName("feed", on: "md-1"): LaunchMark(number: 3, launch: "ab"), WorkerName("recorder", on: "md-2"): LaunchMark()]))
        #expect(fold.book.settled["ticks/recorder"] == LedgerBook.Settled(run: 7, cut: "as seen"))
        #expect(fold.contested == ["ex-1": InstanceWatch.Contest(how: "a; and b", instances: ["i1", "i2"])])
        let old = CoordinatorFold([AuditRecord(.baseline, run: 1, fields: [("ticks/recorder/md-1", reading.json.text)])])
        #expect(old.book.openings["ticks"] == LedgerBook.Opening(readings: [reading]))
    }
}
