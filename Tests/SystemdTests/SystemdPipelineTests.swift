import Foundation
import TestSupport
import Testing

/// Start and stop of systemd's own are the ordered ones.
@Suite("the pipeline under systemd", .serialized, .enabled(if: SystemdMachine.problem == nil, Comment(rawValue: SystemdMachine.problem ?? "")))
struct SystemdPipelineTests {
    /// The stop order: tier by tier.
    private let order = ["feed", "strategy", "gateway"]

    /// Where in the audit this event of this service stands, from `start` on.
    private func place(_ event: String, _ service: String, in audit: [[String: Any]], from start: Int = 0) -> Int? {
        audit.indices.dropFirst(start).first { index in
            audit[index]["event"] as? String == event && (audit[index]["worker"] as? String)?.hasPrefix("\(service)@") == true
        }
    }

    /// No tier's signal before the end of the tier ahead of it, and each end its worker's own.
    private func expectOrderedStop(_ audit: [[String: Any]]) throws {
        var last = -1
        for service in order {
            let signal = try #require(place("WORKER_SIGNAL", service, in: audit), "\(service) got no signal: \(audit.suffix(12))")
            let exit = try #require(place("WORKER_STOP", service, in: audit), "\(service) did not end: \(audit.suffix(12))")
            #expect(last < signal && signal < exit, "\(service): \(audit.suffix(12))")
            last = exit
        }
        #expect(!audit.contains { $0["event"] as? String == "WORKER_KILL" })
        let complete = try #require(audit.firstIndex { $0["event"] as? String == "SHUTDOWN_COMPLETE" }, "\(audit.suffix(6))")
        #expect(last < complete)
    }

    @Test("systemctl stop trading-pipeline is the ordered stop, and start the ordered start; the agent goes on")
    func stoppedAndStarted() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        _ = try machine.bootWithWorkers()
        let agent = machine.agentPID
        let stopped = machine.systemctl("stop", "trading-pipeline")
        #expect(stopped.status == 0, "\(stopped.text) \(machine.logText)")
        #expect(machine.property("trading-pipeline.service", "Result") == "success")
        #expect(machine.running().isEmpty)
        #expect(machine.agentPID == agent)
        let audit = try machine.audit()
        try expectOrderedStop(audit)

