import Foundation
import Glibc
import TestSupport
import Testing

/// kill -9 of coordinator and agents: no worker is harmed by that alone (law 4), and the next order works.
@Suite(.serialized) struct CrashTests {
    /// A fleet whose gateway keeps a stop waiting at the gate, so that the kill comes in mid-stop.
    private func blockedFleet() throws -> (TestFleet, TestProcess, [Int32]) {
        let fleet = try TestFleet { text in
            text.replacingOccurrences(of: "order-gateway, --listen", with: "order-gateway, --stuck-orders, \"1\", --listen")
                .replacingOccurrences(of: "gate_wait: 30s", with: "gate_wait: 500ms")
        }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let stop = try fleet.background("stop", "--all", "--reason", "interrupted")
        #expect(try eventually(within: 20) { try fleet.blockedText() != nil }, "\(stop.log)")
        let pids = try ["exchange-to-redis", "redis-to-questdb", "strategy", "order-gateway"].map { try fleet.pid($0) }
        return (fleet, stop, pids)
    }

    private func expectAlive(_ pids: [Int32]) {
        for pid in pids { #expect(isAlive(pid), "worker \(pid) was harmed") }
    }

    /// Lets the venue answer, and stops the fleet for good.
    private func stopAgain(_ fleet: TestFleet) throws {
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        _ = try fleet.run("/usr/bin/curl", ["-s", "-X", "POST", "http://127.0.0.1:\(fleet.ports.gateway)/venue/unstick"])
        let again = try fleet.trading("stop", "--all", "--reason", "again")
        #expect(again.status == 0 && again.text.contains("verdict: proven"), "\(again.text)\n\(fleet.logs)")
        for service in ["exchange-to-redis", "redis-to-questdb", "strategy", "order-gateway"] { #expect(try fleet.state(service) == "STOPPED") }
        try fleet.verifyAudits()
    }

    @Test("kill -9 of the coordinator in mid-stop harms no worker, and a second stop completes")
    func coordinatorKilled() throws {
        let (fleet, stop, pids) = try blockedFleet()
        defer { fleet.end() }
        fleet.coordinator?.killNow()
        expectAlive(pids)
        try fleet.startCoordinator()
        #expect(eventually(within: 30) { !stop.process.isRunning }, "the command line hangs: \(stop.log)")
        #expect(stop.process.terminationStatus != 0, "\(stop.log)")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        expectAlive(pids)
        #expect(try fleet.audit().contains { $0["event"] as? String == "RUN_INTERRUPTED" })
        try stopAgain(fleet)
    }

    @Test("kill -9 of an agent in mid-stop harms no worker; the new agent adopts it and the run goes on")
    func agentKilled() throws {
        let (fleet, stop, pids) = try blockedFleet()
        defer { fleet.end() }
        fleet.agents["ex-1"]?.killNow()
        expectAlive(pids)
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.pid("order-gateway") == pids[3] && fleet.reportingHosts() == 4 }, "not adopted: \(fleet.logs)")
        expectAlive(pids)
        _ = try fleet.run("/usr/bin/curl", ["-s", "-X", "POST", "http://127.0.0.1:\(fleet.ports.gateway)/venue/unstick"])
        #expect(eventually(within: 30) { !stop.process.isRunning }, "\(stop.log)\n\(fleet.logs)")
        #expect(stop.log.contains("verdict: proven"), "\(stop.log)\n\(fleet.logs)")
        try fleet.verifyAudits()
    }

    @Test("kill -9 of coordinator and every agent in mid-stop harms no worker, and a second stop completes")
    func allKilled() throws {
        let (fleet, stop, pids) = try blockedFleet()
        defer { fleet.end() }
        for agent in fleet.agents.values { agent.killNow() }
        fleet.coordinator?.killNow()
        expectAlive(pids)
        for host in fleet.hosts { try fleet.startAgent(host) }
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        #expect(eventually(within: 30) { !stop.process.isRunning }, "the command line hangs: \(stop.log)")
        expectAlive(pids)
        try stopAgain(fleet)
    }

    @Test("a host that is silent is refused by name, shown as unknown, and can be excluded by name")
    func silentHost() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        fleet.agents["st-1"]?.signal(SIGSTOP)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 3 })
        let status = try fleet.trading("status")
        #expect(status.status == 4 && status.text.contains("UNKNOWN"), "\(status.text)")
        let logs = try fleet.trading("logs", "all", "-n", "1")
        #expect(logs.status == 4 && logs.text.contains("UNKNOWN: st-1"), "\(logs.text)")
        let refused = try fleet.trading("stop", "--all", "--reason", "x")
        #expect(refused.status != 0 && refused.text.contains("st-1") && refused.text.contains("host-unknown"), "\(refused.text)")
        #expect(try fleet.state("exchange-to-redis") == "RUNNING")
        fleet.agents["st-1"]?.signal(SIGCONT)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 4 }, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "--all", "--reason", "y").text.contains("verdict: proven"))
    }
}
