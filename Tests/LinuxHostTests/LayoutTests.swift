import FleetCore
import Glibc
import LinuxHost
import TestSupport
import Testing

@testable import LinuxHost

/// Reading, planning, writing and reading again, on machines of text.
struct LayoutTests {
    /// As md-1 of targets/fleet.yaml.
    private static func marketData() -> LayoutDemand {
        var demand = LayoutDemand(
            housekeeping: CPUList("0-1"), shared: CPUList("2-3"),
            hugepages: [HugepageCount(node: 0, pageBytes: 1 << 30, count: 8), HugepageCount(node: 1, pageBytes: 2 << 20, count: 2_048)],
            workers: [
                .init(service: "feed-xlon", exclusive: CPUList("4-5"), helpers: true, node: 0, threads: ["rx-xlon": .cpus(CPUList([4])), "*": .helpers]),
                .init(
                    service: "feed-xetr", exclusive: CPUList("6-7"), helpers: true, node: 0,
                    hugepages: [HugepageCount(node: 0, pageBytes: 1 << 30, count: 4)]),
                .init(service: "tick-recorder", helpers: true),
            ])
        demand.expect.cmdline = ["isolcpus=4-31,36-63", "nohz_full=4-31,36-63", "intel_pstate=disable"]
        demand.expect.sysctl = ["kernel.sched_rt_runtime_us": "-1", "kernel.numa_balancing": "0"]
        demand.expect.governor = "performance"
        demand.expect.irqbalanceEnabled = false
        demand.expect.smtEnabled = false
        demand.expect.transparentHugepages = "never"
        demand.expect.interfaces = ["ens1f0": .init(driver: "sfc", irqCPUs: CPUList("0-1"))]
        demand.expect.onloadVersion = "9.0.1.86"
        return demand
    }

    private func look(_ demand: LayoutDemand, _ machine: MachineTree) -> (topology: HostTopology, plan: LayoutPlan, verification: LayoutVerification) {
        let topology = HostTopology.read(root: machine.root)
        let seen = LayoutObservation.read(demand, topology: topology, root: machine.root)
        return (
            topology, LayoutPlanner.plan(demand, on: topology, seeing: seen), LayoutVerifier.verify(demand, topology: topology, observation: seen)
        )
    }

    @Test("on the isolated machine one interrupt has come back to a feed's CPU; the plan's one change cures it, read back")
    func isolated() throws {
        let machine = try MachineTree("isolated")
        let demand = Self.marketData()
        let before = look(demand, machine)
        #expect(before.verification.drift.map(\.description) == ["IRQ 143 (ens1f0-rx-2) allowed on CPU 4, used by feed-xlon"])
        #expect(before.verification.notes == [])
        #expect(before.plan.isPossible && before.plan.problems.map(\.severity) == [.fixable], "\(before.plan.problems)")
        #expect(before.plan.changes.map { "\($0.subject): \($0.from) -> \($0.to)" } == ["IRQ 143 ens1f0-rx-2: 0-1,4 -> 0-1"])
        #expect(LayoutWriter.apply(before.plan.changes[0], root: machine.root) == .done(readBack: "0-1"))
        #expect(try machine.text("/proc/irq/143/smp_affinity_list") == "0-1\n")
        let after = look(demand, machine)
        #expect(after.verification == LayoutVerification() && after.plan.changes == [] && after.plan.problems == [])
    }

    @Test("the machine as installed is unlike in everything that is expected, and nothing of it is unknown")
    func asInstalled() throws {
        let machine = try MachineTree("one_socket")
        var demand = Self.marketData()
        demand.hugepages = [HugepageCount(node: 0, pageBytes: 2 << 20, count: 1_024)]
        demand.workers[1].hugepages = []
        demand.expect.interfaces = ["eno1": .init(driver: "igb", irqCPUs: CPUList("0-1"))]
        demand.expect.onloadVersion = nil
        let found = look(demand, machine)
        #expect(found.verification.notes == [])
        let slugs = Set(found.verification.drift.map(\.slug))
        #expect(slugs == [.irqAffinity, .hugepages, .cmdline, .sysctl, .governor, .irqbalance, .smt, .transparentHugepages])
        #expect(found.verification.drift.contains { $0.description == "frequency governor: powersave on CPUs 0-15, wanted performance" })
        // eno1 itself, allowed everywhere, disturbs both feeds; queues 4 to 7 one each; the others are off the declared CPUs.
        #expect(
            found.verification.drift.filter { $0.slug == .irqAffinity }.map(\.service) == [
                "feed-xlon", "feed-xetr", nil, nil, nil, nil, "feed-xlon", "feed-xlon", "feed-xetr", "feed-xetr",
            ])
        #expect(found.plan.isPossible && found.plan.changes.count == 10)
        let warnings = found.plan.problems.filter { $0.severity == .warning }.map(\.text)
        #expect(warnings.contains { $0.hasPrefix("feed-xlon: CPU 4 shares a core with CPU 12, which is not isolated") })
        #expect(warnings.contains { $0.hasPrefix("feed-xetr: CPUs 6-7 are not isolated") } && warnings.contains { $0.hasPrefix("irqbalance is running") })
        for change in found.plan.changes { #expect(LayoutWriter.apply(change, root: machine.root).isDone) }
        #expect(try machine.text("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages") == "1024\n")
        let after = look(demand, machine)
        #expect(after.plan.changes == [] && !after.verification.drift.contains { [.irqAffinity, .hugepages].contains($0.slug) })
    }

