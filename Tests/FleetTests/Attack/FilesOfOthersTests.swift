import Foundation
import Glibc
import TestSupport
import Testing
import WireImpostors

/// Files and directories that others may write (REVIEW S18).
@Suite(.serialized) struct FilesOfOthersTests {
    private func agent(_ fleet: TestFleet, run: String) throws -> TestFleet.Output {
        try Program.run(
            "/usr/bin/timeout",
            ["5", TestFleet.bin + "/trading-agent", "--host", "ex-1", "--fleet", "demo", "--state-dir", fleet.directory + "/state/x", "--run-dir", run])
    }

    @Test("a run directory that is a link, open to others or somebody else's is refused in one sentence")
    func runDirectory() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        let real = fleet.directory + "/run/real"
        try FileManager.default.createDirectory(atPath: real, withIntermediateDirectories: true)
        #expect(chmod(real, 0o750) == 0)
        let link = fleet.directory + "/run/link"
        #expect(symlink(real, link) == 0)
        let linked = try agent(fleet, run: link)
        #expect(linked.status == 1 && linked.text.contains("is a link"), "\(linked.text)")
        #expect(chmod(real, 0o1777) == 0)
        let open = try agent(fleet, run: real)
        #expect(open.status == 1 && open.text.contains("can be written by others"), "\(open.text)")
        #expect(chmod(real, 0o750) == 0)
        if geteuid() == 0 {
            #expect(chown(real, 65534, 65534) == 0)
            let foreign = try agent(fleet, run: real)
            #expect(foreign.status == 1 && foreign.text.contains("belongs to"), "\(foreign.text)")
        }
    }

    @Test("a token file that others can read is refused")
    func tokenFile() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        let token = fleet.directory + "/token"
        try "0123456789abcdef0123456789abcdef\n".write(toFile: token, atomically: true, encoding: .utf8)
        #expect(chmod(token, 0o666) == 0)
        func coordinator() throws -> TestFleet.Output {
            try Program.run(
                "/usr/bin/timeout",
                [
                    "3", TestFleet.bin + "/trading-coordinator", "--name", "ctl-1", "--inventory", fleet.inventory, "--state-dir",
                    fleet.directory + "/state/ctl-1",
                ]
                    + fleet.identity("coordinator-ctl-1") + ["--plain-http", "127.0.0.1:\(fleet.ports.gateway)", "--token-file", token])
        }
        let refused = try coordinator()
        #expect(refused.status == 1 && refused.text.contains("open to other users"), "\(refused.text)")
        #expect(chmod(token, 0o600) == 0)
        #expect(try coordinator().status == 124, "it runs")
    }

    @Test("an older revocation list is not taken after a restart either: a revoked operator stays out")
    func olderList() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        let pki = fleet.directory + "/pki"
        try FileManager.default.copyItem(atPath: pki + "/crl.pem", toPath: pki + "/crl.old")
        #expect(try Program.run(TestFleet.bin + "/trading", ["certs", "revoke", "operator/bob", "--dir", pki]).status == 0)
        try fleet.startCoordinator()
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("agents may dial in") == true }, "\(fleet.logs)")
        #expect(rename(pki + "/crl.old", pki + "/crl.pem") == 0)
        // A reload with it is refused, and leaves nothing behind that a start would take for the newest.
        #expect(kill(fleet.coordinator?.process.processIdentifier ?? 0, SIGHUP) == 0)
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("is older than the one in use") == true }, "\(fleet.logs)")
        fleet.coordinator?.killNow()
        try fleet.startCoordinator()
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("is older than the list that was in use before") == true }, "\(fleet.logs)")
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("agents may dial in") == true }, "\(fleet.logs)")
        let bob = "\(fleet.directory)/bob.conf"
        try String(contentsOfFile: fleet.config, encoding: .utf8).replacingOccurrences(of: "operator-alice", with: "operator-bob").write(
            toFile: bob, atomically: true, encoding: .utf8)
        let status = try Program.run(TestFleet.bin + "/trading", ["--config", bob, "--via", "ctl-1", "status"])
        #expect(status.status == 4 && status.text.contains("UNREACHABLE"), "\(status.text)")
        #expect(fleet.coordinator?.log.contains("revoked") == true)
    }

    @Test("a journal that is whole in itself is called unanchored; with a head that somebody else keeps it is intact, and rewritten it is neither")
    func anchors() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let journal = fleet.directory + "/state/ex-1/journal"
        let alone = try fleet.trading("audit", "verify", journal)
        #expect(alone.status == 4 && alone.text.contains("UNANCHORED"), "\(alone.text)")
        func head() throws -> String {
            let host = try fleet.hostStatuses().first { $0["host"] as? String == "ex-1" }
            let found = (host?["report"] as? [String: Any])?["journal_head"] as? [String: Any]
            return "\(found?["sequence"] ?? 0):\(found?["hash"] ?? "")"
        }
        #expect(try eventually(within: 10) { try head().count > 60 })
        let anchor = try head()
        let anchored = try fleet.trading("audit", "verify", journal, "--anchor", anchor)
        #expect(anchored.status == 0 && anchored.text.contains("anchored"), "\(anchored.text)")
        // Another host's whole chain in its place: whole in itself, and not the one.
        let other = try fleet.trading("audit", "verify", fleet.directory + "/state/st-1/journal", "--anchor", anchor)
        #expect(other.status == 5, "\(other.text)")
    }
}
