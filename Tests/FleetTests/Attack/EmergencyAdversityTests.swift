import FleetAPI
import FleetClient
import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing
import WireImpostors

/// The emergency stop goes out with whatever trust can be had, and says what it could not check (law 7; REVIEW S14, S15).
@Suite(.serialized) struct EmergencyAdversityTests {
    /// A client's settings with some lines replaced.
    private func settings(_ fleet: TestFleet, _ change: (String) -> String) throws -> String {
        let path = "\(fleet.directory)/client-\(UUID().uuidString.prefix(6)).conf"
        try change(String(contentsOfFile: fleet.config, encoding: .utf8)).write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    private func again(_ fleet: TestFleet) throws {
        #expect(try fleet.trading("--via", "ctl-1", "emergency-stop", "release", "--reason", "test").status == 0, "\(fleet.logs)")
        #expect(try eventually(within: 20) { try fleet.trading("start", "--all", "--reason", "test").status == 0 }, "\(fleet.logs)")
    }

    @Test(
        "with a missing, garbled, unreadable or stale revocation list, or a directory in its place, everything is gone, and the words say what was not checked")
    func revocationList() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let pki = fleet.directory + "/pki"
        let list = fleet.directory + "/list.pem"
        let cases: [(name: String, uid: UInt32, prepare: () throws -> Void)] = [
            ("missing", 0, {}),
            ("garbage", 0, { try "garbage".write(toFile: list, atomically: true, encoding: .utf8) }),
            ("directory", 0, { try FileManager.default.createDirectory(atPath: list, withIntermediateDirectories: false) }),
            (
                "mode-0", geteuid() == 0 ? 65534 : 0,
                {
                    try FileManager.default.copyItem(atPath: pki + "/crl.pem", toPath: list)
                    try FileManager.default.setAttributes([.posixPermissions: 0], ofItemAtPath: list)
                    // Another user's, for whom mode 0 means something; the identity is that user's own.
                    #expect(chmod(fleet.directory, 0o755) == 0 && chmod(pki, 0o755) == 0)
                    for name in ["operator-alice.key", "operator-alice.pem"] { #expect(geteuid() != 0 || chown("\(pki)/\(name)", 65534, 65534) == 0) }
                }
            ),
            ("stale", 0, { try fleet.keys.staleList(at: list) }),
        ]
        for one in cases {
            try one.prepare()
            let config = try settings(fleet) { $0.replacingOccurrences(of: "crl = \(pki)/crl.pem", with: "crl = \(list)") }
            let command = [TestFleet.bin + "/trading", "--config", config, "emergency-stop", "--yes", "--reason", "runaway"]
            let stop =
                one.uid == 0
                ? try Program.run(command[0], Array(command.dropFirst()))
                : try Program.run("/usr/bin/setpriv", ["--reuid", "65534", "--clear-groups"] + command)
            #expect(stop.status == 0 && stop.text.contains("GONE 2 of 2"), "\(one.name): \(stop.text)")
            #expect(stop.text.contains("NOT CHECKED: "), "\(one.name): \(stop.text)")
            if one.uid == 0 {
                let status = try Program.run(command[0], ["--config", config, "status"])
                #expect(status.text.contains("hosts 2 of 2") && status.text.contains("NOT CHECKED: ") == (one.name != "stale"), "\(one.name): \(status.text)")
                let start = try Program.run(command[0], ["--config", config, "start", "--all", "--reason", "test"])
                #expect(start.status != 0, "\(one.name): no order goes on without a list: \(start.text)")
            }
            _ = try? FileManager.default.removeItem(atPath: list)
            try again(fleet)
        }
    }

    @Test("an expired operator stops everything, and releases nothing; an expired coordinator takes the stop, and both are said")
    func expired() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        try fleet.keys.issueExpired("operator", "late")
        let late = try settings(fleet) { $0.replacingOccurrences(of: "operator-alice", with: "operator-late") }
        func trading(_ arguments: String...) throws -> TestFleet.Output {
            try Program.run(TestFleet.bin + "/trading", ["--config", late, "--via", "ctl-1"] + arguments)
        }
        let stop = try trading("emergency-stop", "--yes", "--reason", "runaway")
        #expect(stop.status == 0 && stop.text.contains("GONE 2 of 2") && flat(stop.text).contains("our own certificate is past its last day"), "\(stop.text)")
        let release = try trading("emergency-stop", "release", "--reason", "fixed")
        #expect(release.status == 3 && release.text.contains("[restricted]"), "\(release.text)")
        #expect(try fleet.latches.count == 1)
        try again(fleet)

        fleet.coordinator?.killNow()
        try fleet.keys.issueExpired("coordinator", "ctl-1")
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let gateway = try fleet.pid("order-gateway")
        let taken = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", "--reason", "runaway")
        #expect(taken.status == 0 && taken.text.contains("GONE 2 of 2") && !isAlive(gateway), "\(taken.text)")
        #expect(flat(taken.text).contains("NOT CHECKED: ctl-1") && taken.text.contains("expired"), "\(taken.text)")
    }

