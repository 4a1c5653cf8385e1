import Foundation
import TestSupport
import Testing
import WireImpostors

/// Stop certificates that others than a coordinator have signed, or at another time (REVIEW S16).
@Suite(.serialized) struct ForgedCertificateTests {
    /// A directory with an authority, a journal-like record and a certificate of run 2, signed by `signer` at `unix`.
    private struct Forgery {
        let directory: String
        var json: String { directory + "/stop-2.json" }

        init() throws {
            directory = "/tmp/tc-\(UUID().uuidString.prefix(8).lowercased())"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            for arguments in [
                ["init", "--fleet", "demo"], ["issue", "operator", "eve"], ["issue", "agent", "ex-1"], ["issue", "relay", "ctl-2"],
                ["issue", "coordinator", "ctl-1"], ["issue", "coordinator", "ctl-9"],
            ] {
                #expect(try Program.run(TestFleet.bin + "/trading", ["certs"] + arguments + ["--dir", directory]).status == 0)
            }
        }

        func sign(by signer: String, signedBy: String = "coordinator/ctl-1", endedUnix: Int = Int(Date().timeIntervalSince1970), fleet: String = "demo") throws
        {
            let text =
                "{\"run\":2,\"fleet\":\"\(fleet)\",\"reason\":\"end of day\",\"began_unix_us\":\(endedUnix - 20)000000,\"ended_unix_us\":\(endedUnix)000000,\"verdict\":\"proven\",\"signed_by\":\"\(signedBy)\"}"
            try text.write(toFile: json, atomically: true, encoding: .utf8)
            try StolenKeys(directory).sign(json, by: signer, to: directory + "/stop-2.p7s")
        }

        func verify(_ more: String...) throws -> Program.Output {
            try Program.run(
                TestFleet.bin + "/trading",
                ["certificate", "verify", json, "--ca", directory + "/ca.pem", "--crl", directory + "/crl.pem", "--fleet", "demo", "--coordinator", "ctl-1"]
                    + more,
                environment: ["HOME": directory])
        }

        /// README's commands, as they stand there.
        func recipe() throws -> Program.Output {
            let readme = try String(contentsOfFile: Program.root + "/README.md", encoding: .utf8)
            let start = try #require(readme.range(of: "openssl cms -verify"))
            let end = try #require(readme[start.lowerBound...].range(of: "echo genuine"))
            let commands = readme[start.lowerBound..<end.upperBound].replacingOccurrences(of: "FLEET", with: "demo").replacingOccurrences(
                of: "NAME", with: "ctl-1")
            return try Program.run("/bin/bash", ["-c", "cd \(directory) && \(commands)"])
        }

        func end() { try? FileManager.default.removeItem(atPath: directory) }
    }

    @Test("a coordinator's is genuine, also two years after its key's last day; by our command and by README's")
    func genuine() throws {
        let forgery = try Forgery()
        defer { forgery.end() }
        try forgery.sign(by: "coordinator-ctl-1")
        let young = try forgery.verify()
        #expect(young.status == 0 && young.text.contains("GENUINE"), "\(young.text)")
        #expect(try forgery.recipe().text.contains("genuine"))
        // Its key's last day is over, as it will be in two years: what counts is the time of signing.
        let now = Int64(Date().timeIntervalSince1970)
        try StolenKeys(forgery.directory).issue("coordinator", "ctl-1", fromUnix: now - 200, toUnix: now - 100)
        try forgery.sign(by: "coordinator-ctl-1", endedUnix: Int(now) - 150)
        let old = try forgery.verify()
        #expect(old.status == 0 && old.text.contains("spiffe://demo/coordinator/ctl-1"), "\(old.text)")
        #expect(try forgery.recipe().text.contains("genuine"))
        let shown = try Program.run(TestFleet.bin + "/trading", ["certificate", "show", forgery.json])
        #expect(shown.status == 0 && shown.text.contains("verdict: proven"), "\(shown.text)")
    }

    @Test(
        "an operator's, an agent's and a relay's key sign no certificate, nor another coordinator in this one's name",
        arguments: ["operator-eve", "agent-ex-1", "relay-ctl-2", "coordinator-ctl-9"])
    func wrongSigner(signer: String) throws {
        let forgery = try Forgery()
        defer { forgery.end() }
        try forgery.sign(by: signer)
        let verified = try forgery.verify()
        #expect(verified.status == 5 && verified.text.contains("NOT GENUINE"), "\(verified.text)")
        // Nor under its own name: the inventory names none of that name.
        let name = signer.replacing("-", with: "/", maxReplacements: 1)
        try forgery.sign(by: signer, signedBy: name)
        #expect(try forgery.verify().status == 5)
        #expect(try !forgery.recipe().text.contains("genuine"))
    }

