import Foundation
import Glibc
import TestSupport
import Testing

/// Two hosts of one name and key: a clone, or a key that was copied (REVIEW C3).
struct TwinTests {
    private func fleet() throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
        }
        return try fleet.started(allowing: "/usr/bin")
    }

    @Test("two live instances of one host are recognised within a second, and nothing is started or proven there until one has ended")
    func recognised() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let clone = try fleet.startClone(of: "ex-1")
        defer { clone.end() }
        #expect(eventually(within: 20) { fleet.coordinator?.log.contains("session opened") == true && clone.log.contains("session opened") })
        let met = Date()
        #expect(
            try eventually(within: 5) { flat(try fleet.trading("status").text).contains(/TWO INSTANCES live since \d\d:\d\d: boot/) }, "\(fleet.logs)")
        #expect(Date().timeIntervalSince(met) < 3)
        let status = try fleet.trading("status")
        #expect(status.status == 4 && status.text.contains("UNKNOWN"), "\(status.text)")
        for verb in ["stop", "start", "restart"] {
            let refused = try fleet.trading(verb, "--all", "--reason", "x")
            #expect(refused.status != 0 && refused.text.contains("two instances of ex-1 live"), "\(refused.text)")
        }
        #expect(kill(pid, 0) == 0, "no agent was displaced into harm")
        let both = try fleet.trading("hosts", "settle", "ex-1", "--reason", "I say so")
        #expect(both.status != 0 && both.text.contains("both still answer"), "\(both.text)")
        // The clone had nothing running, and said so: its end settles it.
        clone.signal(SIGTERM)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven"), "\(stop.text)")
        let events = try fleet.audit().compactMap { $0["event"] as? String }
        #expect(events.contains("HOST_CONTESTED") && events.contains("HOST_SETTLED"))
    }

    @Test("an emergency stop goes to both, and each says what it did")
    func emergencyStop() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let clone = try fleet.startClone(of: "ex-1")
        defer { clone.end() }
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains("TWO INSTANCES live") }, "\(fleet.logs)")
        let stopped = try fleet.trading("emergency-stop", "--yes", "--reason", "both")
        #expect(eventually(within: 5) { kill(pid, 0) != 0 }, "\(stopped.text)")
        #expect(stopped.text.contains("another instance"), "\(stopped.text)")
        #expect(eventually(within: 5) { FileManager.default.fileExists(atPath: "\(fleet.directory)/state/ex-1-clone/latch") }, "the clone keeps it as well")
    }

    @Test("an instance that ends with something running, or was met by a coordinator before this one, is settled by a person alone")
    func settledByAPerson() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        // The first instance runs the gateway; a clone takes its place and the first is lost.
        let clone = try fleet.startClone(of: "ex-1")
        defer { clone.end() }
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains("TWO INSTANCES live") }, "\(fleet.logs)")
        fleet.agents["ex-1"]?.signal(SIGKILL)
        fleet.coordinator?.signal(SIGKILL)
        #expect(eventually(within: 10) { fleet.coordinator?.process.isRunning == false })
        try fleet.startCoordinator()
        #expect(eventually(within: 20) { fleet.coordinator?.log.contains("session opened") == true }, "\(fleet.logs)")
        let refused = try fleet.trading("stop", "--all", "--reason", "x")
        #expect(refused.status != 0 && refused.text.contains("two instances of ex-1 live"), "\(refused.text)")
        let settled = try fleet.trading("hosts", "settle", "ex-1", "--reason", "the first host is off")
        #expect(settled.status == 0 && settled.text.contains("attested gone by"), "\(settled.text)")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        #expect(try fleet.trading("hosts", "settle", "ex-1", "--reason", "again").status != 0)
        #expect(try fleet.trading("hosts", "settle", "ex-7", "--reason", "typo").text.contains("no host is called ex-7"))
    }

    @Test("a clone that comes while the first is cut off is no successor of it: contested until a person settles it", .enabled(if: Tmpfs.isPossible))
    func cutOff() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        // Nothing is heard of the first any more, and its worker lives.
        try fleet.killAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 0 })
        let clone = try fleet.startClone(of: "ex-1", bootID: UUID().uuidString.lowercased())
        defer { clone.end() }
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains("TWO INSTANCES live") }, "\(fleet.logs)\n\(clone.log)")
        for verb in ["start", "stop"] {
            let refused = try fleet.trading(verb, "--all", "--reason", "x")
            #expect(refused.status != 0 && refused.text.contains("two instances of ex-1 live"), "\(refused.text)")
        }
        // The one that answers answers for itself.
        for scope in [["--everything"], ["--host", "ex-1"], ["--service", "gateway"]] {
            let emergency = try Program.run(
                TestFleet.bin + "/trading", ["--config", fleet.config, "emergency-stop"] + scope + ["--yes", "--reason", "panic"])
            #expect(
                emergency.status == 4 && flat(emergency.text).contains(/\? ex-1 +not confirmed/) && emergency.text.contains("UNKNOWN 1"), "\(emergency.text)")
        }
        #expect(kill(pid, 0) == 0)
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "over").status == 0)
        let settled = try fleet.trading("hosts", "settle", "ex-1", "--reason", "the first host is off")
        #expect(settled.status == 0, "\(settled.text)")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        // What the next certificate claims rests on that person's word, and says so; the one after it doesn't.
        func stop() throws -> TestFleet.Output { try fleet.trading("stop", "--all", "--reason", "close") }
        #expect(try stop().text.contains("1 attested by a person"))
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        #expect(try stop().text.contains("0 attested by a person"))
    }

    @Test("an agent that is restarted, or dials again, is one instance")
    func restarts() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        for _ in 0..<3 {
            try fleet.killAgent("ex-1")
            try fleet.startAgent("ex-1")
            #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("gateway") == "RUNNING" }, "\(fleet.logs)")
        }
        // A frozen agent loses its session by silence and comes back as what it was.
        fleet.agents["ex-1"]?.signal(SIGSTOP)
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 0 })
        fleet.agents["ex-1"]?.signal(SIGCONT)
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        #expect(try fleet.audit().allSatisfy { $0["event"] as? String != "HOST_CONTESTED" })
        #expect(try fleet.trading("stop", "--all", "--reason", "end of day").text.contains("verdict: proven"))
    }
}
