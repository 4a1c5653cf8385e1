import Foundation
import Glibc
import LinuxHost
import TestSupport
import Testing

/// Workers that don't behave.
@Suite(.serialized) struct WorkerTests {
    private func fleet(_ services: String) throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["md-1", "ex-1"]) { text in
            return """
                fleet: demo
                format: 1
                timezone: UTC
                coordinators:
                \(TestFleet.coordinators(of: text))
                tiers: {market-data: {}, execution: {}}
                defaults: {ready: {notify: 10s}, stop: {signal: TERM, grace: 500ms, extend_to: 2s, then: kill}, restart: {policy: never}}
                hosts:
                  md-1: {}
                  ex-1: {}
                services:
                \(services)
                """
        }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        return fleet
    }

    @Test("a worker that ignores SIGTERM is killed at its grace with a warning in the audit")
    func killedAtGrace() throws {
        let fleet = try fleet("  deaf: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker, --ignore-term]}")
        defer { fleet.end() }
        let pid = try fleet.pid("deaf")
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(!isAlive(pid))
        #expect(stop.text.contains("verdict: unproven") && stop.text.contains("killed"), "\(stop.text)")
        let kill = try #require(try fleet.audit("md-1").first { $0["event"] as? String == "WORKER_KILL" })
        #expect((kill["fields"] as? [String: Any])?["level"] as? String == "warning")
    }

    @Test("a shim that somebody has stopped is told to go on by a stop, which is then whole, and after an emergency stop; both are on record")
    func stoppedShim() throws {
        let fleet = try fleet("  quiet: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker], stop: {grace: 10s, extend_to: 10s}}")
        defer { fleet.end() }
        func stopShim() throws -> Int32 {
            let pid = try fleet.pid("quiet")
            #expect(kill(try #require(try ProcessStat.read(pid: pid)).parent, SIGSTOP) == 0)
            return pid
        }
        let pid = try stopShim()
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven") && !isAlive(pid), "\(stop.text)\n\(fleet.logs)")
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        let again = try stopShim()
        let emergency = try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "test")
        #expect(emergency.text.contains("GONE 1 of 1") && !isAlive(again), "\(emergency.text)")
        #expect(try eventually(within: 10) { try fleet.state("quiet") == "STOPPED" }, "\(fleet.logs)")
        let warnings = try fleet.audit("md-1").filter { $0["event"] as? String == "WORKER_WARNING" }
        #expect(warnings.count { ($0["reason"] as? String ?? "").contains("its shim was stopped by a signal (T)") } == 2, "\(warnings)")
    }

    @Test("an agent that begins while the shims of its workers are stopped calls none of them stopped, starts no second copy, and stops them")
    func stoppedShimAtStart() throws {
        let fleet = try fleet("  quiet: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker], stop: {grace: 10s, extend_to: 10s}}")
        defer { fleet.end() }
        let pid = try fleet.pid("quiet")
        let shim = try #require(try ProcessStat.read(pid: pid)).parent
        fleet.agents["md-1"]?.killNow()
        #expect(kill(shim, SIGSTOP) == 0)
        try fleet.startAgent("md-1")
        // Whatever its agent does, for longer than an agent waits for shims it does not go on.
        let until = Date().addingTimeInterval(6)
        var seen: Set<String> = []
        while Date() < until {
            kill(shim, SIGSTOP)
            if try fleet.reportingHosts() == 2 { seen.insert(try fleet.state("quiet")) }
        }
        #expect(seen.contains("RUNNING") && !seen.contains("STOPPED"), "\(seen) \(fleet.logs)")
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0 && fleet.pid("quiet") == pid)
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(stop.status == 0 && stop.text.contains("verdict: proven") && !isAlive(pid), "\(stop.text)\n\(fleet.logs)")
    }

    @Test("in the execution tier it is held, shown, and resolved by a person")
    func held() throws {
        let fleet = try fleet(
            "  gateway: {tier: execution, hosts: [ex-1], run: [trading-demo, test-worker, --ignore-term], stop: {grace: 300ms, extend_to: 500ms, then: hold}}")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let stop = try fleet.background("stop", "--all", "--reason", "test")
        defer { stop.end() }
        #expect(try eventually(within: 10) { try fleet.state("gateway") == "HELD" }, "\(stop.log)")
        #expect(isAlive(pid))
        #expect(try fleet.trading("status").text.contains("trading hold release gateway@ex-1"))
        #expect(try fleet.trading("hold", "wait", "gateway@ex-1", "--for", "1s").status == 0)
        #expect(try fleet.state("gateway") != "HELD" || isAlive(pid))
        #expect(try eventually(within: 10) { try fleet.state("gateway") == "HELD" })
        // More time than anybody wants to wait, and second thoughts.
        #expect(try fleet.trading("hold", "wait", "gateway@ex-1", "--for", "10min").status == 0)
        let released = try fleet.trading("hold", "release", "gateway@ex-1", "--kill", "--reason", "flat at the venue")
        #expect(released.status == 0, "\(released.text)")
        #expect(eventually(within: 20) { !stop.process.isRunning }, "\(stop.log)")
        #expect(!isAlive(pid))
        #expect(stop.log.contains("verdict: unproven"), "\(stop.log)")
        let events = try fleet.audit("ex-1").compactMap { $0["event"] as? String }
        for event in ["WORKER_HOLD", "HOLD_WAIT", "HOLD_RELEASE", "WORKER_KILL", "WORKER_STOP"] { #expect(events.contains(event), "\(events)") }
    }

    @Test("one that forks children leaves none, and one that exits 3 makes the certificate say so")
    func childrenAndExits() throws {
        let fleet = try fleet(
            """
              parent: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker, --fork-children, "5"]}
              three:  {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker, --exit-code, "3"]}
            """)
        defer { fleet.end() }
        let parent = try fleet.pid("parent")
        let children = try fleet.run("/usr/bin/pgrep", ["-P", "\(parent)"]).text.split(separator: "\n").compactMap { Int32($0) }
        #expect(children.count == 5)
        let stop = try fleet.trading("stop", "--all", "--reason", "test")
        #expect(!isAlive(parent))
        for child in children { #expect(!isAlive(child), "child \(child) is left") }
        #expect(stop.text.contains("verdict: unproven") && stop.text.contains("three@md-1 ended with exit 3"), "\(stop.text)")
    }

    @Test("a worker that never says READY fails its start, is left running and can be stopped")
    func neverReady() throws {
        let fleet = try fleet(
            "  quick: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker]}\n  mute: {tier: execution, hosts: [ex-1], run: [trading-demo, test-worker], ready: {notify: 10s}}"
        )
        defer { fleet.end() }
        // The agent is killed while a worker ends: its exit status is kept by the shim.
        fleet.agents["md-1"]?.killNow()
        let worker = try #require(
            try fleet.run("/usr/bin/cat", [fleet.directory + "/run/md-1/quick.pid"]).text.split(separator: "\n").first.flatMap { Int32($0) })
        #expect(kill(worker, SIGTERM) == 0)
        #expect(eventually(within: 5) { !isAlive(worker) })
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 2 })
        let exit = try #require(try fleet.worker("quick")?["last_exit"] as? [String: Any])
        #expect(exit["known"] as? Bool == true && (exit["code"] as? Int ?? 0) == 0, "\(exit)")
    }

    @Test("the agent answers for its own host with no coordinator anywhere")
    func localControl() throws {
        let fleet = try fleet("  quick: {tier: market-data, hosts: [md-1], run: [trading-demo, test-worker]}")
        defer { fleet.end() }
        fleet.coordinator?.killNow()
        fleet.relay?.killNow()
        let status = try fleet.local("md-1", "status")
        #expect(status.text.contains("quick") && status.text.contains("running"), "\(status.text)")
        let stop = try fleet.local("md-1", "stop", "--all", "--reason", "local")
        #expect(stop.status == 0, "\(stop.text)\n\(fleet.logs)")
        #expect(try fleet.local("md-1", "status").text.contains("stopped"))
        #expect(try fleet.local("md-1", "start", "--all", "--reason", "local").status == 0)
        #expect(try fleet.local("md-1", "status").text.contains("running"))
        let logs = try fleet.local("md-1", "logs", "quick")
        #expect(logs.status == 0, "\(logs.text)")
        let fleetwide = try fleet.trading("status")
        #expect(fleetwide.status != 0 && fleetwide.text.contains("no-coordinator"), "\(fleetwide.text)")
    }
}
