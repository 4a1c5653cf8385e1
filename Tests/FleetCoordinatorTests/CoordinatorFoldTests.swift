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
}
