import FleetCore
import Testing

/// What drifts, what doesn't, and what can't be told.
struct LayoutVerifierTests {
    /// Everything read, and as feedDemand() and `expecting` want it.
    private static func observation() -> LayoutObservation {
        var seen = LayoutObservation()
        seen.commandLine = ["ro", "isolcpus=4-7,12-15", "nohz_full=4-7,12-15", "quiet"]
        seen.sysctl = ["kernel.sched_rt_runtime_us": "-1", "net.ipv4.tcp_rmem": "4096\t131072\t6291456"]
        seen.governors = [0: "performance", 1: "performance"]
        seen.irqbalanceRunning = false
        seen.transparentHugepages = "never"
        seen.time = TimeReading(synchronised: true, source: "ptp", offset: .nanoseconds(-40), text: "chrony follows PHC0")
        seen.onloadVersion = "9.0.1.86"
        seen.threads = [
            6036: [
                ThreadReading(tid: 6036, name: "feed", cpus: CPUList("2-3")), ThreadReading(tid: 6040, name: "rx-xlon", cpus: CPUList("4")),
                ThreadReading(tid: 6041, name: "pub-xlon", cpus: CPUList("5")),
            ],
            6198: [ThreadReading(tid: 6198, name: "recorder", cpus: CPUList("2-3")), ThreadReading(tid: 6199, name: "writer", cpus: CPUList("3"))],
        ]
        return seen
    }

    private static func expecting() -> LayoutDemand {
        var demand = feedDemand()
        demand.expect.cmdline = ["isolcpus=4-7,12-15", "quiet"]
        demand.expect.sysctl = ["kernel.sched_rt_runtime_us": "-1", "net.ipv4.tcp_rmem": "4096 131072 6291456"]
        demand.expect.governor = "performance"
        demand.expect.irqbalanceEnabled = false
        demand.expect.smtEnabled = false
        demand.expect.transparentHugepages = "never"
        demand.expect.time = .init(source: "ptp", offsetMax: .microseconds(1), via: "chronyc:/run/chrony/chronyd.sock")
        demand.expect.onloadVersion = "9.0.1.86"
        return demand
    }

    private func verify(
        _ change: (inout LayoutDemand, inout HostTopology, inout LayoutObservation) -> Void
    ) -> LayoutVerification {
        var demand = Self.expecting()
        var topology = plainHost()
        var seen = Self.observation()
        change(&demand, &topology, &seen)
        return LayoutVerifier.verify(demand, topology: topology, observation: seen)
    }

