import Foundation
import Glibc
import LinuxHost
import TestSupport
import Testing

/// The places where a part can be ended: each is reached, and the part ends there and nowhere else; whoever comes after it goes on.
struct FailpointTests {
    private func wasKilled(_ process: TestProcess?) -> Bool {
        guard let process = process?.process, !process.isRunning else { return false }
        return process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGKILL
    }

    private static let atAgent: [(failpoint: String, isSignalled: Bool, isGone: Bool)] = [
        ("before-record:WORKER_SIGNAL", false, false), ("after-record:WORKER_SIGNAL", true, false), ("after-effect:signal", true, false),
        ("before-record:WORKER_STOP", true, false), ("after-record:WORKER_STOP", true, true), ("before-send:done", true, true), ("after-send:done", true, true),
    ]

    @Test("an agent ends where it is told to in a stop, and the agent after it stops what still runs", arguments: atAgent)
    func agent(failpoint: String, isSignalled: Bool, isGone: Bool) throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "plain")
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "open").status == 0)
        host.killAgent()
        host.wrapper = ["/usr/bin/env", "TRADING_FAILPOINT=\(failpoint)"]
        try host.startAgent()
        let stop = try host.background("stop", "worker", "--reason", "close")
        #expect(eventually(within: 15) { wasKilled(host.agent) }, "\(failpoint) was not reached: \(host.agent?.log ?? "")")
        // It would wait for its agent to come back.
        stop.end()
        #expect(try !host.records("WORKER_SIGNAL", of: "worker").isEmpty == isSignalled)
        #expect(try !host.records("WORKER_STOP", of: "worker").isEmpty == isGone)
        host.wrapper = []
        try host.startAgent()
        let next = try host.local("stop", "worker", "--reason", "again")
        #expect(next.status == 0 || next.status == 3, "\(next.text)")
        #expect(try eventually(within: 15) { try host.state("worker") == "STOPPED" && host.tree("worker").isEmpty }, "\(next.text)\n\(host.screen)")
        try host.verify()
    }

    private static let atCoordinator = [
        "before-record:SHUTDOWN_START", "after-record:SHUTDOWN_START", "after-effect:stop", "after-record:VERDICT", "before-send:stop", "after-send:stop",
    ]

    @Test("a coordinator ends where it is told to in a stop, and the coordinator after it stops what still runs", arguments: atCoordinator)
    func coordinator(failpoint: String) throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            "  one: {tier: t, hosts: [md-1], run: [\(TestFleet.bin)/torture-worker, plain]}"
        }
        defer { fleet.end() }
        fleet.environment = ["TRADING_FAILPOINT": failpoint]
        _ = try fleet.started(allowing: TestFleet.bin)
        fleet.environment = [:]
        let stop = try fleet.background("stop", "--all", "--reason", "close")
        #expect(eventually(within: 20) { wasKilled(fleet.coordinator) }, "\(failpoint) was not reached: \(fleet.logs)")
        stop.signal(SIGINT)
        #expect(eventually(within: 20) { !stop.process.isRunning })
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        let next = try fleet.trading("stop", "--all", "--reason", "again")
        #expect(next.status == 0, "\(failpoint): \(next.text)")
        #expect(try fleet.state("one") == "STOPPED")
        try fleet.verifyAudits()
    }
}