    @Test(
        "a directory service that hangs delays no local emergency stop: the person is then a number",
        .enabled(if: geteuid() == 0, "a mount namespace of its own needs root"))
    func hungNames() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        // Nobody else writes the latch then.
        fleet.agents["ex-1"]?.killNow()
        let config = "\(fleet.directory)/local-names.conf"
        try "fleet = demo\nrun_dir = \(fleet.directory)/run/ex-1\nstate_dir = \(fleet.directory)/state/ex-1\n".write(
            toFile: config, atomically: true, encoding: .utf8)
        // Whoever opens the account file waits for a writer that never comes.
        let script = """
            mkfifo \(fleet.directory)/passwd && mount --bind \(fleet.directory)/passwd /etc/passwd &&
            exec timeout 30 \(TestFleet.bin)/trading --config \(config) --local emergency-stop --everything --yes --reason runaway
            """
        let began = ContinuousClock.now
        let stop = try Program.run("/usr/bin/unshare", ["-m", "/bin/sh", "-c", script])
        #expect(stop.status == 0 && stop.text.contains("GONE 1 of 1"), "\(stop.text)")
        #expect(began.duration(to: .now) < .seconds(10), "\(stop.text)")
        #expect(!isAlive(gateway))
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.latches.contains { $0["by"] as? String == "local:uid 0" } }, "\(fleet.logs)")
    }

    @Test("a release that a host did not take for its coordinator's stale list reaches it when a fresh list lifts the restriction, in the same session")
    func releaseUnderRestriction() async throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let client = APIClient(.unix(name: "coordinator", path: fleet.directory + "/run/ctl-1.sock"))
        var stop = APIEmergencyRequest()
        stop.reason = "runaway"
        stop.scope.services = ["order-gateway"]
        let _: APIEmergencyAnswer = try await client.post(Route.emergencyStop, stop)
        func isRestricted() throws -> Bool { try fleet.hostStatuses().contains { $0["restricted"] as? Bool == true } }
        try fleet.keys.staleList(at: fleet.directory + "/pki/crl.pem")
        fleet.coordinator?.signal(SIGHUP)
        #expect(try eventually(within: 10) { try isRestricted() }, "\(fleet.logs)")
        var release = APILatchRelease()
        release.reason = "over"
        let _: APIDone = try await client.post(Route.emergencyRelease, release)
        try fleet.keys.freshList()
        fleet.coordinator?.signal(SIGHUP)
        #expect(try eventually(within: 10) { try !isRestricted() }, "\(fleet.logs)")
        #expect(try eventually(within: 15) { try fleet.trading("start", "order-gateway", "--reason", "again").status == 0 }, "\(fleet.logs)")
        #expect(fleet.agents["ex-1"]?.log.contains("session closed") == false, "\(fleet.logs)")
    }

    @Test("a file that may be an emergency stop and can't be read lets nothing start, and is said", arguments: ["run", "state"])
    func unreadableLatch(place: String) throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
        fleet.flags = ["--allow-dir", "/usr/bin"]
        defer { fleet.end() }
        let latches = "\(fleet.directory)/\(place)/ex-1/latch"
        try FileManager.default.createDirectory(atPath: latches, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
        try Data("{\"id\": \"es-".utf8).write(to: URL(fileURLWithPath: latches + "/es-1"))
        try fleet.beginWithoutRelay()
        let start = try fleet.trading("start", "--all", "--reason", "test")
        #expect(start.status != 0 && flat(start.text).contains("It may be an emergency stop in force: look at it"), "\(start.text)")
        let status = try fleet.trading("status")
        #expect(status.status == 3 && flat(status.text).contains("\(latches)/es-1"), "\(status.text)")
        // Looked at, and removed.
        try FileManager.default.removeItem(atPath: latches + "/es-1")
        #expect(try eventually(within: 40) { try fleet.trading("start", "--all", "--reason", "test").status == 0 }, "\(fleet.logs)")
    }

    @Test("what an emergency stop has killed while its agent was away was wanted down, also once the stop is released")
    func releasedLater() throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }
            .started(allowing: "/usr/bin")
        defer { fleet.end() }
        try fleet.killAgent("ex-1")
        let stop = try fleet.local("ex-1", "emergency-stop", "--everything", "--yes", "--reason", "panic")
        #expect(stop.text.contains("GONE 1 of 1"), "\(stop.text)")
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "over").status == 0)
        let status = try fleet.trading("status")
        #expect(!flat(status.text).contains("nobody wanted that") && !status.text.contains("ENDED BY ITSELF"), "\(status.text)")
    }

    @Test("with no authority file to be had it goes out over the Unix socket; with nothing it says what it could not send")
    func noAuthority() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let pki = fleet.directory + "/pki"
        let config = try settings(fleet) {
            "socket = \(fleet.directory)/run/ctl-1.sock\n" + $0.replacingOccurrences(of: "ca = \(pki)/ca.pem", with: "ca = /nowhere/ca.pem")
        }
        let stop = try Program.run(TestFleet.bin + "/trading", ["--config", config, "emergency-stop", "--yes", "--reason", "runaway"])
        #expect(stop.status == 0 && stop.text.contains("GONE 2 of 2"), "\(stop.text)")
        #expect(flat(stop.text).contains("NOT CHECKED: nothing was sent to ctl-1, ctl-2") && stop.text.contains("/nowhere/ca.pem"), "\(stop.text)")
        let nothing = try settings(fleet) { $0.replacingOccurrences(of: "ca = \(pki)/ca.pem", with: "ca = /nowhere/ca.pem") }
        let unsent = try Program.run(TestFleet.bin + "/trading", ["--config", nothing, "emergency-stop", "--yes", "--reason", "runaway"])
        #expect(unsent.status != 0 && unsent.text.contains("/nowhere/ca.pem"), "\(unsent.text)")
    }

    @Test(
        "a coordinator whose revocation list is gone starts all the same, with its last good one; where none was ever seen status and an emergency stop go on")
    func coordinatorsList() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let pki = fleet.directory + "/pki"
        fleet.coordinator?.killNow()
        try FileManager.default.moveItem(atPath: pki + "/crl.pem", toPath: pki + "/crl.away")
        try fleet.startCoordinator()
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("the last good list") == true }, "\(fleet.logs)")
        try FileManager.default.copyItem(atPath: pki + "/crl.away", toPath: pki + "/crl.pem")
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(try fleet.trading("restart", "strategy", "--reason", "test").status == 0, "\(fleet.logs)")

        fleet.coordinator?.killNow()
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/ctl-1/crl-last-good.pem")
        try FileManager.default.removeItem(atPath: pki + "/crl.pem")
        try fleet.startCoordinator()
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("no revocation list was ever seen") == true }, "\(fleet.logs)")
        try FileManager.default.copyItem(atPath: pki + "/crl.away", toPath: pki + "/crl.pem")
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(stop.status == 3 && stop.text.contains("[restricted]"), "\(stop.text)")
        let emergency = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", "--reason", "runaway")
        #expect(emergency.status == 0 && emergency.text.contains("GONE 2 of 2"), "\(emergency.text)")
    }

    @Test(
        "a name that nobody knows is refused with the nearest one before anything is sent; on a host itself any name goes, and nothing of that name is no success"
    )
    func misspelt() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        for (option, name, near) in [("--service", "order-gatway", "order-gateway"), ("--tier", "strategy", "strategies"), ("--host", "ex-2", "ex-1")] {
            let stop = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", option, name, "--reason", "runaway")
            #expect(stop.status == 2 && stop.text.contains("NOTHING WAS SENT") && stop.text.contains("Did you mean \(near)?"), "\(stop.text)")
        }
        #expect(try fleet.state("order-gateway") == "RUNNING" && fleet.latches.isEmpty)
        #expect(try fleet.audit().allSatisfy { $0["event"] as? String != "LATCH_SET" })
        // What is known and covers nobody is no stop either: the gateway's tier on the other host.
        let nobody = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", "--tier", "execution", "--host", "st-1", "--reason", "runaway")
        #expect(nobody.status == 3 && nobody.text.contains("COVERS NOTHING"), "\(nobody.text)")
        let onHost = try fleet.local("ex-1", "emergency-stop", "--yes", "--service", "order-gatway", "--reason", "runaway")
        #expect(onHost.status == 4 && onHost.text.contains("NOTHING OF THAT NAME"), "\(onHost.text)")
        #expect(try fleet.state("order-gateway") == "RUNNING")
    }
}