    @Test("a host as declared has neither drift nor notes")
    func asDeclared() { #expect(verify { _, _, _ in } == LayoutVerification()) }

    @Test("a thread that was moved, by its name, by *, and by its worker's CPUs where nothing is said of it")
    func threads() {
        let named = verify { _, _, seen in seen.threads[6036]?[1].cpus = CPUList("0-15") }
        #expect(named.drift == [LayoutDrift(.threadAffinity, "thread rx-xlon of feed-xlon", wanted: "CPU 4", found: "CPUs 0-15", service: "feed-xlon")])
        #expect(named.drift.map(\.description) == ["thread rx-xlon of feed-xlon runs on CPUs 0-15, wanted on CPU 4"])
        let other = verify { _, _, seen in seen.threads[6036]?[0].cpus = CPUList("2-5") }
        #expect(other.drift.map(\.description) == ["thread feed of feed-xlon runs on CPUs 2-5, wanted on CPUs 2-3"])
        let undeclared = verify { _, _, seen in seen.threads[6198]?[1].cpus = CPUList("0") }
        #expect(undeclared.drift.map(\.description) == ["thread writer of tick-recorder runs on CPU 0, wanted on CPUs 2-3"])
        // 15 bytes of a name is all the kernel knows.
        let long = verify { demand, _, seen in
            demand.workers[0].threads = ["market-data-receiver": .cpus(CPUList([4]))]
            seen.threads[6036] = [ThreadReading(tid: 6036, name: "market-data-rec", cpus: CPUList("5"))]
        }
        #expect(long.drift.map(\.wanted) == ["CPU 4"])
        let pool = verify { _, _, seen in
            seen.threads[6036]? += (0..<30).map { ThreadReading(tid: 7_000 + $0, name: "pool", cpus: CPUList("6")) }
        }
        #expect(pool.drift.map(\.description) == ["thread pool of feed-xlon runs on CPU 6 (30 threads), wanted on CPUs 2-3"])
        let many = verify { _, _, seen in
            seen.threads[6036]? += (0..<30).map { ThreadReading(tid: 7_000 + $0, name: "w\($0)", cpus: CPUList("6")) }
        }
        #expect(many.drift.count == 9 && many.drift.last?.found == "22 elsewhere")
    }

    @Test("a thread that isn't there, an unread process and one without declared CPUs are no drift")
    func unknownThreads() {
        let missing = verify { _, _, seen in seen.threads[6036]?.remove(at: 1) }
        #expect(missing.drift == [] && missing.notes == ["feed-xlon (PID 6036) has no thread named rx-xlon: where it would run can't be told"])
        let unread = verify { _, _, seen in seen.threads[6036] = nil }
        #expect(unread.drift == [] && unread.notes == ["feed-xlon: where its threads may run can't be read"])
        let stopped = verify { demand, _, seen in
            demand.workers[0].pid = nil
            seen.threads = [6198: seen.threads[6198] ?? []]
        }
        #expect(stopped == LayoutVerification())
        let free = verify { demand, _, seen in
            demand.workers[2].helpers = false
            demand.housekeeping = nil
            demand.expect.interfaces = [:]
            seen.threads[6198] = nil
        }
        #expect(free == LayoutVerification())
        let ended = verify { _, _, seen in seen.threads[6036]?[1].cpus = nil }
        #expect(ended == LayoutVerification())
    }

    @Test("agent and shims belong on the housekeeping CPUs, and so does a worker without any of its own")
    func residents() {
        let astray = verify { demand, _, seen in
            demand.residents = [.init(name: "trading-agent", pid: 800), .init(name: "shim of feed-xlon", pid: 801), .init(name: "shim of feed-xetr", pid: 802)]
            seen.threads[800] = [
                ThreadReading(tid: 800, name: "trading-agent", cpus: CPUList("0-1")), ThreadReading(tid: 803, name: "files", cpus: CPUList("0-7")),
            ]
            seen.threads[801] = [ThreadReading(tid: 801, name: "trading-shim", cpus: CPUList("1"))]
        }
        #expect(astray.drift == [LayoutDrift(.threadAffinity, "trading-agent", wanted: "CPUs 0-1", found: "CPUs 0-7")])
        #expect(astray.notes == ["shim of feed-xetr: where its threads may run can't be read"])
        let own = verify { demand, _, _ in demand.workers[2].helpers = false }
        #expect(own.drift.map(\.description).first == "thread recorder of tick-recorder runs on CPUs 2-3, wanted on CPUs 0-1")
    }

    @Test("an interrupt on a worker's CPU names whom it disturbs")
    func interrupts() {
        let hit = verify { _, topology, _ in topology.interruptLines[2].cpus = CPUList("0-1,4") }
        #expect(hit.drift.map(\.description) == ["IRQ 143 (ens1f0-rx-2) allowed on CPU 4, used by feed-xlon"])
        #expect(hit.drift.map(\.wanted) == ["CPUs 0-1"])
        let both = verify { _, topology, _ in topology.interruptLines[2].cpus = CPUList("0-15") }
        #expect(both.drift.map(\.service) == ["feed-xlon", "feed-xetr"] && Set(both.drift.map(\.key)).count == 2)
        let elsewhere = verify { _, topology, _ in topology.interruptLines[2].cpus = CPUList("0-2") }
        #expect(elsewhere.drift.map(\.description) == ["IRQ 143 (ens1f0-rx-2) allowed on CPUs 0-2, wanted on CPUs 0-1"])
        let down = verify { demand, topology, _ in
            topology.interruptLines = []
            demand.expect.interfaces["ens1f0"]?.driver = nil
            demand.expect.interfaces["ens9"] = .init(irqCPUs: CPUList("0-1"))
        }
        #expect(down.drift.map(\.description) == ["ens9: no such interface, wanted an interface of this name"])
        #expect(down.notes == ["ens1f0: it shows no interrupt lines (is it up?), so where they may be delivered can't be told"])
        let undeclared = verify { demand, topology, _ in
            demand.expect.interfaces = [:]
            topology.interruptLines[2].cpus = CPUList("0-2,12")
            topology.interruptLines[3].cpus = nil
        }
        #expect(undeclared.drift == [] && undeclared.notes == ["where IRQ 144 (ens1f0-rx-3) may be delivered can't be read"])
    }

    @Test("pages: fewer than declared, or held by somebody else while a stopped worker needs them")
    func pages() {
        let fewer = verify { _, topology, _ in topology.nodes[1].pools[0].total = 100 }
        #expect(fewer.drift == [LayoutDrift(.hugepages, "node 1 2 MiB pages", wanted: "512", found: "100")])
        let absent = verify { demand, topology, _ in
            topology.nodes[1].pools.removeFirst()
            demand.hugepages.append(HugepageCount(node: 5, pageBytes: 1 << 30, count: 1))
        }
        #expect(absent.drift.map(\.description) == ["node 1 2 MiB pages: none of this size, wanted 512", "node 5 1 GiB pages: no such node, wanted 1"])
        let taken = verify { _, topology, _ in topology.nodes[0].pools[1].free = 1 }
        #expect(taken.drift.map(\.description) == ["free 1 GiB pages of node 0: 1, wanted 4 to start feed-xetr"])
        #expect(
            verify { demand, topology, _ in
                topology.nodes[0].pools[1].free = 1
                demand.workers[1].pid = 6044
                demand.workers[1].exclusive = nil
                demand.workers[1].helpers = false
                demand.housekeeping = nil
            }.drift == [])
        let unread = verify { _, topology, _ in
            topology.nodes[0].pools[1].free = nil
            topology.nodes[1].pools = []
            topology.nodes[1].unreadPools = nil
        }
        #expect(
            unread.drift == []
                && unread.notes == ["node 1 2 MiB pages: how many there are can't be read", "feed-xetr: how many 1 GiB pages are free on node 0 can't be read"])
    }

    @Test("kernel command line, sysctl, governor, irqbalance, SMT, transparent hugepages, driver, Onload")
    func settings() {
        let all = verify { demand, topology, seen in
            seen.commandLine = ["isolcpus=4-15"]
            seen.sysctl["kernel.sched_rt_runtime_us"] = "950000"
            seen.governors = [0: "powersave", 1: "performance", 2: "powersave", 3: "schedutil"]
            seen.irqbalanceRunning = true
            topology.smtControl = "on"
            seen.transparentHugepages = "always"
            topology.interfaces[0].driver = "igb"
            demand.expect.interfaces["ens9"] = .init(driver: "sfc")
            seen.onloadVersion = "8.1.3.40"
        }
        #expect(
            all.drift.map(\.description) == [
                "kernel command line, isolcpus: isolcpus=4-15, wanted isolcpus=4-7,12-15", "kernel command line, quiet: not there, wanted quiet",
                "kernel.sched_rt_runtime_us: 950000, wanted -1",
                "frequency governor: powersave on CPUs 0,2, schedutil on CPU 3, wanted performance", "irqbalance: running, wanted not running",
                "SMT: on, wanted disabled", "transparent hugepages: always, wanted never", "ens1f0: igb, wanted sfc", "ens9: no such interface, wanted sfc",
                "Onload: 8.1.3.40, wanted 9.0.1.86",
            ])
        #expect(all.notes == [])
        #expect(Set(all.drift.map(\.key)).count == all.drift.count)
    }

    @Test("what can't be read is a note each, and never drift")
    func unknown() {
        var seen = LayoutObservation()
        seen.notes = ["sysctl kernel.sched_rt_runtime_us: cannot open it"]
        var demand = Self.expecting()
        demand.expect.smtEnabled = true
        let result = LayoutVerifier.verify(demand, topology: HostTopology(), observation: seen)
        #expect(result.drift.map(\.slug) == [.driver], "\(result.drift)")
        for what in [
            "sysctl", "feed-xlon: where its threads", "node 0 1 GiB pages", "feed-xetr: how many 1 GiB", "kernel command line", "governor",
            "irqbalance", "SMT", "transparent", "time: not read", "Onload",
        ] {
            #expect(result.notes.contains { $0.contains(what) }, "\(what) in \(result.notes)")
        }
        var blind = HostTopology()
        blind.passingNotes = ["network interfaces: cannot list them"]
        #expect(LayoutVerifier.verify(demand, topology: blind, observation: seen).drift == [])
    }

    @Test("time: not synchronised, another source, too far off; the kernel alone knows no source")
    func time() {
        func drift(_ time: TimeReading, _ source: String? = "ptp") -> LayoutVerification {
            verify { demand, _, seen in
                seen.time = time
                demand.expect.time?.source = source
            }
        }
        #expect(drift(.init(synchronised: false, text: "")).drift == [LayoutDrift(.time, "clock", wanted: "synchronised", found: "not synchronised")])
        #expect(
            drift(.init(synchronised: true, source: "ntp", offset: .nanoseconds(-3_200), text: "")).drift.map(\.description) == [
                "clock source: ntp, wanted ptp", "clock offset: -3.2 us, wanted at most 1 us",
            ])
        #expect(drift(.init(synchronised: true, source: "ntp", offset: .zero, text: ""), "any") == LayoutVerification())
        #expect(drift(.init(synchronised: true, source: "local", offset: .zero, text: ""), "any").drift.count == 1)
        let kernel = drift(.init(synchronised: true, text: "the kernel says: synchronised"))
        #expect(kernel.drift == [] && kernel.notes.count == 2, "neither source nor offset")
        #expect(drift(.init(text: "chronyc is not installed")).notes.first == "time: chronyc is not installed")
    }
}