        let started = machine.systemctl("start", "trading-pipeline")
        #expect(started.status == 0, "\(started.text) \(machine.logText)")
        #expect(machine.running().count == 3, "\(machine.logText)")
        let whole = try machine.audit()
        var last = audit.count - 1
        for service in order.reversed() {
            let start = try #require(place("WORKER_START", service, in: whole, from: audit.count))
            let ready = try #require(place("WORKER_READY", service, in: whole, from: audit.count))
            #expect(last < start && start < ready)
            last = ready
        }
    }

    @Test("a plain reboot stops everything in order before the agent ends; after it only what after_boot says comes up")
    func rebooted() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        _ = try machine.bootWithWorkers()
        try machine.shutDown("reboot")
        let before = try machine.audit()
        try expectOrderedStop(before)

        try machine.boot()
        #expect(eventually(within: 30) { machine.running().keys.sorted() == ["feed"] }, "\(machine.running()) \(machine.logText)")
        #expect(machine.property("trading-pipeline.service", "ActiveState") == "active")
        let starts = try machine.audit().dropFirst(before.count).filter { $0["event"] as? String == "WORKER_START" }
        #expect(starts.count == 1 && starts.first?["reason"] as? String == "after_boot: start", "\(starts)")
        // From here on its start is the whole start.
        #expect(machine.systemctl("restart", "trading-pipeline").status == 0)
        #expect(machine.running().count == 3, "\(machine.logText)")
        let running = try machine.audit().count
        try machine.shutDown("poweroff")
        try expectOrderedStop(Array(try machine.audit().dropFirst(running)))
    }

    @Test("a reboot with the agent stopped stops in order all the same")
    func rebootedWithoutAnAgent() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        _ = try machine.bootWithWorkers()
        #expect(machine.systemctl("stop", "trading-agent").status == 0)
        try machine.shutDown("reboot")
        try expectOrderedStop(try machine.audit())
    }

    // MARK: Locks

    @Test("a reboot stops a locked worker in its place, says whose lock it went through, and leaves it locked")
    func rebootedThroughALock() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        _ = try machine.bootWithWorkers()
        #expect(machine.trading("--local", "lock", "strategy", "--reason", "bad param file").status == 0)
        try machine.shutDown("reboot")
        let audit = try machine.audit()
        try expectOrderedStop(audit)
        let signal = try #require(audit.first { $0["event"] as? String == "WORKER_SIGNAL" && $0["worker"] as? String == "strategy@h-1" })
        let fields = signal["fields"] as? [String: Any]
        #expect(fields?["lock"] as? String == "bad param file" && signal["reason"] as? String == "the machine goes down", "\(signal)")
        try machine.boot()
        #expect(eventually(within: 30) { machine.running().keys.sorted() == ["feed"] }, "\(machine.logText)")
        let refused = machine.trading("--local", "start", "strategy", "--reason", "too early")
        #expect(refused.status == 3 && refused.text.contains("strategy@h-1 is locked"), "\(refused.text)")
    }

    @Test("systemctl stop leaves a locked worker and the tiers behind it running, and names who locked it; unlocked, the rest stops")
    func stoppedUpToALock() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        _ = try machine.bootWithWorkers()
        #expect(machine.trading("--local", "lock", "strategy", "--reason", "bad param file").status == 0)
        _ = machine.systemctl("stop", "trading-pipeline")
        #expect(machine.running().keys.sorted() == ["gateway", "strategy"], "\(machine.logText)")
        #expect(machine.property("trading-pipeline.service", "ActiveState") == "failed")
        let said = machine.inside("journalctl", "--no-pager", "-o", "cat", "-u", "trading-pipeline").text
        #expect(said.contains("STOPPED SHORT at tier strategies: strategy@h-1 (running, locked by"), "\(said)")
        #expect(machine.trading("--local", "unlock", "strategy", "--reason", "corrected").status == 0)
        #expect(machine.trading("--local", "stop", "--reason", "the rest").status == 0)
        try expectOrderedStop(try machine.audit())
    }

    @Test("systemctl stop in the middle of a local start gives it up and stops what it has started")
    func stoppedWhileStarting() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        let inventory = SystemdMachine.inventory.replacing(
            "run: [trading-bench-floor, worker, --ready]", with: "ready: {notify: 14min}, run: [trading-bench-floor, worker]")
        try #require(inventory != SystemdMachine.inventory)
        try inventory.write(toFile: machine.directory + "/etc/fleet.yaml", atomically: true, encoding: .utf8)
        try machine.boot()
        #expect(eventually(within: 30) { machine.trading("--local", "start", "--detach", "--reason", "test").status == 0 }, "\(machine.logText)")
        #expect(eventually(within: 20) { machine.trading("--local", "status", "--json").text.contains("STARTING") }, "\(machine.logText)")
        let listed = machine.trading("--local", "runs")
        #expect(listed.status == 0 && listed.text.contains("start") && listed.text.contains("active"), "\(listed.text)")
        let began = ContinuousClock.now
        let stopped = machine.systemctl("stop", "trading-pipeline")
        #expect(stopped.status == 0 && machine.property("trading-pipeline.service", "Result") == "success", "\(stopped.text) \(machine.logText)")
        #expect(began.duration(to: .now) < .seconds(60))
        let page = machine.trading("--local", "runs").text
        #expect(page.contains("ABORTED") && page.contains("completed"), "\(page)")
        #expect(!machine.trading("--local", "status", "--json").text.contains("STARTING"))
    }
}
