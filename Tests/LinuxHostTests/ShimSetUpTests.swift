import FleetCore
import Glibc
import LinuxHost
import Testing

/// Every launch setting, read back from the kernel by the worker itself.
@Suite(.serialized) struct ShimSetUpTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    /// What a worker with these settings prints, and how its launch ended.
    private func output(_ script: String, _ change: (inout LaunchConfiguration) -> Void) throws -> (text: String, how: ShimExit.How?) {
        let log = "\(fixture.runDirectory)/log"
        let (directory, connection) = try fixture.spawn("feed", script) {
            $0.stdout = log
            $0.stderr = log
            change(&$0)
        }
        try connection.send(.go(id: "g"))
        try fixture.expectGone(connection)
        let text = try Files.readIfPresent(log, limit: 1 << 20).map { String(decoding: $0, as: UTF8.self) }
        return (text ?? "", try directory.exit?.how)
    }

    /// The fields of the first line that begins so.
    private func fields(_ text: String, _ start: String) -> [Substring] {
        text.split(separator: "\n").first { $0.hasPrefix(start) }?.dropFirst(start.count).split { $0 == " " || $0 == "\t" } ?? []
    }

    @Test("resource limits are the worker's, soft and hard, and the shim keeps its own")
    func limits() throws {
        let own = String(decoding: try Files.read("/proc/self/limits", limit: 1 << 16), as: UTF8.self)
        let (text, how) = try output("cat /proc/self/limits") {
            $0.execution.limits = [
                "nofile": 1_000, "memlock": 65_536, "core": 0, "rtprio": 0, "nproc": 5_000, "stack": 4_194_304, "as": 8_000_000_000,
                "fsize": 1 << 30, "data": ExecutionSpec.unlimited, "rttime": 1_000_000, "msgqueue": 4_096, "sigpending": 777, "nice": 0,
                "locks": 55, "cpu": 3_600, "rss": 1 << 40,
            ]
        }
        #expect(how == .exited(code: 0))
        for (name, value) in [
            ("Max open files", "1000"), ("Max locked memory", "65536"), ("Max core file size", "0"), ("Max realtime priority", "0"),
            ("Max processes", "5000"), ("Max stack size", "4194304"), ("Max address space", "8000000000"),
            ("Max file size", "1073741824"), ("Max data size", "unlimited"), ("Max realtime timeout", "1000000"),
            ("Max msgqueue size", "4096"), ("Max pending signals", "777"), ("Max nice priority", "0"), ("Max file locks", "55"),
            ("Max cpu time", "3600"), ("Max resident set", "1099511627776"),
        ] {
            #expect(fields(text, name).prefix(2) == [Substring(value), Substring(value)], "\(name)")
        }
        let (directory, _, _) = try fixture.launch("other", "exec sleep 1000") { $0.execution.limits = ["nofile": 200] }
        let shim = try #require(try directory.identity)
        let limits = String(decoding: try Files.read("/proc/\(shim.pid)/limits", limit: 1 << 16), as: UTF8.self)
        #expect(fields(limits, "Max open files") == fields(own, "Max open files"))
    }

    @Test("worker and shim have a session each, and the shim gives way on the CPU, not the worker")
    func givesWay() throws {
        let (directory, _, worker) = try fixture.launch("feed", "exec sleep 1000")
        let shim = try #require(try directory.identity)
        #expect(getsid(worker.pid) == worker.pid && getsid(shim.pid) != worker.pid && getsid(shim.pid) != getsid(0))
        func nice(_ pid: Int32) -> Int32 { getpriority(.init(PRIO_PROCESS.rawValue), id_t(pid)) }
        #expect(nice(worker.pid) == nice(0) && nice(shim.pid) == min(19, nice(0) + 15))
    }

    @Test(
        "scheduling policy, priority and nice are what was asked for",
        arguments: [
            (ExecutionSpec.Scheduler.other, 5, "SCHED_OTHER", "0", "5"), (.batch, 3, "SCHED_BATCH", "0", "3"), (.idle, 0, "SCHED_IDLE", "0", "0"),
            (.fifo(7), 0, "SCHED_FIFO", "7", "0"), (.roundRobin(3), 0, "SCHED_RR", "3", "0"),
        ])
    func scheduling(_ scheduler: ExecutionSpec.Scheduler, _ nice: Int, _ policy: String, _ priority: String, _ niceness: String) throws {
        let (text, how) = try output("chrt -p $$; nice") {
            $0.execution.scheduler = scheduler
            $0.execution.nice = nice
        }
        if case .failed(let errno, let step) = how, !ShimFixture.isRoot {
            #expect(errno == EPERM && step == "scheduler")
            return
        }
        #expect(how == .exited(code: 0), "\(text)")
        #expect(text.contains("scheduling policy: \(policy)\n"))
        #expect(text.contains("scheduling priority: \(priority)\n"))
        #expect(text.hasSuffix("\n\(niceness)\n"))
    }

    @Test("CPUs, OOM score, umask and working directory are what was asked for")
    func placement() throws {
        let (text, how) = try output("grep Cpus_allowed_list /proc/self/status; cat /proc/self/oom_score_adj; umask; pwd") {
            $0.cpus = CPUList([1])
            $0.umask = 0o022
            $0.execution.umask = 0o077
            $0.execution.oomScoreAdjustment = 321
            $0.workdir = "/usr"
        }
        #expect(how == .exited(code: 0))
        #expect(text == "Cpus_allowed_list:\t1\n321\n0077\n/usr\n")
    }

    @Test(
        "the NUMA memory policy is the worker's",
        arguments: [
            (ExecutionSpec.MemoryPolicy.bind([0]), "bind:0"), (.preferred(0), "prefer:0"), (.interleave([0]), "interleave:0"), (.local, "local"),
        ])
    func memoryPolicy(_ policy: ExecutionSpec.MemoryPolicy, _ word: String) throws {
        // The heap's own line is that of the process's policy.
        let (text, how) = try output("grep heap /proc/self/numa_maps") { $0.execution.memory = policy }
        #expect(how == .exited(code: 0), "\(text)")
        #expect(text.contains(" \(word) "), "\(text)")
    }

    @Test("an ordinary user gets its ids, its groups and its ambient capabilities, and nothing else", .enabled(if: geteuid() == 0))
    func user() throws {
        let nobody = try #require(try Account.named("nobody"))
        let (text, how) = try output("id -u; id -G; grep Cap /proc/self/status; cat /proc/self/environ | tr '\\0' '\\n' | grep -c ROOT") {
            $0.user = nobody.user
            $0.group = nobody.group
            $0.groups = [4, 5]
            $0.execution.capabilities = ["net_raw", "sys_nice", "ipc_lock", "bpf"]
            $0.workdir = "/"
        }
        _ = how
        #expect(text.hasPrefix("\(nobody.user)\n\(nobody.group) 4 5\n"), "\(text)")
        let wanted = (UInt64(1) << 13) | (1 << 23) | (1 << 14) | (1 << 39)
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            #expect(fields(text, "\(set):").first.flatMap { UInt64($0, radix: 16) } == wanted, "\(set) in \(text)")
        }
        let (plain, _) = try output("grep Cap /proc/self/status") {
            $0.user = nobody.user
            $0.group = nobody.group
        }
        #expect(
            fields(plain.split(separator: "grep").last.map(String.init) ?? "", "CapEff:").allSatisfy { UInt64($0, radix: 16) == 0 }
                || plain.contains("CapEff:\t0000000000000000"))
    }

    @Test("what can't be done fails the launch with its step and errno, and nothing runs")
    func refusals() throws {
        func failure(_ change: (inout LaunchConfiguration) -> Void) throws -> ShimExit.How? { try output("touch $OUT/ran", change).how }
        #expect(try failure { $0.cpus = CPUList([1_000]) } == .failed(errno: EINVAL, step: "cpus"))
        #expect(try failure { $0.execution.memory = .bind([900]) } == .failed(errno: EINVAL, step: "memory"))
        #expect(try failure { $0.execution.limits = ["nofile": 1 << 40] } == .failed(errno: EPERM, step: "limit-nofile"))
        #expect(try failure { $0.cgroup = "/proc/none/such" } == .failed(errno: ENOENT, step: "cgroup"))
        #expect(try failure { $0.cgroup = "\(fixture.runDirectory)/no-cgroup" } == .failed(errno: EOPNOTSUPP, step: "cgroup"))
        #expect(!Files.exists("\(fixture.runDirectory)/no-cgroup"))
        if ShimFixture.isRoot {
            // After the user is given up, its directory must be one that it may enter.
            try Files.makeDirectory("\(fixture.runDirectory)/closed", mode: 0o700)
            #expect(
                try failure {
                    $0.user = 65_534
                    $0.group = 65_534
                    $0.workdir = "\(fixture.runDirectory)/closed"
                } == .failed(errno: EACCES, step: "cwd"))
        }
        #expect(!Files.exists("\(fixture.runDirectory)/ran"))
    }

    @Test("settings that make no sense are refused in words before anything is forked")
    func nonsense() throws {
        for (word, change) in [
            ("capability", { $0.execution.capabilities = ["fly"] }), ("limit", { $0.execution.limits = ["wings": 2] }),
            ("scheduler", { $0.execution.scheduler = .fifo(100) }), ("nice", { $0.execution.nice = 20 }), ("oom", { $0.execution.oomScoreAdjustment = 1_001 }),
        ] as [(String, (inout LaunchConfiguration) -> Void)] {
            do {
                _ = try fixture.spawn("feed", "exit 0", change: change)
                Issue.record("accepted: \(word)")
            } catch let error as ShimLauncher.Failure {
                #expect(error.description.contains(word))
            }
        }
    }

    @Test("what it used is in the exit record, of the main process and of its whole tree")
    func usage() throws {
        let (directory, connection) = try fixture.spawn(
            "feed", "(perl -e '$x .= \"a\" x 30000000; for (1..3000000) {}' &) ; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.3 &\nwait")
        try connection.send(.go(id: "g"))
        try fixture.expectGone(connection)
        let exit = try #require(try directory.exit)
        let main = try #require(exit.usage)
        let tree = try #require(exit.treeUsage)
        #expect(main.userTime + main.systemTime > .zero)
        #expect(main.residentMaxKiB > 100 && main.minorFaults > 0 && main.voluntarySwitches > 0)
        // The daemon was orphaned to the shim and reaped by it.
        #expect(tree.residentMaxKiB > 30_000 && tree.residentMaxKiB >= main.residentMaxKiB)
        #expect(tree.userTime >= main.userTime && tree.minorFaults > main.minorFaults)
    }
}
