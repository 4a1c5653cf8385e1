import FleetCore

/// 2 nodes of 8 cores with 16 GiB each, without SMT: CPUs 0-7 and 8-15, of which 4-7 and 12-15 are isolated and tickless.
func plainHost() -> HostTopology {
    var host = HostTopology()
    host.cpus = (0..<16).map { HostTopology.CPU(number: $0, socket: 0, core: $0, siblings: CPUList([$0])) }
    host.nodes = (0..<2).map { node in
        HostTopology.Node(
            number: node, cpus: CPUList(node * 8..<node * 8 + 8), memoryBytes: 16 << 30,
            pools: [.init(pageBytes: 2 << 20, total: 512, free: 512), .init(pageBytes: 1 << 30, total: 4, free: 4)])
    }
    host.present = CPUList(0..<16)
    host.online = host.present
    host.isolated = CPUList("4-7,12-15")
    host.nohzFull = host.isolated
    host.rcuNoCallbacks = host.isolated
    host.smtControl = "notsupported"
    host.interfaces = [.init(name: "ens1f0", driver: "sfc", node: 0)]
    host.interruptLines = (0..<4).map {
        .init(number: 141 + $0, name: "ens1f0-rx-\($0)", interface: "ens1f0", cpus: CPUList("0-1"), effective: CPUList("0"), node: 0)
    }
    return host
}

/// The same with a second hardware thread on every core: CPU n + 16 beside CPU n.
func hyperthreadedHost() -> HostTopology {
    var host = plainHost()
    host.cpus = (0..<32).map { HostTopology.CPU(number: $0, socket: 0, core: $0 % 16, siblings: CPUList([$0 % 16, $0 % 16 + 16])) }
    for node in 0..<2 { host.nodes[node].cpus = CPUList(Array(node * 8..<node * 8 + 8) + Array(node * 8 + 16..<node * 8 + 24)) }
    host.present = CPUList(0..<32)
    host.online = host.present
    host.isolated = CPUList("4-7,12-15,20-23,28-31")
    host.nohzFull = host.isolated
    host.smtControl = "on"
    return host
}

/// A market-data host as in targets/fleet.yaml: two feeds with CPUs of their own, a recorder on the shared pool.
func feedDemand() -> LayoutDemand {
    var demand = LayoutDemand(
        housekeeping: CPUList("0-1"), shared: CPUList("2-3"),
        workers: [
            .init(
                service: "feed-xlon", exclusive: CPUList("4-5"), helpers: true, node: 0,
                threads: ["rx-xlon": .cpus(CPUList([4])), "pub-xlon": .cpus(CPUList([5])), "*": .helpers], pid: 6036),
            .init(service: "feed-xetr", exclusive: CPUList("6-7"), helpers: true, node: 0),
            .init(service: "tick-recorder", helpers: true, pid: 6198),
        ])
    demand.hugepages = [HugepageCount(node: 0, pageBytes: 1 << 30, count: 4), HugepageCount(node: 1, pageBytes: 2 << 20, count: 512)]
    demand.workers[1].hugepages = [HugepageCount(node: 0, pageBytes: 1 << 30, count: 4)]
    demand.expect.interfaces = ["ens1f0": .init(driver: "sfc", irqCPUs: CPUList("0-1"))]
    return demand
}
