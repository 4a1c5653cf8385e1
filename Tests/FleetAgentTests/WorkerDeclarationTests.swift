import FleetCoordinator
import FleetCore
import FleetWire
import SwiftProtobuf
import Testing

@testable import FleetAgent

struct WorkerDeclarationTests {
    private static let paths = AgentPaths(state: "/s", run: "/r")

    private func declaration(_ change: (inout WireWorkerSpec) -> Void) -> WorkerDeclaration {
        var spec = WireWorkerSpec()
        spec.service = "feed"
        spec.tier = "market-data"
        spec.run = ["feed"]
        change(&spec)
        return WorkerDeclaration(spec, paths: Self.paths)
    }

    @Test(
        "$state is the worker's own directory, and nothing that only begins like it",
        arguments: [
            ("$state", "/S"), ("$state/x", "/S/x"), ("a$state", "a/S"), ("$state$state", "/S/S"), ("$statements", "$statements"), ("$state_x", "$state_x"),
            ("$state2", "$state2"), ("$state-2", "/S-2"), ("$", "$"), ("$$state", "$/S"), ("100$", "100$"), ("$HOME", "$HOME"), ("", ""), ("$staté", "$staté"),
        ])
    func expansion(text: String, expanded: String) {
        #expect(WorkerDeclaration.expand(text, state: "/S") == expanded)
    }

    @Test("it is replaced wherever a path may stand")
    func places() {
        let spec = declaration { spec in
            spec.run = ["feed", "--db", "$state/db"]
            spec.env = ["DB": "$state/db"]
            spec.secrets = ["KEY": "$state/key"]
            spec.stateFiles = ["$state/db"]
            spec.logFiles = ["$state/log"]
            spec.workdir = "$state/w"
        }.spec
        let state = "/s/workers/feed"
        #expect(spec.run == ["feed", "--db", state + "/db"] && spec.env == ["DB": state + "/db"] && spec.secrets == ["KEY": state + "/key"])
        #expect(spec.stateFiles == [state + "/db"] && spec.logFiles == [state + "/log"] && spec.workdir == state + "/w")
        #expect(declaration { _ in }.spec.workdir == state)
    }

