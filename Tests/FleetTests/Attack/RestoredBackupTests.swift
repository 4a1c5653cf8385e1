import Foundation
import Glibc
import TestSupport
import Testing

/// A coordinator's state directory put back from a backup: what it knew is stale, and nothing of it is believed again (REVIEW S7).
@Suite(.serialized) struct RestoredBackupTests {
    @Test("after a restored backup no number of a run comes again, no certificate is replaced, and the agents look anew instead of remembering")
    func restored() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        let state = "\(fleet.directory)/state/ctl-1"
        let backup = "\(fleet.directory)/backup"
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        fleet.coordinator?.killNow()
        try FileManager.default.copyItem(atPath: state, toPath: backup)
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "--all", "--reason", "the first").status == 0, "\(fleet.logs)")
        let first = try Data(contentsOf: URL(fileURLWithPath: "\(state)/certificates/stop-2.json"))
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")

        // The journal of the evening before, beside the certificates of today; restarted until its epoch has caught up.
        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: state + "/journal")
        try FileManager.default.copyItem(atPath: backup + "/journal", toPath: state + "/journal")
        for _ in 0..<3 {
            try fleet.startCoordinator()
            #expect(
                eventually(within: 10) {
                    FileManager.default.fileExists(atPath: fleet.directory + "/run/ctl-1.sock") && fleet.coordinator?.log.contains("agents may dial in") == true
                })
            fleet.coordinator?.killNow()
        }
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let strategy = try fleet.pid("strategy")
        let stop = try fleet.trading("stop", "--all", "--reason", "the second")
        #expect(stop.status == 0 && !isAlive(strategy), "\(stop.text)")
        let numbers = try fleet.audit().compactMap { $0["event"] as? String == "VERDICT" ? $0["run"] as? Int : nil }
        #expect(numbers == [3], "\(numbers)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(state)/certificates/stop-2.json")) == first)

        // The certificates gone as well: the number comes again, the agents' memory of it does not.
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: state)
        try FileManager.default.copyItem(atPath: backup, toPath: state)
        for _ in 0..<8 {
            try fleet.startCoordinator()
            #expect(eventually(within: 10) { fleet.coordinator?.log.contains("agents may dial in") == true })
            fleet.coordinator?.killNow()
        }
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        // It turns up while the coordinator runs: to be overwritten, or to be taken for this one's.
        try FileManager.default.createDirectory(atPath: state + "/certificates", withIntermediateDirectories: true)
        try "{}".write(toFile: state + "/certificates/stop-2.json", atomically: true, encoding: .utf8)
        let pids = try [fleet.pid("strategy"), fleet.pid("order-gateway")]
        let again = try fleet.trading("stop", "--all", "--reason", "the third")
        #expect(pids.allSatisfy { !isAlive($0) }, "called stopped from memory: \(again.text)")
        #expect(again.status == 3 && flat(again.text).contains("numbers of runs have come again"), "\(again.text)")
        #expect(try String(contentsOfFile: state + "/certificates/stop-2.json", encoding: .utf8) == "{}")
        let names = try FileManager.default.contentsOfDirectory(atPath: state + "/certificates")
        #expect(names.contains { $0.hasPrefix("stop-2-") && $0.hasSuffix(".p7s") }, "\(names)")
    }
}