    @Test("on two sockets: the sibling of a housekeeping CPU, pages on each node, and a shrink that must not be")
    func twoSockets() throws {
        let machine = try MachineTree("two_sockets")
        var demand = Self.marketData()
        demand.workers[1].exclusive = CPUList("6-7,32")
        demand.hugepages = [
            HugepageCount(node: 0, pageBytes: 1 << 30, count: 2), HugepageCount(node: 1, pageBytes: 2 << 20, count: 2_048),
            HugepageCount(node: 3, pageBytes: 1 << 30, count: 8),
        ]
        demand.expect = ExpectationSpec()
        demand.expect.sysctl = ["net/ipv4/tcp_rmem": "4096 131072 6291456", "kernel.numa_balancing": "0"]
        let found = look(demand, machine)
        let problems = found.plan.problems.filter { $0.severity == .problem }.map(\.text)
        #expect(
            problems == [
                "feed-xetr: CPU 32 shares a core with CPU 0, a housekeeping CPU: take 0 out of hosts.HOST.housekeeping, or switch SMT off",
                "feed-xetr needs 4 1 GiB pages on node 0, the host declares 2: raise hosts.HOST.hugepages, or lower its own",
            ])
        #expect(found.plan.placements[1].problems == problems)
        let changes = found.plan.changes
        #expect(
            changes.map { "\($0.subject): \($0.from) -> \($0.to)" } == [
                "node 0 1 GiB pages: 8 -> 2", "node 3 1 GiB pages: 16 -> 8", "node 1 2 MiB pages: 512 -> 2,048",
                "IRQ 300 mlx5_async0@pci:0000:81:00.0: 0-63 -> 0-1",
            ])
        #expect(changes[0].refused?.hasPrefix("4 of the 8 are in use") == true && changes[1].refused == nil)
        #expect(found.plan.problems.contains { $0.severity == .fixable && $0.text == "node 1 has 512 of 2,048 2 MiB pages: layout apply reserves the rest" })
        #expect(found.verification.drift.map(\.description).contains("kernel.numa_balancing: 1, wanted 0"))
        #expect(!found.verification.drift.contains { $0.subject.contains("tcp_rmem") })
        for change in changes where change.refused == nil { #expect(LayoutWriter.apply(change, root: machine.root).isDone) }
        #expect(look(demand, machine).plan.changes.map(\.subject) == ["node 0 1 GiB pages"])
    }

    @Test("on the broken machine what can't be read is said, and neither drift nor a problem is made of it")
    func broken() throws {
        let machine = try MachineTree("broken")
        var demand = Self.marketData()
        demand.hugepages = [HugepageCount(node: 0, pageBytes: 2 << 20, count: 8)]
        demand.shared = nil
        demand.workers = [.init(service: "feed", exclusive: CPUList("2-3"), node: 0)]
        demand.expect.interfaces = ["eth0": .init(driver: "stmmac", irqCPUs: CPUList("0-1"))]
        let found = look(demand, machine)
        #expect(found.verification.drift.map(\.description) == ["IRQ 24 (eth0) allowed on CPUs 2-3, used by feed"])
        for what in ["kernel command line", "transparent", "sched_rt_runtime_us", "SMT", "governor", "Onload", "eth0: its driver", "node 0 2 MiB pages"] {
            #expect(found.verification.notes.contains { $0.contains(what) }, "\(what) in \(found.verification.notes)")
        }
        #expect(found.plan.isPossible, "\(found.plan.problems)")
        #expect(found.plan.problems.contains { $0.severity == .unknown && $0.text == "how many 2 MiB pages node 0 has can't be read" })
        #expect(found.plan.problems.contains { $0.severity == .unknown && $0.text == "feed: with whom CPUs 2-3 share a core can't be read" })
        #expect(found.plan.problems.contains { $0.severity == .unknown && $0.text == "feed: on which node CPU 2 is can't be read" })
    }

    @Test("a setting that isn't there or can't be written is an error with its file, its reason and what to do")
    func writeErrors() throws {
        let machine = try MachineTree("isolated")
        func fail(_ what: LayoutChange.What) -> LayoutWriteError? {
            guard case .failed(let error) = LayoutWriter.apply(LayoutChange(what), root: machine.root) else { return nil }
            return error
        }
        let noNode = fail(.hugepages(node: 7, pageBytes: 2 << 20, from: nil, to: 512))
        #expect(noNode?.errno == ENOENT)
        #expect(
            noNode?.description
                == "cannot reserve 512 hugepages of 2 MiB on node 7: No such file or directory "
                + "(\(machine.root)/sys/devices/system/node/node7/hugepages/hugepages-2048kB/nr_hugepages): this kernel has no such node or size: correct "
                + "hosts.HOST.hugepages")
        #expect(
            fail(.interrupt(number: 999, name: "gone", from: nil, to: CPUList([0])))?.description.hasSuffix(
                "the line is gone: its interface was taken down or set up anew; plan again") == true)
        // A real file of the kernel's that holds a list and takes none.
        try machine.remove("/proc/irq/144/smp_affinity_list")
        try machine.link("/proc/irq/144/smp_affinity_list", to: "/sys/devices/system/cpu/possible")
        let readOnly = fail(.interrupt(number: 144, name: "ens1f0-rx-3", from: nil, to: CPUList([1_000])))
        #expect(readOnly?.errno == EACCES || readOnly?.errno == EPERM || readOnly?.errno == EROFS, "\(String(describing: readOnly))")
        #expect(readOnly?.description.hasPrefix("cannot let IRQ 144 (ens1f0-rx-3) go to CPUs 1000 only: ") == true)
    }

    @Test("fewer pages than asked for are said as such", .enabled(if: geteuid() == 0, "needs root to put its own OOM score back"))
    func granted() throws {
        // Stands in for a pool that gives less than asked: a file of the kernel's that rounds what is written to it
        // (proc_pid_oom_adj(5)). Taking all of this machine's memory to see the real one do it would hurt whoever else is on it.
        let machine = try MachineTree("isolated")
        let score = try Files.read("/proc/self/oom_score_adj", limit: 64)
        defer { do { try Files.overwrite("/proc/self/oom_score_adj", String(decoding: score, as: UTF8.self)) } catch { Issue.record(error) } }
        let pool = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
        try machine.remove(pool)
        try machine.link(pool, to: "/proc/self/oom_adj")
        let outcome = LayoutWriter.apply(LayoutChange(.hugepages(node: 1, pageBytes: 2 << 20, from: 0, to: 10)), root: machine.root)
        #expect(outcome == .short(readBack: "9", text: "asked 10, granted 9: free memory is short or in pieces; free some, or apply right after a boot"))
        #expect(!outcome.isDone)
    }

    @Test("without root one sentence says what can't be set", .enabled(if: geteuid() == 0, "runs a program as another user"))
    func withoutRoot() throws {
        #expect(LayoutWriter.obstacle(root: "/nonexistent") == nil)
        guard seteuid(65_534) == 0 else { return }
        let said = LayoutWriter.obstacle()
        #expect(seteuid(0) == 0)
        #expect(said == "hugepages and interrupt affinity can't be set here: this agent doesn't run as root (it runs as uid 65534); everything else works")
    }

    @Test("irqbalance is known by its name among all processes, whatever its pid file says")
    func irqbalance() throws {
        let machine = try MachineTree("one_socket")
        #expect(try LayoutObservation.isRunning("irqbalance", HostTree(root: machine.root)))
        try machine.put("/proc/812/comm", "irqbalance-ui")
        #expect(try !LayoutObservation.isRunning("irqbalance", HostTree(root: machine.root)))
        #expect(throws: LinuxError.self) { try LayoutObservation.isRunning("irqbalance", HostTree(root: "/nonexistent")) }
        for name in ["../../etc/passwd", "kernel/../../self/environ", "", "."] {
            #expect(throws: LinuxError("read the sysctl", name, errno: EINVAL)) { try LayoutObservation.sysctl(name, HostTree(root: "")) }
        }
    }
}
