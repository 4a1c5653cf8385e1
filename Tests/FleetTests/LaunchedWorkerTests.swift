import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// What a launched worker really runs with, as the kernel has it, and what a host does not let it have.
@Suite(.serialized) struct LaunchedWorkerTests {
    private func file(_ pid: Int32, _ name: String) throws -> String { try String(contentsOfFile: "/proc/\(pid)/\(name)", encoding: .utf8) }

    /// `Uid:` and the like of proc_pid_status(5), its words in one space each.
    private func status(_ pid: Int32) throws -> [String: String] {
        var found: [String: String] = [:]
        for line in try file(pid, "status").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            found[String(parts[0])] = parts.count > 1 ? parts[1].split { $0 == "\t" || $0 == " " }.joined(separator: " ") : ""
        }
        return found
    }

    /// Fields of proc_pid_stat(5) by their number there.
    private func stat(_ pid: Int32, _ number: Int) throws -> Int? {
        let text = try file(pid, "stat")
        let rest = try #require(text.lastIndex(of: ")").map { text[text.index($0, offsetBy: 2)...] })
        return Int(rest.split(separator: " ")[number - 3])
    }

    private func limits(_ pid: Int32) throws -> [String] {
        try file(pid, "limits").split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
    }

    @Test(
        "a worker runs as the user, in the group, with the capabilities, limits, CPUs, scheduling, memory policy and umask that are declared",
        .enabled(if: getuid() == 0, "another user needs root"))
    func asDeclared() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.flags = [
            "--allow-user", "nobody", "--allow-group", "daemon", "--allow-capability", "net_raw", "--allow-capability", "ipc_lock", "--allow-realtime", "30",
        ]
        host.add("fifo", "plain") { spec in
            spec.user = "nobody"
            spec.group = "daemon"
            // The agent's own choice: the worker's state directory.
            spec.workdir = ""
            spec.env = [:]
            spec.umask = "0027"
            spec.capabilities = ["net_raw", "ipc_lock"]
            spec.limits = ["nofile": 4_096, "memlock": 4 << 20, "core": 0, "nproc": 500]
            spec.cpus = "1"
            spec.scheduler.policy = "fifo"
            spec.scheduler.priority = 10
            spec.memory.mode = "bind"
            spec.memory.nodes = "0"
            spec.oomScoreAdj = 100
        }
        host.add("batch", "plain") { spec in
            spec.cpus = "0-1"
            spec.scheduler.policy = "batch"
            spec.nice = -7
            spec.memory.mode = "interleave"
            spec.memory.nodes = "0"
        }
        try host.startAgent()
        let start = try host.local("start", "--all", "--reason", "test")
        #expect(start.status == 0, "\(start.text)\n\(host.agent?.log ?? "")")

        let pid = try host.pid("fifo")
        let status = try status(pid)
        #expect(status["Uid"] == "65534 65534 65534 65534" && status["Gid"] == "1 1 1 1", "\(status)")
        #expect(status["Groups"]?.split(separator: " ").contains("0") == false, "root's groups are kept: \(status["Groups"] ?? "")")
        // CAP_NET_RAW is 13, CAP_IPC_LOCK 14.
        let mask = "0000000000006000"
        for set in ["CapAmb", "CapInh", "CapPrm", "CapEff"] { #expect(status[set] == mask, "\(set) \(status[set] ?? "")") }
        #expect(status["Cpus_allowed_list"] == "1" && status["Umask"] == "0027", "\(status)")
        #expect(status["SigIgn"] == "0000000000000000" && status["SigBlk"] == "0000000000000000", "\(status)")
        let limits = try limits(pid)
        for line in [
            "Max open files 4096 4096 files", "Max locked memory 4194304 4194304 bytes", "Max core file size 0 0 bytes",
            "Max processes 500 500 processes",
        ] { #expect(limits.contains(line), "\(line)\n\(limits.joined(separator: "\n"))") }
        #expect(try stat(pid, 41) == Int(SCHED_FIFO) && stat(pid, 40) == 10)
        #expect(try file(pid, "numa_maps").contains(" bind:0 ") && file(pid, "oom_score_adj") == "100\n")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd") == host.state + "/workers/fifo")

        let batch = try host.pid("batch")
        #expect(try stat(batch, 41) == 3 && stat(batch, 19) == -7, "SCHED_BATCH at nice -7")
        #expect(try file(batch, "numa_maps").contains(" interleave:0 ") && self.status(batch)["Cpus_allowed_list"] == "0-1")
        // What was declared for the worker is the worker's alone.
        let shim = try #require(Int32(try self.status(pid)["PPid"] ?? ""))
        #expect(try self.status(shim)["Uid"] == "0 0 0 0" && stat(shim, 41) == 0)

        // Root's signal reaches the other user's process.
        let stop = try host.local("stop", "--all", "--reason", "test")
        #expect(stop.status == 0 && stop.text.contains("fifo stopped, exit 0"), "\(stop.text)")
        try host.verify()
    }

    @Test("what the kernel refuses ends the launch with the step and the reason, and nothing runs")
    func refusedByKernel() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "plain") { $0.cpus = "1023" }
        try host.startAgent()
        let start = try host.local("start", "worker", "--reason", "test")
        #expect(start.status == 1 && flat(start.text).contains("torture-worker: cpus: Invalid argument"), "\(start.text)")
        #expect(try host.state("worker") == "FAILED" && host.said("worker").isEmpty)
        try host.verify()
    }

    @Test("what the host's settings do not allow is refused in one sentence that says what to write where, and nothing is launched")
    func refused() throws {
        try #require(geteuid() == 0, "another user needs root")
        let host = try TortureHost()
        defer { host.end() }
        let settings = host.directory + "/agent.conf"
        try "allow-user = daemon\nallow-realtime = 5\n".write(toFile: settings, atomically: true, encoding: .utf8)
        host.flags = ["--settings", settings]
        host.add("user", "plain") { $0.user = "nobody" }
        host.add("absent", "plain") { $0.user = "nobody-of-that-name" }
        host.add("group", "plain") { spec in
            spec.user = "daemon"
            spec.group = "nogroup"
        }
        host.add("capability", "plain") { $0.capabilities = ["sys_admin"] }
        host.add("realtime", "plain") { spec in
            spec.scheduler.policy = "rr"
            spec.scheduler.priority = 50
        }
        try host.startAgent()
        for (service, words) in [
            ("user", "this host doesn't let workers run as nobody. Add `allow-user = nobody` to \(settings), or correct the inventory"),
            ("absent", "there is no user \"nobody-of-that-name\" on this host. Create it, or correct the inventory"),
            ("group", "this host doesn't let workers run in it. Add `allow-group = nogroup` to \(settings), or correct the inventory"),
            ("capability", "this host doesn't let workers have the capability sys_admin. Add `allow-capability = sys_admin` to \(settings)"),
            ("realtime", "asks for the real-time priority 50, this host lets workers have real-time priorities up to 5 only. Add `allow-realtime = 50`"),
        ] {
            let start = try host.local("start", service, "--reason", "test")
            // As one line: the screen wraps.
            #expect(start.status == 1 && flat(start.text).contains("cannot start \(service)@md-1: ") && flat(start.text).contains(words), "\(start.text)")
            #expect(try host.state(service) == "FAILED" && host.said(service).isEmpty)
            let launched = (try? FileManager.default.contentsOfDirectory(atPath: host.run + "/w/\(service)")) ?? []
            #expect(!launched.contains { $0 != "slot" && $0 != "spec" }, "\(launched)")
            #expect(try host.records("WORKER_LAUNCH_FAILED", of: service).count == 1)
        }
        try host.verify()
    }
}

/// A screen's text without its line breaks and indents.
func flat(_ text: String) -> String { text.split { $0 == " " || $0 == "\n" }.joined(separator: " ") }
