import FleetCore
import TestSupport

/// A random machine with a random layout on it: mostly sound, so that one fault at a time is seen as well as many.
struct RandomHost {
    var topology = HostTopology()
    var demand = LayoutDemand()

    init(_ random: inout SplitMix64) {
        let sockets = 1 + random.below(2)
        let nodesPerSocket = 1 + random.below(2)
        let cores = 2 + random.below(6)
        let threads = 1 + random.below(2)
        makeCPUs(sockets, nodesPerSocket, cores, threads, &random)
        makeInterrupts(&random)
        makeWorkers(&random)
        spoil(&random)
    }

    private mutating func makeCPUs(_ sockets: Int, _ nodesPerSocket: Int, _ cores: Int, _ threads: Int, _ random: inout SplitMix64) {
        let perThread = sockets * nodesPerSocket * cores
        let count = perThread * threads
        topology.present = CPUList(0..<count)
        topology.online = topology.present
        topology.cpus = (0..<count).map { number in
            HostTopology.CPU(
                number: number, socket: number % perThread / (nodesPerSocket * cores), core: number % perThread,
                siblings: CPUList((0..<threads).map { number % perThread + $0 * perThread }))
        }
        topology.nodes = (0..<sockets * nodesPerSocket).map { node in
            let total = UInt64(random.below(5))
            return HostTopology.Node(
                number: node, cpus: CPUList((0..<count).filter { $0 % perThread / cores == node }), memoryBytes: UInt64(4 + random.below(60)) << 30,
                pools: [
                    .init(pageBytes: 2 << 20, total: total * 64, free: UInt64(random.below(Int(total) + 1)) * 64),
                    .init(pageBytes: 1 << 30, total: total, free: UInt64(random.below(Int(total) + 1))),
                ])
        }
        topology.isolated = CPUList(random.some(Array(0..<count), percent: 70))
        topology.nohzFull = topology.isolated
        topology.smtControl = threads == 1 ? "off" : "on"
    }

    private mutating func makeInterrupts(_ random: inout SplitMix64) {
        let cpus = topology.online?.cpus ?? []
        topology.interfaces = [.init(name: "eth0", driver: "igb"), .init(name: "eth1", driver: "sfc")]
        topology.interruptLines = (0..<random.below(6)).map {
            .init(
                number: 40 + $0, name: "line-\($0)", interface: random.pick(["eth0", "eth1"]),
                cpus: CPUList([random.pick(cpus)] + random.some(cpus, percent: 15)))
        }
    }

    /// Whole cores are dealt out: housekeeping, the shared pool, then the workers.
    private mutating func makeWorkers(_ random: inout SplitMix64) {
        var left = Array(Set(topology.cpus.compactMap(\.siblings))).sorted { ($0.cpus.first ?? 0) < ($1.cpus.first ?? 0) }
        func deal(_ count: Int) -> CPUList {
            let taken = left.prefix(count)
            left.removeFirst(min(count, left.count))
            return CPUList(taken.flatMap(\.cpus))
        }
        demand.housekeeping = deal(1)
        if random.chance(80) { demand.shared = deal(1) }
        if random.chance(60) { demand.expect.interfaces["eth0"] = .init(irqCPUs: demand.housekeeping) }
        for index in 0..<random.below(5) {
            var worker = LayoutDemand.Worker(service: ServiceName("w\(index)"), helpers: demand.shared != nil && random.chance(60))
            let own = deal(random.below(3))
            if !own.isEmpty { worker.exclusive = own }
            let nodes = Set(own.cpus.compactMap { topology.node(of: $0) })
            if nodes.count == 1, random.chance(50) { worker.node = nodes.first }
            if let cpu = random.pickAny(own.cpus) { worker.threads["hot"] = .cpus(CPUList([cpu])) }
            if worker.helpers, random.chance(40) { worker.threads["*"] = .helpers }
            if random.chance(50) { worker.pid = Int32(1_000 + index) }
            worker.keepsHugepages = random.chance(20)
            demand.workers.append(worker)
        }
        for node in topology.nodes where random.chance(50) {
            for pool in node.pools where random.chance(50) {
                let count = random.chance(70) ? pool.total : UInt64(random.below(4))
                demand.hugepages.append(HugepageCount(node: node.number, pageBytes: pool.pageBytes, count: count))
                guard count > 0, let index = demand.workers.indices.randomElement(using: &random) else { continue }
                demand.workers[index].hugepages.append(HugepageCount(node: node.number, pageBytes: pool.pageBytes, count: 1 + UInt64(random.below(Int(count)))))
            }
        }
    }

