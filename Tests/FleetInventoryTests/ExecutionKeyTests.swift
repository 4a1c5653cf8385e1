import FleetCore
import FleetInventory
import Testing

@Suite("How a worker is set up")
struct ExecutionKeyTests {
    private func feed(_ lines: String) throws -> ServiceSpec {
        try #require(try Fleet(feed: "    " + lines).load().service("feed"))
    }

    @Test("every key of it is read, in the host's own units")
    func all() throws {
        let execution = try feed(
            """
            scheduler: {rr: 20}
                nice: -5
                oom_score_adj: -900
                umask: "0027"
                limits: {memlock: unlimited, nofile: 65536, core: 512MiB, rtprio: 60, cpu: 2min, rttime: 950ms, stack: 0, nproc: unlimited}
                capabilities: [net_raw, sys_nice]
                memory: {bind: 0-1}
                cgroup: none
                run_sha256: 9f2c4e0d5a7b81c3d9e6f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d461
                writable: [$state, /spool/$service]
                free: {$state: 10GiB, /spool: 512KiB}
            """
        ).substituted(for: "md-1").execution
        var wanted = ExecutionSpec()
        wanted.scheduler = .roundRobin(20)
        wanted.nice = -5
        wanted.oomScoreAdjustment = -900
        wanted.umask = 0o27
        wanted.limits = [
            "memlock": .max, "nofile": 65_536, "core": 512 << 20, "rtprio": 60, "cpu": 120, "rttime": 950_000, "stack": 0, "nproc": .max,
        ]
        wanted.capabilities = ["net_raw", "sys_nice"]
        wanted.memory = .bind([0, 1])
        wanted.cgroup = .none
        wanted.digest = "9f2c4e0d5a7b81c3d9e6f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d461"
        wanted.writable = ["$state", "/spool/feed"]
        wanted.freeSpace = ["$state": 10 << 30, "/spool": 512 << 10]
        #expect(execution == wanted)
    }

    @Test("nothing declared is nothing set, but for a cgroup of its own")
    func bare() throws {
        let service = try feed("")
        #expect(service.execution == ExecutionSpec() && service.execution.cgroup == .killOnly)
        #expect(service.release == ReleaseSpec() && service.release.coreDump == .wait && service.release.sockets == .kernel)
        #expect(service.health.isEmpty && service.watchdog == nil && service.standardOutput == LogRetentionSpec())
        #expect(service.restart.delayMax == .seconds(60) && service.restart.stableAfter == .seconds(60))
    }

    @Test(
        "a scheduler is a word, or a policy with its priority",
        arguments: zip(
            ["other", "batch", "idle", "{fifo: 1}", "{rr: 99}"] as [String],
            [.other, .batch, .idle, .fifo(1), .roundRobin(99)] as [ExecutionSpec.Scheduler]))
    func scheduler(text: String, scheduler: ExecutionSpec.Scheduler) throws {
        #expect(try feed("scheduler: \(text)").execution.scheduler == scheduler)
    }

    @Test(
        "and memory is one policy",
        arguments: zip(
            ["local", "{preferred: 1}", "{interleave: \"0,2\"}", "{bind: 3}"] as [String],
            [.local, .preferred(1), .interleave([0, 2]), .bind([3])] as [ExecutionSpec.MemoryPolicy]))
    func memory(text: String, memory: ExecutionSpec.MemoryPolicy) throws {
        #expect(try feed("memory: \(text)").execution.memory == memory)
    }