    @Test("what was changed, dated outside of its key's days, signed by a revoked key or of another fleet is not genuine")
    func forged() throws {
        let forgery = try Forgery()
        defer { forgery.end() }
        try forgery.sign(by: "coordinator-ctl-1")
        let text = try String(contentsOfFile: forgery.json, encoding: .utf8)
        try text.replacingOccurrences(of: "end of day", with: "end of dai").write(toFile: forgery.json, atomically: true, encoding: .utf8)
        #expect(try forgery.verify().status == 5 && !forgery.recipe().text.contains("genuine"))
        for ended in [1_610_000_000, Int(Date().timeIntervalSince1970) + 400 * 86_400] {
            try forgery.sign(by: "coordinator-ctl-1", endedUnix: ended)
            #expect(try forgery.verify().status == 5 && !forgery.recipe().text.contains("genuine"), "dated \(ended)")
        }
        try forgery.sign(by: "coordinator-ctl-1", fleet: "other")
        #expect(try forgery.verify().status == 5)
        for content in ["", "{}", "garbage"] {
            try content.write(toFile: forgery.json, atomically: true, encoding: .utf8)
            #expect(try forgery.verify().status == 2)
        }
        // Revoked since: a stolen key can set any date, so that it is not known without the journal's record.
        try forgery.sign(by: "coordinator-ctl-1", endedUnix: Int(Date().timeIntervalSince1970) - 60)
        #expect(try Program.run(TestFleet.bin + "/trading", ["certs", "revoke", "coordinator/ctl-1", "--dir", forgery.directory]).status == 0)
        let revoked = try forgery.verify()
        #expect(revoked.status == 4 && revoked.text.contains("UNKNOWN") && revoked.text.contains("stolen key"), "\(revoked.text)")
        #expect(try !forgery.recipe().text.contains("genuine"))
        // Made after its key was revoked: no record makes it good.
        try forgery.sign(by: "coordinator-ctl-1", endedUnix: Int(Date().timeIntervalSince1970) + 60)
        #expect(try forgery.verify().status == 5)
    }

    @Test("a real one is found in its coordinator's journal with the serial of its key, and stays genuine when that key is revoked later")
    func recorded() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        #expect(try fleet.trading("stop", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let state = "\(fleet.directory)/state/ctl-1"
        let file = "\(state)/certificates/stop-2.json"
        let verified = try fleet.trading("certificate", "verify", file, "--journal", state + "/journal")
        #expect(verified.status == 0 && verified.text.contains("recorded"), "\(verified.text)")
        #expect(try Program.run(TestFleet.bin + "/trading", ["certs", "revoke", "coordinator/ctl-1", "--dir", fleet.directory + "/pki"]).status == 0)
        #expect(try fleet.trading("certificate", "verify", file).status == 4)
        // A stolen key may have rewritten the journal too; a head of it that was kept elsewhere shows that this record was there.
        let unanchored = try fleet.trading("certificate", "verify", file, "--journal", state + "/journal")
        #expect(unanchored.status == 4 && unanchored.text.contains("UNANCHORED"), "\(unanchored.text)")
        let last = try #require(try String(contentsOfFile: state + "/journal", encoding: .utf8).split(separator: "\n").last)
        let sequence = try fleet.audit().count
        let later = try fleet.trading("certificate", "verify", file, "--journal", state + "/journal", "--anchor", "\(sequence):\(last.prefix(64))")
        #expect(later.status == 0 && later.text.contains("anchored"), "\(later.text)")
        let wrong = try fleet.trading(
            "certificate", "verify", file, "--journal", state + "/journal", "--anchor", "\(sequence):\(String(repeating: "0", count: 64))")
        #expect(wrong.status == 5, "\(wrong.text)")
        // A forgery with the stolen key is in no journal.
        let forged = "\(fleet.directory)/stop-2.json"
        try String(contentsOfFile: file, encoding: .utf8).replacingOccurrences(of: "\"reason\":\"test\"", with: "\"reason\":\"best\"").write(
            toFile: forged, atomically: true, encoding: .utf8)
        try fleet.keys.sign(forged, by: "coordinator-ctl-1", to: "\(fleet.directory)/stop-2.p7s")
        let stolen = try fleet.trading("certificate", "verify", forged, "--journal", state + "/journal")
        #expect(stolen.status == 5 && flat(stolen.text).contains("no record of this certificate"), "\(stolen.text)")
    }
}
