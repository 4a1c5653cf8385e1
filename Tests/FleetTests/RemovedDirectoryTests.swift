import Foundation
import Glibc
import LinuxHost
import TestSupport
import Testing

/// The run directory is removed under a running worker, and then its agent is restarted (REVIEW C4).
struct RemovedDirectoryTests {
    /// With a grace that looking through all processes of a loaded machine does not use up.
    private func fleet(_ script: String = "exec sleep 1000", stop: String = ", stop: {grace: 10s, extend_to: 10s, then: kill}") throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/bin/bash, -c, \"\(script)\"], ready: {delay: 0s}\(stop)}"
        }
        return try fleet.started(allowing: "/bin", "/usr/bin")
    }

    private func parent(of pid: Int32) throws -> Int32 { try #require(try ProcessStat.read(pid: pid)).parent }

    /// The agent is killed, and the run directory removed while nobody looks.
    private func removeUnderTheAgent(_ fleet: TestFleet) throws {
        try fleet.killAgent("ex-1")
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/run/ex-1")
    }

    /// Returns the worker's process, which lives.
    private func removeAndRestart(_ fleet: TestFleet) throws -> Int32 {
        let pid = try fleet.pid("gateway")
        try removeUnderTheAgent(fleet)
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("gateway") == "RUNNING" }, "\(fleet.logs)")
        #expect(kill(pid, 0) == 0)
        #expect(try fleet.pid("gateway") == pid)
        return pid
    }

    @Test("a worker whose directory was removed is found by what the journal keeps, stopped by its pidfd, and never called proven")
    func found() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try removeAndRestart(fleet)
        #expect(flat(try fleet.trading("status").text).contains("gateway@ex-1: RUN DIRECTORY REMOVED"))
        // No second copy is started.
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0)
        #expect(try fleet.pid("gateway") == pid)
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 3 && flat(stop.text).contains("gateway@ex-1 ended with exit status unknown"), "\(stop.text)")
        #expect(kill(pid, 0) != 0, "\(stop.text)")
        // All over: the next start and stop are whole again.
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "--all", "--reason", "again").text.contains("verdict: proven"))
        try fleet.verifyAudits()
    }

    @Test("removed under a living agent, and then its shim is killed: no second copy is started, whatever the restart policy")
    func underALivingAgent() throws {
        let fleet = try fleet(stop: ", stop: {grace: 10s, extend_to: 10s, then: kill}, restart: {policy: always, delay: 100ms}")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let shim = try parent(of: pid)
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/run/ex-1/w")
        // Said while all live; and then its shim can't be asked any more.
        #expect(try eventually(within: 30) { flat(try fleet.trading("status").text).contains("RUN DIRECTORY REMOVED: its shim holds it") }, "\(fleet.logs)")
        kill(shim, SIGKILL)
        #expect(
            try eventually(within: 10) { flat(try fleet.trading("status").text).contains("gateway@ex-1: RUN DIRECTORY REMOVED: its shim can't be reached") },
            "\(fleet.logs)")
        #expect(try kill(pid, 0) == 0 && fleet.pid("gateway") == pid)
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 3 && flat(stop.text).contains("gateway@ex-1 ended with exit status unknown"), "\(stop.text)\n\(fleet.logs)")
        // Its shim is gone, so that whoever started the agent is its parent now, and may leave it a zombie.
        #expect(try ProcessStat.read(pid: pid)?.isZombie ?? true, "\(stop.text)")
        let starts = try fleet.audit("ex-1").count { ["WORKER_START", "WORKER_RESTART"].contains($0["event"] as? String ?? "") }
        #expect(starts == 1)
    }

    @Test("one that closed the slot, or whose directory was emptied of its files, is not called gone when its agent and shim are", arguments: [true, false])
    func withoutTheSlot(closed: Bool) throws {
        // The slot is inherited as 100 or the next free number.
        let close = "exec 100>&- 101>&- 102>&- 103>&-; "
        let fleet = try fleet(
            (closed ? close : "") + "exec sleep 1000", stop: ", stop: {grace: 10s, extend_to: 10s, then: kill}, restart: {policy: always, delay: 100ms}")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let shim = try parent(of: pid)
        try fleet.killAgent("ex-1")
        if closed { kill(shim, SIGKILL) } else { _ = try fleet.run("/usr/bin/find", ["\(fleet.directory)/run/ex-1", "-type", "f", "-delete"]) }
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("gateway") == "RUNNING" }, "\(fleet.logs)")
        // With its shim lost what is left of a launch is killed, and only then the next one begins; with the shim alive it is left alone.
        let alive = try ProcessStat.read(pid: pid).map { !$0.isZombie } ?? false
        #expect(alive == !closed, "\(fleet.logs)")
        let copies = try fleet.run("/usr/bin/pgrep", ["-f", "^sleep 1000$"]).text.split(separator: "\n").compactMap { Int32($0) }.filter {
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\($0)/cwd"))?.hasPrefix(fleet.work) == true
        }
        #expect(copies.count == 1, "\(copies)")
    }

    @Test(
        "a run directory that was unmounted under its workers is a removed one, also where the agent ended between the launch and its record",
        .enabled(if: Tmpfs.isPossible), arguments: [true, false])
    func unmounted(recorded: Bool) throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}, stop: {grace: 10s, extend_to: 10s}}"
        }
        defer { fleet.end() }
        let run = "\(fleet.directory)/run/ex-1"
        try FileManager.default.createDirectory(atPath: run, withIntermediateDirectories: true)
        #expect(try fleet.run("/bin/mount", ["-t", "tmpfs", "-o", "mode=0750", "trading-test", run]).status == 0)
        _ = try fleet.started(allowing: "/usr/bin")
        let pid = try fleet.pid("gateway")
        try fleet.killAgent("ex-1")
        if !recorded {
            // What the journal would be: the intent is its last record.
            let path = "\(fleet.directory)/state/ex-1/journal"
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: true)
            let intent = try #require(lines.lastIndex { $0.contains("WORKER_START") })
            #expect(lines[(intent + 1)...].contains { $0.contains("WORKER_LAUNCHED") })
            try (lines[...intent].joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(try fleet.run("/bin/umount", ["-l", run]).status == 0)
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("gateway") == "RUNNING" }, "\(fleet.logs)")
        #expect(try fleet.pid("gateway") == pid)
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 3 && kill(pid, 0) != 0, "\(stop.text)")
    }

    @Test("of a launch whose main process is gone too, what is left is found, counted by an emergency stop, and killed")
    func leftovers() throws {
        let fleet = try fleet("sleep 1000 & exec sleep 999")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let shim = try parent(of: pid)
        let child = try #require(Int32(try fleet.run("/usr/bin/pgrep", ["-P", "\(pid)"]).text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try removeUnderTheAgent(fleet)
        for process in [shim, pid] { kill(process, SIGKILL) }
        #expect(eventually(within: 5) { kill(pid, 0) != 0 })
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("gateway") == "RUNNING" }, "\(fleet.logs)")
        #expect(kill(child, 0) == 0)
        let stopped = try fleet.trading("emergency-stop", "--yes", "--reason", "out")
        #expect(stopped.text.contains("GONE 1 of 1"), "\(stopped.text)")
        #expect(eventually(within: 5) { kill(child, 0) != 0 })
    }

    @Test("what ignores the stop signal is killed at its grace, with its children")
    func killed() throws {
        let fleet = try fleet("trap '' TERM; sleep 1000 & while :; do sleep 0.1; done", stop: ", stop: {grace: 300ms, extend_to: 300ms, then: kill}")
        defer { fleet.end() }
        let pid = try removeAndRestart(fleet)
        let stop = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stop.status == 3 && stop.text.contains("Killed: gateway@ex-1"), "\(stop.text)")
        #expect(kill(pid, 0) != 0)
        let left = try fleet.run("/usr/bin/pgrep", ["-f", "^sleep 1000$"]).text
        #expect(!left.split(separator: "\n").contains { Int32($0).map { getpgid($0) == pid || getsid($0) == pid } ?? false }, "\(left)")
    }

    @Test("an emergency stop reaches it, the coordinator's and the host's own")
    func emergencyStop() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try removeAndRestart(fleet)
        let stopped = try fleet.trading("emergency-stop", "--yes", "--reason", "out")
        #expect(eventually(within: 5) { kill(pid, 0) != 0 }, "\(stopped.text)")
        #expect(try eventually(within: 10) { try fleet.state("gateway") == "STOPPED" }, "\(fleet.logs)")
    }

    @Test("with one that lives and one that ended meanwhile each is told what became of it")
    func oneOfEach() throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            ["one", "two", "three"].map { "  \($0): {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}" }.joined(separator: "\n")
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        let (one, two) = (try fleet.pid("one"), try fleet.pid("two"))
        try removeUnderTheAgent(fleet)
        kill(two, SIGKILL)
        #expect(eventually(within: 5) { kill(two, 0) != 0 })
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("two") == "FAILED" }, "\(fleet.logs)")
        #expect(try fleet.pid("one") == one)
        let ends = try fleet.audit("ex-1").filter { $0["event"] as? String == "WORKER_EXIT" }.compactMap { $0["worker"] as? String }
        #expect(ends == ["two@ex-1"])
    }

    @Test("one that ended while its agent was away is shown gone, not called never run")
    func endedMeanwhile() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        try removeUnderTheAgent(fleet)
        kill(pid, SIGKILL)
        #expect(eventually(within: 5) { kill(pid, 0) != 0 })
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        func records() throws -> [String] { try fleet.audit("ex-1").compactMap { $0["event"] as? String } }
        #expect(try eventually(within: 10) { try records().contains("WORKER_EXIT") }, "\(try? records())")
        #expect(try !records().contains("WORKER_LAUNCH_FAILED"))
    }
}