    /// Nothing in half of the cases, else up to three things that may or may not be faults.
    private mutating func spoil(_ random: inout SplitMix64) {
        guard random.chance(50) else { return }
        let all = topology.present?.cpus ?? []
        for _ in 0...random.below(3) {
            let index = demand.workers.indices.randomElement(using: &random)
            switch random.below(17) {
            case 0: if let index { demand.workers[index].exclusive = CPUList(demand.workers[index].exclusive?.cpus ?? [] + [random.pick(all)]) }
            case 1: if let index { demand.workers[index].exclusive = CPUList([random.pick(all), random.below(all.count + 2)]) }
            case 2: topology.online = topology.online?.subtracted([random.pick(all)])
            case 3: if let index { demand.workers[index].node = random.below(5) }
            case 4: if let index { demand.workers[index].threads["stray"] = .cpus(CPUList([random.pick(all)])) }
            case 5: if let index { demand.workers[index].threads["*"] = .helpers }
            case 6: demand.shared = random.chance(50) ? nil : CPUList([random.pick(all)])
            case 7: demand.housekeeping = random.chance(30) ? nil : CPUList([random.pick(all), random.pick(all)])
            case 8: topology.nodes[random.below(topology.nodes.count)].memoryBytes = random.chance(50) ? 0 : 1 << 30
            case 9:
                demand.hugepages.append(HugepageCount(node: random.below(5), pageBytes: random.pick([2 << 20, 16 << 30]), count: UInt64(random.below(300))))
            case 10:
                if let index {
                    demand.workers[index].hugepages.append(
                        HugepageCount(node: random.below(4), pageBytes: random.pick([2 << 20, 1 << 30]), count: UInt64(random.below(9))))
                }
            case 11: demand.expect.interfaces["eth1"] = .init(irqCPUs: CPUList([random.pick(all)]))
            case 12: forget(&random)
            case 13...15: splitCore(&random)
            default: topology.nodes[random.below(topology.nodes.count)].pools[0].free = nil
            }
        }
        // A pool is declared once, as in an inventory.
        var seen: Set<HugepageCount> = []
        demand.hugepages = demand.hugepages.filter { seen.insert(HugepageCount(node: $0.node, pageBytes: $0.pageBytes, count: 0)).inserted }
    }

    /// One hardware thread of a worker's core goes to another worker, to the shared pool, to housekeeping or to nobody.
    private mutating func splitCore(_ random: inout SplitMix64) {
        let owners = demand.workers.indices.filter { !(demand.workers[$0].exclusive?.isEmpty ?? true) }
        guard let from = random.pickAny(owners), let cpu = random.pickAny(demand.workers[from].exclusive?.cpus ?? []) else { return }
        demand.workers[from].exclusive = demand.workers[from].exclusive?.subtracted([cpu])
        demand.workers[from].threads = [:]
        switch random.below(4) {
        case 0: demand.shared = demand.shared?.union(CPUList([cpu]))
        case 1: demand.housekeeping = demand.housekeeping?.union(CPUList([cpu]))
        case 2:
            guard let other = random.pickAny(owners.filter { $0 != from }) else { return }
            demand.workers[other].exclusive = demand.workers[other].exclusive?.union(CPUList([cpu]))
            demand.workers[other].node = nil
        default: break
        }
    }

    private mutating func forget(_ random: inout SplitMix64) {
        switch random.below(4) {
        case 0: topology.cpus = topology.cpus.map { .init(number: $0.number) }
        case 1: topology.online = nil
        case 2: topology.isolated = nil
        default: topology.interruptLines = topology.interruptLines.map { .init(number: $0.number, name: $0.name, interface: $0.interface) }
        }
    }
}

extension CPUList {
    func subtracted(_ cpus: [Int]) -> CPUList { CPUList(self.cpus.filter { !cpus.contains($0) }) }
}
