import FleetCore

/// An independent judge of layouts: set arithmetic over what is declared and what there is, nothing shared with the planner.
struct LayoutJudge {
    let demand: LayoutDemand
    let topology: HostTopology

    /// What a plan without problems must not have. A fact that is unknown convicts nobody.
    func violations() -> [String] {
        var found: [String] = []
        func rule(_ holds: Bool, _ text: @autoclosure () -> String) { if !holds { found.append(text()) } }
        let online = topology.online.map { Set($0.cpus) }
        let housekeeping = Set(demand.housekeeping?.cpus ?? [])
        let shared = Set(demand.shared?.cpus ?? [])
        func usable(_ cpus: Set<Int>) -> Bool { online.map { cpus.isSubset(of: $0) } ?? true }
        rule(usable(housekeeping), "housekeeping isn't online")
        rule(usable(shared), "shared isn't online")
        let own = demand.workers.map { Set($0.exclusive?.cpus ?? []) }
        for (index, worker) in demand.workers.enumerated() {
            let mine = own[index]
            let others = Set(own.enumerated().filter { $0.offset != index }.flatMap(\.element))
            rule(usable(mine), "\(worker.service) isn't online")
            rule(mine.isDisjoint(with: others), "\(worker.service) overlaps another")
            rule(mine.isDisjoint(with: housekeeping.union(shared)), "\(worker.service) overlaps the host's own")
            rule(!worker.helpers || demand.shared != nil, "\(worker.service) has no pool")
            let cores = Set(topology.cpus.filter { mine.contains($0.number) }.flatMap { $0.siblings?.cpus ?? [] }).subtracting(mine)
            rule(cores.isDisjoint(with: others.union(housekeeping).union(shared)), "\(worker.service) shares a core")
            if let node = worker.node, !topology.nodes.isEmpty {
                let there = topology.nodes.first { $0.number == node }
                rule(there != nil, "\(worker.service) is on no node")
                rule(there?.memoryBytes != 0, "\(worker.service) is on a node without memory")
                if let there { rule(mine.intersection(topology.nodes.flatMap(\.cpus.cpus)).isSubset(of: there.cpus.cpus), "\(worker.service) is on two nodes") }
            }
            let reach = mine.union(worker.helpers ? shared : [])
            let bound = reach.isEmpty ? demand.housekeeping.map { Set($0.cpus) } : reach
            for (_, place) in worker.threads {
                switch place {
                case .helpers: rule(worker.helpers, "\(worker.service) places a thread on no pool")
                case .cpus(let cpus): if let bound { rule(bound.isSuperset(of: cpus.cpus), "\(worker.service) places a thread outside") }
                }
            }
        }
        found += pages()
        let everybody = Set(own.flatMap { $0 })
        for (name, interface) in demand.expect.interfaces {
            guard let cpus = interface.irqCPUs else { continue }
            rule(usable(Set(cpus.cpus)), "\(name) interrupts what isn't online")
            rule(everybody.isDisjoint(with: cpus.cpus), "\(name) is declared to interrupt a worker")
        }
        return found
    }

    private func pages() -> [String] {
        guard !topology.nodes.isEmpty else { return [] }
        var found: [String] = []
        func sum(_ list: [HugepageCount], _ node: Int, _ bytes: UInt64) -> UInt64 {
            list.filter { $0.node == node && $0.pageBytes == bytes }.reduce(0) { $0 + $1.count }
        }
        for node in Set(demand.hugepages.map(\.node)) where demand.hugepages.contains(where: { $0.node == node }) {
            guard let there = topology.nodes.first(where: { $0.number == node }) else {
                found.append("pages on no node")
                continue
            }
            let bytes = demand.hugepages.filter { $0.node == node }.reduce(UInt64(0)) { $0 + $1.count * $1.pageBytes }
            if bytes > 0, let memory = there.memoryBytes, bytes > memory { found.append("node \(node) is too small") }
            for pages in demand.hugepages where pages.node == node && pages.count > 0 {
                if !there.pools.contains(where: { $0.pageBytes == pages.pageBytes }) { found.append("node \(node) has no such pages") }
            }
        }
        struct Key: Hashable { let node: Int, bytes: UInt64 }
        for key in Set(demand.workers.flatMap(\.hugepages).filter { $0.count > 0 }.map { Key(node: $0.node, bytes: $0.pageBytes) }) {
            let all = demand.workers.reduce(UInt64(0)) { $0 + sum($1.hugepages, key.node, key.bytes) }
            let declared = sum(demand.hugepages, key.node, key.bytes)
            if !demand.hugepages.isEmpty, all > declared { found.append("more pages wanted than declared") }
            guard let pool = topology.nodes.first(where: { $0.number == key.node })?.pools.first(where: { $0.pageBytes == key.bytes }) else {
                found.append("no such pool")
                continue
            }
            let asleep = demand.workers.filter { $0.pid == nil && !$0.keepsHugepages }.reduce(UInt64(0)) { $0 + sum($1.hugepages, key.node, key.bytes) }
            if let free = pool.free, asleep > free + (declared > pool.total ? declared - pool.total : 0) { found.append("too few free pages") }
        }
        return found
    }

    /// The host once every change that isn't refused was carried out.
    func carriedOut(_ changes: [LayoutChange]) -> HostTopology {
        var host = topology
        for change in changes where change.refused == nil {
            switch change.what {
            case .hugepages(let number, let bytes, _, let to):
                guard let node = host.nodes.firstIndex(where: { $0.number == number }),
                    let pool = host.nodes[node].pools.firstIndex(where: { $0.pageBytes == bytes })
                else { continue }
                let used = host.nodes[node].pools[pool].used
                host.nodes[node].pools[pool].total = to
                host.nodes[node].pools[pool].free = used.map { to - min(to, $0) }
            case .interrupt(let number, _, _, let to):
                guard let line = host.interruptLines.firstIndex(where: { $0.number == number }) else { continue }
                host.interruptLines[line].cpus = to
            }
        }
        return host
    }
}
