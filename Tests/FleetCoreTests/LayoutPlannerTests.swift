import FleetCore
import Testing

/// Why a layout can't be had, in words; and what would have to be changed for it.
struct LayoutPlannerTests {
    private func texts(_ severity: LayoutProblem.Severity, _ plan: LayoutPlan) -> [String] {
        plan.problems.filter { $0.severity == severity }.map(\.text)
    }

    private func problems(_ host: HostTopology = plainHost(), _ change: (inout LayoutDemand) -> Void) -> [String] {
        var demand = feedDemand()
        change(&demand)
        return texts(.problem, LayoutPlanner.plan(demand, on: host))
    }

    @Test("a layout that fits has nothing to say and nothing to change")
    func fits() {
        let plan = LayoutPlanner.plan(feedDemand(), on: plainHost())
        #expect(plan.problems == [] && plan.changes == [] && plan.isPossible)
        #expect(plan.placements.map(\.service) == ["feed-xlon", "feed-xetr", "tick-recorder"])
        let feed = plan.placements[0]
        #expect(feed.exclusive == CPUList("4-5") && feed.helpers == CPUList("2-3") && feed.node == 0 && feed.pid == 6036)
        #expect(feed.threads == ["pub-xlon: 5", "rx-xlon: 4", "*: helpers"])
        #expect(plan.placements[2].exclusive == nil && plan.placements[2].node == nil)
    }