    @Test("the policy is what the part says; without a word a stop is TERM, and readiness needs none")
    func policy() {
        let bare = declaration { $0.stop.graceNs = 5_000_000_000 }.policy
        #expect(bare.stop == StopSpec(signal: "TERM", grace: .seconds(5), extendTo: .zero, then: .kill))
        #expect(bare.ready == .delay(.zero) && bare.quiesce == nil && bare.resume == nil && bare.restart.policy == .never)
        let full = declaration { spec in
            spec.ready.notify = true
            spec.ready.withinNs = 30_000_000_000
            spec.stop.signal = "INT"
            spec.stop.hold = true
            spec.quiesce.signal = "USR1"
            spec.quiesce.done.notify = "X_QUIESCED=1"
            spec.quiesce.withinNs = 1_000_000_000
            spec.resume.http.method = "POST"
            spec.resume.http.url = "http://127.0.0.1:1/resume"
            spec.resume.done.http.url = "http://127.0.0.1:1/state"
            spec.resume.done.http.is = "false"
            spec.restart.policy = .onFailure
            spec.restart.limitStarts = 3
        }.policy
        #expect(full.ready == .notify(within: .seconds(30)) && full.stop.signal == "INT" && full.stop.then == .hold)
        #expect(full.quiesce == ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(1)))
        #expect(full.resume?.how == .http(method: "POST", url: "http://127.0.0.1:1/resume"))
        if case .http(let probe)? = full.resume?.done { #expect(probe.equals == "false") } else { Issue.record("no condition") }
        #expect(full.restart.policy == .onFailure && full.restart.limitStarts == 3)
    }

    @Test("an action without a way, a counter without a source and absurd durations do no harm")
    func malformed() {
        let declaration = declaration { spec in
            spec.quiesce.withinNs = .max
            spec.counters = [WireCounter()]
            spec.stop.graceNs = .max
        }
        #expect(declaration.policy.quiesce == nil && declaration.counters.isEmpty)
        #expect(declaration.policy.stop.grace == .nanoseconds(Int64.max))
    }

    // MARK: From the inventory to the agent

    /// A service that says everything; `state` stands where the worker's own directory belongs.
    private static func everything(state: String, host: String = "$host") -> ServiceSpec {
        var service = ServiceSpec(
            name: "feed", tier: "market-data", run: ["/opt/feed", "\(state)/db", host], wrapper: ["/usr/bin/onload", "--profile=latency"],
            hosts: ["md-1"], cpus: CPUPlacement(exclusive: CPUList("4-5"), helpers: true), env: ["A": state], secrets: ["KEY": "\(state)/key"],
            workdir: "\(state)/w", user: "trd", group: "trd", ready: .notify(within: .seconds(60)),
            stop: StopSpec(signal: "INT", grace: .seconds(7), extendTo: .seconds(9), then: .hold),
            quiesce: ActionSpec(how: .exec(["/bin/ctl", "\(state)/sock", host]), done: .notify("X_QUIESCED=1"), within: .seconds(3)),
            resume: ActionSpec(how: .exec(["/bin/ctl", "\(state)/go"]), done: nil, within: .seconds(4)), stateFiles: ["\(state)/db"],
            aliases: ["f"], logFiles: ["\(state)/own.log"], startAfterBoot: true, holdNote: "look")
        service.holdPage = "desk"
        service.cpus.node = 1
        service.cpus.threads = ["rx": .cpus(CPUList([4])), "*": .helpers]
        service.restart = RestartSpec(policy: .always, delay: .seconds(1), limitStarts: 5, limitWithin: .seconds(30))
        service.restart.delayMax = .seconds(20)
        service.restart.stableAfter = .seconds(90)
        service.execution.scheduler = .fifo(50)
        service.execution.nice = -5
        service.execution.oomScoreAdjustment = -900
        service.execution.umask = 0o27
        service.execution.limits = ["nofile": 65_536, "memlock": ExecutionSpec.unlimited, "core": 0]
        service.execution.capabilities = ["net_raw", "ipc_lock"]
        service.execution.memory = .interleave([0, 1])
        service.execution.cgroup = .none
        service.execution.digest = String(repeating: "ab", count: 32)
        service.execution.writable = [state, "/spool/\(host)"]
        service.execution.freeSpace = [state: 1 << 30, "/spool": 5]
        service.release.sockets = .onload
        service.release.lockFiles = ["\(state)/lock"]
        service.release.pidFile = "\(state)/pid"
        service.release.markerFile = "\(state)/clean"
        service.release.hugepages = [HugepageCount(node: 0, pageBytes: 1 << 30, count: 4), HugepageCount(node: 1, pageBytes: 2 << 20, count: 8)]
        service.release.hugepageMount = "/dev/hugepages-1G"
        service.release.hugepageKeeps = ["rtemap_*"]
        service.release.coreDump = .killDump
        service.watchdog = .milliseconds(500)
        var check = HealthSpec(how: .exec(["/bin/check", state]))
        check.every = .seconds(2)
        check.timeout = .milliseconds(700)
        check.failures = 5
        check.successes = 2
        service.health = [
            check, HealthSpec(how: .tcp("127.0.0.1:81")),
            HealthSpec(how: .http(HTTPProbeSpec(url: "http://127.0.0.1:80/\(host)", pointer: "/mode", equals: "\"ok\""))),
        ]
        service.standardOutput = LogRetentionSpec(keep: .seconds(86_400), maxBytes: 2 << 30)
        service.standardError = LogRetentionSpec(keep: .seconds(60))
        return service
    }

    private static func host() -> HostSpec {
        var host = HostSpec(name: "md-1", housekeeping: CPUList("0-1"), shared: CPUList("2-3"))
        host.hugepages = [HugepageCount(node: 0, pageBytes: 1 << 30, count: 8)]
        host.diskFreeMin = ["/var": 1 << 40]
        host.expect.cmdline = ["isolcpus=4-5"]
        host.expect.sysctl = ["kernel.numa_balancing": "0", "kernel.sched_rt_runtime_us": "-1"]
        host.expect.governor = "performance"
        host.expect.irqbalanceEnabled = false
        host.expect.smtEnabled = true
        host.expect.transparentHugepages = "never"
        host.expect.time = ExpectationSpec.Time(source: "ptp", offsetMax: .microseconds(1), via: "chronyc:/run/c.sock", hardwareClock: "ens1f0")
        host.expect.interfaces = ["ens1f0": ExpectationSpec.Interface(driver: "sfc", irqCPUs: CPUList("0-1")), "lo": ExpectationSpec.Interface()]
        host.expect.onloadVersion = "9.0"
        return host
    }

    private static func inventory(_ service: ServiceSpec) -> Inventory {
        Inventory(fleet: "test", tiers: [TierSpec(name: "market-data")], hosts: [host()], services: [service])
    }

    @Test("a service with everything set reaches the agent's machines as it was declared")
    func roundTrip() throws {
        let part = try HostPartBuilder(inventory: Self.inventory(Self.everything(state: "$state"))).part(for: Self.host())
        // Through the bytes, as on the wire.
        let received = try WireHostPart(serializedBytes: part.serializedBytes() as [UInt8])
        let declaration = WorkerDeclaration(try #require(received.workers.first), paths: Self.paths)
        let wanted = Self.everything(state: "/s/workers/feed", host: "md-1")
        #expect(declaration.execution == wanted.execution)
        #expect(declaration.release == wanted.release && declaration.policy.release == wanted.release)
        #expect(declaration.health == wanted.health && declaration.watchdog == wanted.watchdog)
        #expect(declaration.placement == wanted.cpus)
        #expect(declaration.standardOutput == wanted.standardOutput && declaration.standardError == wanted.standardError)
        #expect(declaration.wrapper == wanted.wrapper && declaration.program == wanted.run)
        #expect(declaration.policy.restart == wanted.restart && declaration.policy.stop == wanted.stop && declaration.policy.ready == wanted.ready)
        #expect(declaration.policy.quiesce == wanted.quiesce && declaration.policy.resume == wanted.resume)
        #expect(declaration.spec.holdPage == "desk" && declaration.spec.cpus == "2-5")
        #expect(HostDeclaration(received).spec == Self.host())
    }

    @Test("a service that says nothing gets what FleetCore's defaults are")
    func bareRoundTrip() throws {
        let service = ServiceSpec(name: "feed", tier: "market-data", run: ["feed"], hosts: ["md-1"])
        let part = try HostPartBuilder(inventory: Self.inventory(service)).part(for: HostSpec(name: "md-1"))
        let declaration = WorkerDeclaration(try #require(part.workers.first), paths: Self.paths)
        #expect(declaration.execution == service.execution && declaration.release == service.release && declaration.placement == service.cpus)
        #expect(declaration.health.isEmpty && declaration.watchdog == nil && declaration.standardOutput == LogRetentionSpec())
        #expect(declaration.policy.restart == service.restart && declaration.wrapper.isEmpty && declaration.program == ["feed"])
        #expect(HostDeclaration(part).spec == HostSpec(name: "md-1"))
    }

    @Test("an inventory has one digest, in whatever order its maps come")
    func digest() throws {
        var digests: Set<String> = []
        for _ in 0..<8 {
            // Each dictionary is seeded by itself: its order is another one.
            var service = Self.everything(state: "$state")
            service.execution.limits = [:]
            for name in ["a", "b", "c", "d", "e", "f", "g"].shuffled() { service.execution.limits[name] = 1 }
            digests.insert(try HostPartBuilder(inventory: Self.inventory(service)).part(for: Self.host()).digest)
        }
        #expect(digests.count == 1)
    }

    @Test("words that this agent doesn't know read as nothing declared, and never as looked at")
    func unknownWords() {
        let declaration = declaration { spec in
            spec.scheduler.policy = "deadline"
            spec.memory.mode = "weighted"
            spec.umask = "999"
            spec.cgroup = "memory"
            spec.sockets = "rdma"
            spec.coreOnStop = "keep"
            spec.threads = ["rx": "four"]
            spec.health = [WireHealthCheck()]
            spec.exclusiveCpus = "x"
            spec.wrapperCount = 99
        }
        #expect(declaration.execution == ExecutionSpec() && declaration.placement == CPUPlacement() && declaration.health.isEmpty)
        #expect(declaration.release.sockets == .onload && declaration.release.coreDump == .wait)
        #expect(declaration.wrapper == ["feed"] && declaration.program.isEmpty)
        let priority = self.declaration { $0.scheduler.policy = "fifo" }
        #expect(priority.execution.scheduler == nil)
    }
}
