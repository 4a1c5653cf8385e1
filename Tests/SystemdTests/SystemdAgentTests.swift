import Foundation
import TestSupport
import Testing

/// Law 4 under a real systemd: whatever becomes of the agent, no worker is touched.
@Suite("under systemd", .serialized, .enabled(if: SystemdMachine.problem == nil, Comment(rawValue: SystemdMachine.problem ?? "")))
struct SystemdAgentTests {
    /// The same processes as before, by number and start time, and adopted: the agent that answers names them as running.
    private func expectUntouched(
        _ machine: SystemdMachine, _ before: [String: Int32], _ ticks: [String: UInt64], after what: String
    ) {
        let adopted = eventually(within: 20) { machine.running() == before }
        #expect(adopted, "after \(what): \(machine.running()) instead of \(before). \(machine.logText)")
        for (service, pid) in before { #expect(machine.startTicks(pid) == ticks[service], "\(service) after \(what)") }
    }

    private func ticks(_ machine: SystemdMachine, _ pids: [String: Int32]) -> [String: UInt64] {
        pids.compactMapValues { machine.startTicks($0) }
    }

    /// Another agent than `old` is ready.
    private func expectAnother(_ machine: SystemdMachine, than old: Int32, after what: String) {
        let replaced = eventually(within: 30) {
            let now = machine.agentPID
            return now != 0 && now != old && machine.property("trading-agent.service", "ActiveState") == "active"
        }
        #expect(replaced, "no new agent after \(what): \(machine.logText)")
    }

    @Test("the agent is restarted, reloaded, stopped and started: the workers' processes stay the same and are adopted")
    func restartedAndStopped() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        let pids = try machine.bootWithWorkers()
        let ticks = ticks(machine, pids)
        var agent = machine.agentPID
        #expect(machine.systemctl("restart", "trading-agent").status == 0)
        expectAnother(machine, than: agent, after: "a restart")
        expectUntouched(machine, pids, ticks, after: "a restart")

        agent = machine.agentPID
        #expect(machine.systemctl("reload", "trading-agent").status == 0)
        #expect(machine.agentPID == agent)
        expectUntouched(machine, pids, ticks, after: "a reload")

        #expect(machine.systemctl("stop", "trading-agent").status == 0)
        #expect(machine.property("trading-agent.service", "ActiveState") == "inactive")
        #expect(machine.property("trading-agent.service", "Result") == "success")
        for (service, pid) in pids { #expect(machine.startTicks(pid) == ticks[service], "\(service) without an agent") }
        // The pipeline is not pulled down with it.
        #expect(machine.property("trading-pipeline.service", "ActiveState") == "active")
        #expect(machine.systemctl("start", "trading-agent").status == 0)
        expectUntouched(machine, pids, ticks, after: "a stop and a start")
        let audit = try machine.audit()
        #expect(!audit.contains { $0["event"] as? String == "WORKER_SIGNAL" })
    }

    @Test("an agent that is killed with SIGKILL, and one that is replaced by another file, is succeeded by one that adopts every worker")
    func killedAndUpgraded() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        let pids = try machine.bootWithWorkers()
        let ticks = ticks(machine, pids)
        var agent = machine.agentPID
        #expect(machine.inside("kill", "-KILL", "\(agent)").status == 0)
        expectAnother(machine, than: agent, after: "kill -9")
        expectUntouched(machine, pids, ticks, after: "kill -9")
        #expect(machine.property("trading-agent.service", "NRestarts") == "1")

        // As an upgrade does it: another directory, the link set over, the agent restarted.
        #expect(machine.inside("mkdir", "/opt/trading/2").status == 0)
        for program in ["trading", "trading-agent", "trading-shim", "trading-coordinator"] {
            #expect(machine.inside("cp", "/opt/trading/1/\(program)", "/opt/trading/2/\(program)").status == 0)
        }
        #expect(machine.inside("ln", "-sfn", "2", "/opt/trading/current").status == 0)
        agent = machine.agentPID
        #expect(machine.systemctl("restart", "trading-agent").status == 0)
        expectAnother(machine, than: agent, after: "an upgrade")
        #expect(machine.inside("readlink", "/proc/\(machine.agentPID)/exe").text.hasPrefix("/opt/trading/2/trading-agent"))
        expectUntouched(machine, pids, ticks, after: "an upgrade")
        // The new agent's orders reach the old shims.
        #expect(machine.trading("--local", "stop", "strategy", "--reason", "test").status == 0, "\(machine.logText)")
        #expect(machine.startTicks(pids["strategy"] ?? 0) == nil)
        #expect(machine.running().keys.sorted() == ["feed", "gateway"])
    }

    @Test("an agent that hangs is aborted by its watchdog; its successor adopts every worker")
    func abortedByItsWatchdog() throws {
        let machine = try SystemdMachine { unit, text in
            unit == "trading-agent.service" ? text.replacingOccurrences(of: "WatchdogSec=30s", with: "WatchdogSec=3s") : text
        }
        defer { machine.end() }
        let pids = try machine.bootWithWorkers()
        let ticks = ticks(machine, pids)
        let agent = machine.agentPID
        #expect(machine.inside("kill", "-STOP", "\(agent)").status == 0)
        expectAnother(machine, than: agent, after: "a hang")
        expectUntouched(machine, pids, ticks, after: "a hang")
        let journal = machine.inside("journalctl", "--no-pager", "-o", "cat", "-u", "trading-agent").text
        #expect(journal.contains("Watchdog timeout"), "\(journal)")
        #expect(journal.contains("status=6/ABRT"), "\(journal)")
    }

    @Test(
        "a worker that the kernel kills for want of memory is recorded as its own end; the others and the agent go on",
        .enabled(if: OutOfMemoryGroup.problem == nil, Comment(rawValue: OutOfMemoryGroup.problem ?? "")))
    func outOfMemory() throws {
        let machine = try SystemdMachine()
        defer { machine.end() }
        var pids = try machine.bootWithWorkers()
        let ticks = ticks(machine, pids)
        let agent = machine.agentPID
        let greedy = try #require(pids["strategy"])
        #expect(machine.inside("cat", "/proc/\(greedy)/oom_score_adj").text == "0\n")
        let group = try OutOfMemoryGroup(bytesMax: 16 << 20)
        defer { group.end() }
        try group.take(greedy, of: machine)
        #expect(machine.inside("kill", "-USR1", "\(greedy)").status == 0)
        #expect(eventually(within: 20) { machine.startTicks(greedy) == nil }, "the worker lives. \(machine.logText)")
        #expect(group.kills == 1, "the kernel's own count")
        pids["strategy"] = nil
        expectUntouched(machine, pids, ticks, after: "a worker's end for want of memory")
        #expect(machine.agentPID == agent)
        #expect(machine.property("trading-agent.service", "ActiveState") == "active")
        #expect(machine.property("trading-agent.service", "Result") == "success")
        let ended = try machine.audit().filter { $0["event"] as? String == "WORKER_EXIT" && ($0["worker"] as? String)?.hasPrefix("strategy") == true }
        #expect(ended.count == 1, "\(ended)")
    }
}