    @Test(
        "what can't be meant is refused where it stands",
        arguments: [
            ("scheduler: fifo", "fifo", "scheduler is fifo without a priority", "write {fifo: 50}"),
            ("scheduler: {fifo: 100}", "100", "scheduler.fifo is 100", "from 1 to 99"),
            ("scheduler: {fifo: 1, rr: 2}", "2}", "scheduler says two ways", "either fifo or rr"),
            ("scheduler: {fiof: 1}", "fiof", "unknown key fiof in scheduler", "write fifo"),
            ("scheduler: othre", "othre", "scheduler is othre", "write other"),
            ("nice: 20", "20", "nice is 20", "from -20 to 19"),
            ("nice: --5", "--5", "nice is --5", "from -20 to 19"),
            ("oom_score_adj: -1001", "-1001", "oom_score_adj is -1001", "from -1000 to 1000"),
            ("umask: 27", "27", "umask is 27, which is no file mode", "\"0027\""),
            ("umask: \"0888\"", "\"0888\"", "no file mode", "octal"),
            ("umask: \"1777\"", "\"1777\"", "no file mode", "octal"),
            ("limits: {core: 512}", "512", "limits.core is 512 without a unit", "write 512MiB"),
            ("limits: {core: 512MB}", "512MB", "limits.core is 512MB, which is no size", "write 512MiB"),
            ("limits: {core: 99999999TiB}", "99999999TiB", "is no size", "TiB"),
            ("limits: {nofile: 64KiB}", "64KiB", "limits.nofile is 64KiB", "or unlimited"),
            ("limits: {nofiles: 64}", "nofiles", "unknown key nofiles in limits", "write nofile"),
            ("limits: {rtprio: 100}", "100", "limits.rtprio is 100", "from 0 to 99"),
            ("limits: {rttime: 5}", "5}", "limits.rttime is 5 without a unit", "write 5s"),
            ("capabilities: [CAP_NET_RAW]", "CAP_NET_RAW", "is no capability", "write net_raw"),
            ("capabilities: [net_row]", "net_row", "is no capability", "write net_raw"),
            ("capabilities: [everything]", "everything", "is no capability", "capabilities(7)"),
            ("capabilities: [kill, kill]", "kill]", "kill stands twice", "once"),
            ("memory: remote", "remote", "memory is remote", "write local"),
            ("memory: {bind: a}", "a}", "memory.bind is a, which is no list of NUMA nodes", "write 0-1"),
            ("memory: {bind: 0, preferred: 1}", "preferred", "memory says 2 ways", "one of"),
            ("cgroup: kill", "kill", "cgroup is kill", "none or kill-only"),
            ("cgroup: {memory_mx: 1}", "memory_mx", "unknown key memory_mx in cgroup", "remove it"),
            ("run_sha256: 9F2C", "9F2C", "run_sha256 is no SHA-256", "64 lower-case hex digits"),
            ("writable: [spool]", "spool]", "writable is spool, a relative path", "$state/spool"),
            ("free: {/spool: 0B}", "0B", "free./spool is 0B, too little", "at least 1B"),
            ("free: {spool: 1GiB}", "spool: 1", "free is spool, a relative path", "/spool"),
            ("logs: {stdout: {keep: 14}}", "14}", "logs.stdout.keep is 14 without a unit", "write 14s"),
            ("logs: {stdout: {max: 1KiB}}", "1KiB", "logs.stdout.max is 1KiB, too little", "at least 64KiB"),
            ("logs: {stdour: {}}", "stdour", "unknown key stdour in logs", "write stdout"),
            ("restart: {delay: 2min, delay_max: 1min}", "1min", "restart.delay_max is shorter than the delay (line 17) of 2min", "write 2min or more"),
        ])
    func refused(line: String, place: String, what: String, instead: String) {
        let text = Fleet(feed: "    " + line).text
        // The place is looked for behind the key, which may hold the same letters.
        let marked = text.replacing(line, with: line.replacing(place, with: "\u{1}" + place))
        let found = faults(of: text)
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.what.contains(what) == true && found.first?.instead.contains(instead) == true, "\(found)")
        let at = line.hasPrefix(place) ? position(of: line, in: text) : position(of: "\u{1}" + place, in: marked)
        #expect(found.first?.position == at, "\(found)")
    }

    @Test("a service has them from defaults, its tier, what it is like and its host, in that order")
    func layers() throws {
        let inventory = try Fleet(
            more: """
                defaults:
                  scheduler: {fifo: 10}
                  limits: {nofile: 1, memlock: unlimited, core: 1MiB}
                  logs: {stdout: {keep: 1d, max: 1GiB}}
                  restart: {delay: 1s, delay_max: 8s}
                  tier: {market-data: {limits: {nofile: 100}, health: {notify_watchdog: 5s, every: 1s}}}
                """.replacing("limits: {nofile: 1,", with: "limits: {nofile: 64,"),
            feed: "    scheduler: {rr: 5}\n    memory: {bind: 0}\n    limits: {core: 0}\n    cpus: {exclusive: 4-5, helpers: shared}\n"
                + "    threads: {rx: 4, \"*\": helpers}\n    logs: {stdout: {max: 2GiB}}",
            services: "  feed-2: {like: feed, cpus: {exclusive: 6-7}, threads: {rx: 6}, memory: {preferred: 1}, health: {}, scheduler: other, "
                + "on: {md-1: {nice: 3, limits: {nofile: 200}, threads: {tx: 7}}}}"
        ).load()
        let feed = try #require(inventory.service("feed"))
        #expect(feed.execution.scheduler == .roundRobin(5))
        #expect(feed.execution.limits == ["nofile": 100, "memlock": .max, "core": 0])
        #expect(feed.watchdog == .seconds(5) && feed.health.isEmpty)
        #expect(feed.standardOutput == LogRetentionSpec(keep: .seconds(86_400), maxBytes: 2 << 30))
        #expect(feed.restart.delayMax == .seconds(8))
        let second = try #require(inventory.service("feed-2"))
        #expect(second.execution.scheduler == .other && second.execution.memory == .preferred(1) && second.watchdog == nil)
        #expect(second.cpus.threads == ["rx": .cpus(CPUList([6]))] && second.execution.nice == nil)
        let placed = second.substituted(for: "md-1")
        #expect(placed.execution.nice == 3 && placed.execution.limits == ["nofile": 200, "memlock": .max, "core": 0])
        #expect(placed.cpus.threads == ["tx": .cpus(CPUList([7]))])
        #expect(inventory.service("recorder")?.execution.scheduler == .fifo(10))
    }

    @Test("a ceiling that nobody wrote is never below the delay")
    func delayMax() throws {
        #expect(try feed("restart: {delay: 5min}").restart.delayMax == .seconds(300))
        #expect(try feed("restart: {delay: 5min, stable_after: 1h}").restart.stableAfter == .seconds(3_600))
    }
}
