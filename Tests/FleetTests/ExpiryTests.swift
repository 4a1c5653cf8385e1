import Foundation
import Glibc
import TestSupport
import Testing

/// Forty days after `certs init`, by the clocks of coordinator and command line (REVIEW C6, law 11).
struct ExpiryTests {
    /// The environment of a program whose date is 40 days on, or another; intervals are the kernel's.
    ///
    /// Made by faketime(1), which lives until `end`: the library by itself moves the environment that Swift finds its arguments by.
    private func later(_ fleet: TestFleet, by offset: String = "+40d") throws -> (environment: [String: String], end: () -> Void) {
        let path = fleet.directory + "/later"
        let clock = try TestProcess(
            "faketime", "/usr/bin/faketime",
            ["-f", offset, "/bin/sh", "-c", "env >\(path).new; echo PID_FAKE=$$ >>\(path).new; mv \(path).new \(path); exec sleep 600"],
            log: fleet.directory + "/log/faketime", environment: ["DONT_FAKE_MONOTONIC": "1"])
        #expect(eventually(within: 10) { FileManager.default.fileExists(atPath: path) })
        var environment: [String: String] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
            if parts.count == 2, parts[0].contains("FAKE") || parts[0] == "LD_PRELOAD" { environment[parts[0]] = parts[1] }
        }
        let pid = try #require(environment.removeValue(forKey: "PID_FAKE").flatMap { Int32($0) })
        #expect(environment.count == 4, "\(environment)")
        // faketime(1) waits for its child, and ends with it.
        return (
            environment,
            {
                kill(pid, SIGKILL); clock.end()
            }
        )
    }

    /// The coordinator again, and every command from here on, 40 days later. The caller ends the clock.
    private func moveOn(_ fleet: TestFleet) throws -> () -> Void {
        fleet.coordinator?.signal(SIGTERM)
        #expect(eventually(within: 10) { fleet.coordinator?.process.isRunning == false })
        let (environment, endClock) = try later(fleet)
        fleet.environment = environment
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        return endClock
    }

    private func fleet() throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
        fleet.flags = ["--allow-dir", "/usr/bin"]
        return fleet
    }

    private func certs(_ fleet: TestFleet, _ arguments: String..., environment: [String: String] = [:]) throws -> Program.Output {
        try Program.run("\(TestFleet.bin)/trading", ["certs"] + arguments + ["--dir", fleet.directory + "/pki"], environment: environment)
    }

    @Test("with the lists of a year nothing stops on day 40; what ends within 30 days is said for every host and the coordinator itself")
    func dayForty() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let (environment, endClock) = try later(fleet)
        defer { endClock() }
        fleet.environment = environment
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let status = try fleet.trading("status")
        #expect(status.status == 0 && !flat(status.text).contains("revocation list ends"), "\(status.text)")
        #expect(try fleet.trading("stop", "--all", "--reason", "test").text.contains("verdict: proven"))
        // A list and a certificate with less than 30 days left.
        #expect(try certs(fleet, "renew-crl", "--crl-days", "20").status == 0)
        #expect(try certs(fleet, "renew", "agent/md-1", "--days", "25").status == 0)
        #expect(try certs(fleet, "renew", "relay/ctl-2", "--days", "20").status == 0)
        try fleet.startRelay()
        for process in [fleet.coordinator, fleet.agents["md-1"]] { process?.signal(SIGHUP) }
        let said = [
            "md-1: its revocation list ends in 19 days", "md-1: its certificate ends in 24 days",
            // The coordinator has no session with a relay: hosts have.
            "relay/ctl-2: its certificate ends in 19 days", "NOTE: this command's own revocation list",
        ]
        #expect(
            try eventually(within: 20) {
                let text = flat(try fleet.trading("status").text)
                return said.allSatisfy(text.contains)
            }, "\(try? fleet.trading("status").text)")
    }

    @Test("past the list's date status, quiesce, stop and emergency stop go on and say so; a new list, copied and reloaded, ends it without a restart")
    func pastTheListsDate() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        #expect(try certs(fleet, "renew-crl", "--crl-days", "30").status == 0)
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let pid = try fleet.pid("one")
        let endClock = try moveOn(fleet)
        defer { endClock() }
        #expect(kill(pid, 0) == 0)
        let status = try fleet.trading("status")
        #expect(flat(status.text).contains("ctl-1: its revocation list was good until 10 days ago"), "\(status.text)")
        #expect(flat(status.text).contains("trading certs renew-crl"), "\(status.text)")
        let start = try fleet.trading("restart", "one", "--reason", "x")
        #expect(start.status != 0 && kill(pid, 0) == 0, "\(start.text)")
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)\n\(fleet.logs)")
        // The recipe: sign anew, copy, SIGHUP.
        // Its dates begin today: the host's own clock has not moved, and a list of the future would restrict it as well.
        let renewed = try certs(fleet, "renew-crl", "--crl-days", "100")
        #expect(renewed.status == 0 && renewed.text.contains("100 days"), "\(renewed.text)")
        let coordinator = try #require(fleet.coordinator?.process.processIdentifier)
        for process in [fleet.coordinator, fleet.agents["md-1"]] { process?.signal(SIGHUP) }
        #expect(try eventually(within: 20) { try fleet.trading("start", "--all", "--reason", "again").status == 0 }, "\(fleet.logs)")
        #expect(fleet.coordinator?.process.processIdentifier == coordinator && fleet.coordinator?.process.isRunning == true)
        #expect(!flat(try fleet.trading("status").text).contains("revocation list was good until"))
    }

    @Test("past a host's certificate's date nothing is started there and a restart stops nothing; renewed and reloaded it ends without a restart")
    func pastTheHostsDate() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        #expect(try certs(fleet, "renew", "agent/md-1", "--days", "25").status == 0)
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let pid = try fleet.pid("one")
        let endClock = try moveOn(fleet)
        defer { endClock() }
        for arguments in [["restart", "one"], ["restart", "one", "--dry-run"], ["start", "--all", "--dry-run"]] {
            let order = try Program.run(
                TestFleet.bin + "/trading", ["--config", fleet.config] + arguments + ["--reason", "x"], environment: fleet.environment)
            #expect(order.status != 0 && order.text.contains("md-1"), "\(arguments): \(order.text)")
        }
        #expect(kill(pid, 0) == 0)
        #expect(try certs(fleet, "renew", "agent/md-1", "--days", "100").status == 0)
        fleet.agents["md-1"]?.signal(SIGHUP)
        #expect(try eventually(within: 20) { try fleet.trading("restart", "one", "--reason", "renewed").status == 0 }, "\(fleet.logs)")
        #expect(fleet.agents["md-1"]?.process.isRunning == true)
    }

    @Test("past its own certificate's date a coordinator stops and says so, and starts nothing; renewed and reloaded it does, without a restart")
    func pastTheCoordinatorsDate() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        fleet.coordinator?.end()
        let (environment, endClock) = try later(fleet, by: "-40d")
        let past = try certs(fleet, "renew", "coordinator/ctl-1", "--days", "1", environment: environment)
        endClock()
        #expect(past.status == 0, "\(past.text)")
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        let status = try fleet.trading("status")
        #expect(flat(status.text).contains("ctl-1: its certificate") && flat(status.text).contains("trading certs renew"), "\(status.text)")
        // A part of the inventory is not taken from it either: what the host stops and looks at is another's.
        let changed = try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: "ready: {delay: 0s}", with: "ready: {delay: 1ms}")
        try changed.write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        let stop = try fleet.trading("stop", "--all", "--reason", "by the old part")
        #expect(stop.status == 3 && flat(stop.text).contains("md-1 goes by another part of the inventory"), "\(stop.text)")
        let refused = try fleet.trading("start", "--all", "--reason", "test")
        #expect(refused.status != 0 && refused.text.contains("md-1"), "\(refused.text)")
        #expect(try certs(fleet, "renew", "coordinator/ctl-1", "--days", "100").status == 0)
        let process = try #require(fleet.coordinator?.process.processIdentifier)
        fleet.coordinator?.signal(SIGHUP)
        #expect(try eventually(within: 20) { try fleet.trading("start", "--all", "--reason", "renewed").status == 0 }, "\(fleet.logs)")
        #expect(fleet.coordinator?.process.processIdentifier == process && fleet.coordinator?.process.isRunning == true)
    }

    @Test("a certificate is renewed for its own name, names and key, in time or on demand, and a running daemon takes it")
    func renewed() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pki = fleet.directory + "/pki"
        let key = try String(contentsOfFile: "\(pki)/coordinator-ctl-1.key", encoding: .utf8)
        func text(_ name: String, _ what: String) throws -> String {
            try Program.run("/usr/bin/openssl", ["x509", "-noout", what, "-in", "\(pki)/\(name).pem"] + (what == "-ext" ? ["subjectAltName"] : [])).text
        }
        let names = try Program.run("/usr/bin/openssl", ["x509", "-noout", "-ext", "subjectAltName", "-in", "\(pki)/coordinator-ctl-1.pem"]).text
        let publicKey = try text("coordinator-ctl-1", "-pubkey")
        let serial = try text("coordinator-ctl-1", "-serial")
        #expect(try certs(fleet, "renew", "ctl-1", "--in", "30").text.contains("nothing was done"))
        #expect(try text("coordinator-ctl-1", "-serial") == serial)
        let renewal = try certs(fleet, "renew", "coordinator/ctl-1", "--in", "366", "--days", "400")
        #expect(renewal.status == 0 && renewal.text.contains("spiffe://demo/coordinator/ctl-1"), "\(renewal.text)")
        #expect(try text("coordinator-ctl-1", "-serial") != serial)
        #expect(try text("coordinator-ctl-1", "-pubkey") == publicKey)
        #expect(try Program.run("/usr/bin/openssl", ["x509", "-noout", "-ext", "subjectAltName", "-in", "\(pki)/coordinator-ctl-1.pem"]).text == names)
        #expect(try String(contentsOfFile: "\(pki)/coordinator-ctl-1.key", encoding: .utf8) == key)
        try fleet.beginWithoutRelay()
        // In the field: only the certificate is copied.
        #expect(try certs(fleet, "renew", "agent/md-1").status == 0)
        fleet.agents["md-1"]?.signal(SIGHUP)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        // Files that can't be used are no renewal, and would be the end at the next restart.
        let files = ["coordinator-ctl-1", "agent-md-1"].map { "\(pki)/\($0).pem" }
        let good = try files.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
        for file in files { try Data("garbage".utf8).write(to: URL(fileURLWithPath: file)) }
        for process in [fleet.coordinator, fleet.agents["md-1"]] { process?.signal(SIGHUP) }
        let said = "the files of the last reload could not be used"
        func places() throws -> Int { flat(try fleet.trading("status").text).components(separatedBy: said).count - 1 }
        #expect(try eventually(within: 20) { try places() == 2 && fleet.trading("status").status == 3 }, "\(fleet.logs)")
        for (file, bytes) in zip(files, good) { try bytes.write(to: URL(fileURLWithPath: file)) }
        for process in [fleet.coordinator, fleet.agents["md-1"]] { process?.signal(SIGHUP) }
        #expect(try eventually(within: 20) { try places() == 0 }, "\(fleet.logs)")
        #expect(try certs(fleet, "renew", "md-7").text.contains("no certificate was issued under that name"))
        #expect(try certs(fleet, "revoke", "md-1").status == 0)
        let revoked = try certs(fleet, "renew", "md-1")
        #expect(revoked.status != 0 && revoked.text.contains("it was revoked"), "\(revoked.text)")
    }
}
