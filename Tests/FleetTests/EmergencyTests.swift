import Foundation
import Glibc
import TestSupport
import Testing

/// The emergency stop depends on nothing, and is a latch (law 7).
@Suite(.serialized) struct EmergencyTests {
    private func startedFleet() throws -> TestFleet {
        let fleet = try TestFleet()
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        return fleet
    }

    @Test("with the coordinator killed it goes through the relay; it spares what the inventory spares, and nothing relaunches under it")
    func throughRelay() throws {
        let fleet = try startedFleet()
        defer { fleet.end() }
        let strategy = try fleet.pid("strategy")
        let gateway = try fleet.pid("order-gateway")
        let feed = try fleet.pid("exchange-to-redis")
        fleet.coordinator?.killNow()
        let stop = try fleet.trading("emergency-stop", "--yes", "--reason", "runaway")
        #expect(stop.text.contains("GONE 2 of 2"), "\(stop.text)\n\(fleet.logs)")
        #expect(!isAlive(strategy) && !isAlive(gateway))
        #expect(isAlive(feed), "market data was to be spared")
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        // The coordinator that was not there learns of it from the agents.
        #expect(try eventually(within: 10) { try (fleet.status()["latches"] as? [Any])?.count == 1 })
        let refused = try fleet.trading("start", "strategy", "--reason", "too early")
        #expect(refused.status != 0 && refused.text.contains("latched"), "\(refused.text)")
        // A restart starts what was killed, too.
        let restart = try fleet.trading("restart", "--all", "--reason", "too early")
        #expect(restart.status != 0 && restart.text.contains("[latched]"), "\(restart.text)")
        let onHost = try fleet.local("st-1", "start", "strategy", "--reason", "too early")
        #expect(onHost.status != 0 && onHost.text.contains("emergency stop"), "\(onHost.text)")
        #expect(try fleet.state("strategy") == "STOPPED")

        #expect(try fleet.trading("emergency-stop", "release", "--reason", "fixed").status == 0)
        #expect(try eventually(within: 10) { try (fleet.status()["latches"] as? [Any] ?? []).isEmpty })
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
        try fleet.verifyAudits()
    }

    @Test("with an agent hung, --local kills on that host alone, and the agent honours the latch when it goes on")
    func agentHung() throws {
        let fleet = try startedFleet()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        let strategy = try fleet.pid("strategy")
        fleet.agents["ex-1"]?.signal(SIGSTOP)
        let stop = try fleet.local("ex-1", "emergency-stop", "--yes", "--reason", "hung")
        #expect(stop.text.contains("GONE 1 of 1"), "\(stop.text)")
        #expect(eventually(within: 2) { !isAlive(gateway) })
        fleet.agents["ex-1"]?.signal(SIGCONT)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 })
        let refused = try fleet.trading("start", "order-gateway", "--reason", "too early")
        #expect(refused.status != 0 && refused.text.contains("latched"), "\(refused.text)\n\(fleet.logs)")
        // The latch has spread; it names one host, and so does one that an agent is asked for.
        #expect(try eventually(within: 10) { try (fleet.status()["latches"] as? [Any])?.count == 1 })
        let onHost = try fleet.local("md-1", "emergency-stop", "--yes", "--reason", "only here")
        #expect(onHost.status == 0 || onHost.text.contains("GONE 0 of 0"), "\(onHost.text)")
        #expect(try eventually(within: 10) { try (fleet.status()["latches"] as? [Any])?.count == 2 })
        #expect(try fleet.state("strategy") == "RUNNING")
        #expect(isAlive(strategy), "a stop of ex-1 and md-1 has killed on st-1")
    }

    @Test("a host that was cut off learns of it when it comes back; a released latch is never honoured again")
    func cutOff() throws {
        let fleet = try startedFleet()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        fleet.agents["ex-1"]?.killNow()
        let stop = try fleet.trading("emergency-stop", "--yes", "--reason", "one is away")
        #expect(stop.status != 0 && stop.text.contains("ex-1"), "\(stop.text)")
        #expect(isAlive(gateway), "nobody could reach it")
        try fleet.startAgent("ex-1")
        #expect(eventually(within: 20) { !isAlive(gateway) }, "the latch did not reach the host: \(fleet.logs)")

        // Cut off again while it is released: its own copy is still in force until it hears of the release.
        fleet.agents["ex-1"]?.killNow()
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "fixed").status == 0)
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        #expect(try eventually(within: 10) { try fleet.trading("start", "--all", "--reason", "again").status == 0 }, "\(fleet.logs)")
        #expect(try (fleet.status()["latches"] as? [Any] ?? []).isEmpty)
        #expect(try fleet.state("order-gateway") == "RUNNING")
    }

    @Test("with the state disk full it kills all the same", .enabled(if: getuid() == 0, "mounting a small file system needs root"))
    func diskFull() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        let small = try fleet.mountSmallState(of: "ex-1")
        defer { fleet.unmount(small) }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let gateway = try fleet.pid("order-gateway")
        try fleet.fill(small)
        #expect(try eventually(within: 10) { try fleet.trading("status").text.contains("KiB free") }, "a full disk is not on the screen")
        let stop = try fleet.trading("emergency-stop", "--yes", "--reason", "disk is full")
        #expect(stop.text.contains("GONE 2 of 2"), "\(stop.text)\n\(fleet.logs)")
        #expect(!isAlive(gateway))
        let refused = try fleet.trading("start", "order-gateway", "--reason", "too early")
        #expect(refused.status != 0, "\(refused.text)")
        #expect(fleet.makeRoom(in: small))
    }
}