    @Test("a CPU that isn't there, is offline, or is somebody else's")
    func claims() {
        var host = plainHost()
        host.online = CPUList("0-6,8-15")
        #expect(
            problems(host) { $0.workers[0].exclusive = CPUList("4-5,44") } == [
                "feed-xlon: CPU 44 is not on this host (it has 0-15): give feed-xlon others (cpus.exclusive)",
                "feed-xetr: CPU 7 is offline: bring it online, or give feed-xetr another",
            ])
        #expect(
            problems { $0.workers[1].exclusive = CPUList("5-6") } == [
                "feed-xlon: CPU 5 is claimed by feed-xetr too: give one of them another",
                "feed-xetr: CPU 5 is claimed by feed-xlon too: give one of them another",
            ])
        #expect(
            problems { $0.workers[1].exclusive = CPUList("1,6") } == [
                "feed-xetr: CPU 1 is a housekeeping CPU, where agent and shims run: take it out of its cpus.exclusive, or out of "
                    + "hosts.HOST.housekeeping",
                "feed-xetr: CPU 1 is declared for the interrupts of ens1f0 too: change expect.nic.ens1f0.irq_cpus, or its cpus.exclusive",
            ])
        #expect(
            problems { $0.workers[1].exclusive = CPUList("2-3,6") } == [
                "feed-xetr: CPUs 2-3 are in the shared pool, where helpers of others run: take them out of its cpus.exclusive, or out of hosts.HOST.shared"
            ])
        #expect(
            problems { $0.housekeeping = CPUList("0,16") } == [
                "housekeeping: CPU 16 is not on this host (it has 0-15): take it out of hosts.HOST.housekeeping"
            ])
        #expect(problems { $0.shared = nil }.first == "feed-xlon: it wants helpers, and the host declares no pool for them: set hosts.HOST.shared")
    }

    @Test("the other hardware thread of an exclusive CPU belongs to nobody else")
    func siblings() {
        #expect(problems(hyperthreadedHost()) { _ in } == [])
        #expect(
            problems(hyperthreadedHost()) { $0.workers[1].exclusive = CPUList("6,20") } == [
                "feed-xlon: CPU 4 shares a core with CPU 20, which feed-xetr claims: give both to one worker, or switch SMT off",
                "feed-xetr: CPU 20 shares a core with CPU 4, which feed-xlon claims: give both to one worker, or switch SMT off",
            ])
        #expect(problems(hyperthreadedHost()) { $0.workers[0].exclusive = CPUList("4-5,20-21") } == [], "both threads of its own cores")
        #expect(
            problems(hyperthreadedHost()) { $0.housekeeping = CPUList("0,20") } == [
                "feed-xlon: CPU 4 shares a core with CPU 20, a housekeeping CPU: take 20 out of hosts.HOST.housekeeping, or switch SMT off"
            ])
        var host = hyperthreadedHost()
        host.isolated = CPUList("4-7,21-23")
        let plan = LayoutPlanner.plan(feedDemand(), on: host)
        #expect(plan.isPossible)
        #expect(
            texts(.warning, plan).contains(
                "feed-xlon: CPU 4 shares a core with CPU 20, which is not isolated, so the kernel runs there what it likes: add 20 to isolcpus=, or "
                    + "switch SMT off"))
        host.cpus = host.cpus.map { .init(number: $0.number, socket: 0, core: $0.core) }
        #expect(texts(.unknown, LayoutPlanner.plan(feedDemand(), on: host)).first == "feed-xlon: with whom CPUs 4-5 share a core can't be read")
    }

    @Test("not isolated and not tickless are warnings; where it can't be read, unknown")
    func isolation() {
        var host = plainHost()
        host.isolated = CPUList("5-7")
        host.nohzFull = CPUList("4")
        host.isolated = host.isolated?.union(CPUList([3]))
        let plan = LayoutPlanner.plan(feedDemand(), on: host)
        #expect(plan.isPossible)
        #expect(
            texts(.warning, plan) == [
                "the shared pool 2-3: CPU 3 is isolated, where the kernel spreads no load: take it out of isolcpus=, or out of hosts.HOST.shared",
                "feed-xlon: CPU 4 is not isolated, so the kernel runs there what it likes: add 4 to isolcpus= on the kernel command line",
                "feed-xlon: the timer tick interrupts CPU 5: add 5 to nohz_full= on the kernel command line",
                "feed-xetr: the timer tick interrupts CPUs 6-7: add 6-7 to nohz_full= on the kernel command line",
            ])
        let none = LayoutPlanner.plan(feedDemand(), on: HostTopology())
        #expect(none.isPossible && texts(.fixable, none) == [] && texts(.unknown, none).count >= 6, "\(none.problems)")
        #expect(texts(.unknown, none).first == "which CPUs are online can't be read: nothing about CPUs can be checked")
    }

    @Test("CPUs on the wrong node, a node that isn't there, one without memory")
    func nodes() {
        #expect(
            problems { $0.workers[1].exclusive = CPUList("6,12") } == [
                "feed-xetr: CPU 12 is on node 1, wanted on node 0: take CPUs of node 0 (0-7), or correct its cpus.node"
            ])
        #expect(
            problems {
                $0.workers[1].node = 2
                $0.hugepages.append(HugepageCount(node: 2, pageBytes: 2 << 20, count: 1))
            } == [
                "feed-xetr: there is no node 2 on this host (it has 0-1): correct its cpus.node",
                "hugepages: there is no node 2 on this host (it has 0-1): correct hosts.HOST.hugepages",
            ])
        var host = plainHost()
        host.nodes[0].memoryBytes = 0
        #expect(
            problems(host) { $0.workers[1].node = nil } == [
                "feed-xlon: node 0 has no memory of its own: take CPUs of a node that has",
                "hugepages: node 0 has no memory of its own: declare them on a node that has (hosts.HOST.hugepages)",
            ])
    }

    @Test("threads are placed within their worker's CPUs")
    func threads() {
        #expect(
            problems {
                $0.workers[0].threads["rx-xlon"] = .cpus(CPUList([6]))
                $0.workers[1].helpers = false
                $0.workers[1].threads = ["*": .helpers]
            } == [
                "feed-xlon: thread rx-xlon belongs on CPU 6, outside the worker's own 2-5: place it within, or add 6 to its cpus.exclusive",
                "feed-xetr: thread * belongs on helpers, and it has none: set its cpus.helpers: shared",
            ])
    }

    @Test("pages: more than declared, more than there is, a size nobody offers, held by somebody else")
    func pages() {
        #expect(
            problems { $0.workers[1].hugepages[0].count = 5 } == [
                "feed-xetr needs 5 1 GiB pages on node 0, the host declares 4: raise hosts.HOST.hugepages, or lower its own"
            ])
        #expect(
            problems { $0.workers[0].hugepages = [HugepageCount(node: 0, pageBytes: 1 << 30, count: 1)] } == [
                "feed-xlon and feed-xetr together need 5 1 GiB pages on node 0, the host declares 4: raise hosts.HOST.hugepages, or lower their own"
            ])
        #expect(
            problems { $0.workers[0].hugepages = [HugepageCount(node: 0, pageBytes: 2 << 20, count: 1)] } == [
                "feed-xlon needs 1 2 MiB page on node 0, the host declares none there: add them to hosts.HOST.hugepages"
            ])
        #expect(
            problems { $0.hugepages[1].count = 9_000 } == [
                "node 1 can't hold the declared hugepages: 17.5 GiB of its 16.0 GiB of memory; declare fewer (hosts.HOST.hugepages)"
            ])
        #expect(
            problems { $0.hugepages.append(HugepageCount(node: 0, pageBytes: 64 << 10, count: 1)) } == [
                "node 0 has no pages of 64 KiB: this kernel or processor doesn't offer that size; declare another (hosts.HOST.hugepages)"
            ])
        var host = plainHost()
        host.nodes[0].pools[1].free = 1
        #expect(
            problems(host) { _ in } == [
                "feed-xetr needs 4 free 1 GiB pages on node 0, 1 is free: find who holds the others (files below the hugetlbfs mount), or declare more"
            ])
        #expect(problems(host) { $0.workers[1].pid = 6044 } == [], "its own")
        #expect(problems(host) { $0.workers[1].keepsHugepages = true } == [], "kept on purpose")
        // 3 more would come by apply.
        #expect(problems(host) { $0.hugepages[0].count = 7 } == [])
    }

    @Test("pools are planned to what is declared: shrinking first, large pages first, and never below what is in use")
    func poolChanges() {
        var demand = feedDemand()
        demand.hugepages = [
            HugepageCount(node: 1, pageBytes: 2 << 20, count: 2_048), HugepageCount(node: 1, pageBytes: 1 << 30, count: 6),
            HugepageCount(node: 0, pageBytes: 2 << 20, count: 256), HugepageCount(node: 0, pageBytes: 1 << 30, count: 4),
        ]
        let plan = LayoutPlanner.plan(demand, on: plainHost())
        #expect(
            plan.changes.map { "\($0.subject): \($0.from) -> \($0.to)" } == [
                "node 0 2 MiB pages: 512 -> 256", "node 1 1 GiB pages: 4 -> 6", "node 1 2 MiB pages: 512 -> 2,048",
            ])
        #expect(
            texts(.fixable, plan) == [
                "node 1 has 512 of 2,048 2 MiB pages: layout apply reserves the rest", "node 1 has 4 of 6 1 GiB pages: layout apply reserves the rest",
            ])
        var host = plainHost()
        host.nodes[0].pools[0].free = 200
        let busy = LayoutPlanner.plan(demand, on: host).changes[0]
        #expect(busy.refused == "312 of the 512 are in use, and 256 would be left: stop who holds them, or declare more (hosts.HOST.hugepages)")
        host.nodes[0].pools[0].free = nil
        #expect(LayoutPlanner.plan(demand, on: host).changes[0].refused == "how many of them are in use can't be read, so none is taken away")
    }

    @Test("an interrupt on a worker's CPU is moved to where it is declared to go, or to housekeeping")
    func interrupts() {
        var host = plainHost()
        host.interruptLines[2].cpus = CPUList("0-1,4")
        var demand = feedDemand()
        var plan = LayoutPlanner.plan(demand, on: host)
        #expect(
            plan.changes == [LayoutChange(.interrupt(number: 143, name: "ens1f0-rx-2", from: CPUList("0-1,4"), to: CPUList(0...1)), workers: ["feed-xlon"])])
        #expect(plan.changes[0].subject == "IRQ 143 ens1f0-rx-2" && plan.changes[0].from == "0-1,4" && plan.changes[0].to == "0-1")
        #expect(texts(.fixable, plan) == ["IRQ 143 (ens1f0-rx-2) is allowed on CPU 4, used by feed-xlon: layout apply moves it to CPUs 0-1"])
        demand.expect.interfaces = [:]
        demand.housekeeping = CPUList([0])
        #expect(LayoutPlanner.plan(demand, on: host).changes.map(\.to) == ["0"])
        demand.housekeeping = nil
        #expect(LayoutPlanner.plan(demand, on: host).changes.map(\.to) == ["0-1"], "where it may go already, but for the worker's")
        host.interruptLines[2].cpus = CPUList("4-5")
        plan = LayoutPlanner.plan(demand, on: host)
        #expect(
            texts(.problem, plan) == [
                "IRQ 143 (ens1f0-rx-2) is allowed on CPUs 4-5, used by feed-xlon, and there is nowhere else to move it: declare where it may go "
                    + "(expect.nic.ens1f0.irq_cpus) or hosts.HOST.housekeeping"
            ])
        #expect(plan.changes.count == 1 && plan.changes[0].refused != nil)
        demand = feedDemand()
        demand.expect.interfaces["ens1f0"]?.irqCPUs = CPUList("1,4")
        #expect(
            texts(.problem, LayoutPlanner.plan(demand, on: plainHost())) == [
                "feed-xlon: CPU 4 is declared for the interrupts of ens1f0 too: change expect.nic.ens1f0.irq_cpus, or its cpus.exclusive"
            ])
        var seen = LayoutObservation()
        seen.irqbalanceRunning = true
        #expect(texts(.warning, LayoutPlanner.plan(feedDemand(), on: host, seeing: seen)).last?.hasPrefix("irqbalance is running") == true)
    }

    @Test("law 9: what would touch a live worker is refused unless it is named")
    func liveWorkers() throws {
        var demand = feedDemand()
        demand.hugepages[0].count = 6
        var plan = LayoutPlanner.plan(demand, on: plainHost())
        let change = try #require(plan.changes.first)
        #expect(change.workers == ["feed-xlon"], "its CPUs are on that node; feed-xetr is stopped, the recorder has none of its own")
        #expect(
            change.refusal(overriding: [], host: "md-1")
                == "feed-xlon runs there: stop it first, or name it: trading layout apply --host md-1 --override feed-xlon --reason \"…\"")
        #expect(change.refusal(overriding: ["feed-xlon"], host: "md-1") == nil)
        demand.workers[1].pid = 6044
        plan = LayoutPlanner.plan(demand, on: plainHost())
        #expect(
            plan.changes[0].refusal(overriding: [], host: "md-1")
                == "feed-xlon and feed-xetr run there: stop them first, or name them: trading layout apply --host md-1 --override feed-xlon --override "
                + "feed-xetr --reason \"…\"")
        #expect(plan.changes[0].refusal(overriding: ["feed-xlon"], host: "md-1")?.hasPrefix("feed-xetr runs there: stop it first") == true)
        let shrink = LayoutChange(.hugepages(node: 0, pageBytes: 2 << 20, from: 2, to: 1), refused: "in use")
        #expect(shrink.refusal(overriding: ["feed-xlon"], host: "md-1") == "in use")
    }
}
