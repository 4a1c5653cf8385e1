// What a host has to change for the layout: hugepage pools and the interrupt lines of network interfaces.
extension LayoutPlanning {
    // MARK: hugepages

    /// Shrinking first, as that makes room; then the largest pages first, as they need the longest runs of free memory.
    mutating func planHugepages() -> [LayoutChange] {
        var changes: [(shrinks: Bool, pageBytes: UInt64, change: LayoutChange)] = []
        for (wanted, pool) in declaredPools() {
            let (node, size) = (wanted.node, LayoutText.size(wanted.pageBytes))
            guard pool.total != wanted.count else { continue }
            let shrinks = pool.total > wanted.count
            var refused: String?
            if shrinks {
                if let used = pool.used {
                    if used > wanted.count {
                        refused =
                            "\(LayoutText.grouped(used)) of the \(LayoutText.grouped(pool.total)) are in use, and \(LayoutText.grouped(wanted.count)) "
                            + "would be left: stop who holds them, or declare more (hosts.HOST.hugepages)"
                    }
                } else {
                    refused = "how many of them are in use can't be read, so none is taken away"
                }
            } else {
                let pages = wanted.count == 1 ? "page" : "pages"
                say(
                    .fixable, .hugepages,
                    "node \(node) has \(LayoutText.grouped(pool.total)) of \(LayoutText.grouped(wanted.count)) \(size) \(pages): layout apply reserves the rest"
                )
            }
            let what = LayoutChange.What.hugepages(node: node, pageBytes: wanted.pageBytes, from: pool.total, to: wanted.count)
            changes.append((shrinks, wanted.pageBytes, LayoutChange(what, workers: liveWorkers(onNode: node), refused: refused)))
        }
        return changes.enumerated().sorted { a, b in
            if a.element.shrinks != b.element.shrinks { return a.element.shrinks }
            if a.element.pageBytes != b.element.pageBytes { return a.element.pageBytes > b.element.pageBytes }
            return a.offset < b.offset
        }.map(\.element.change)
    }

    /// Those that the machine has; what it lacks is said.
    private mutating func declaredPools() -> [(wanted: HugepageCount, pool: HostTopology.Pool)] {
        var found: [(HugepageCount, HostTopology.Pool)] = []
        for wanted in demand.hugepages {
            let size = LayoutText.size(wanted.pageBytes)
            guard let node = topology.node(wanted.node) else {
                if topology.nodes.isEmpty {
                    say(.unknown, .hugepages, "which pages node \(wanted.node) has can't be read")
                } else {
                    let numbers = CPUList(topology.nodes.map(\.number))
                    say(.problem, .nodeAbsent, "hugepages: there is no node \(wanted.node) on this host (it has \(numbers)): correct hosts.HOST.hugepages")
                }
                continue
            }
            guard wanted.count > 0 || node.pools.contains(where: { $0.pageBytes == wanted.pageBytes }) else { continue }
            guard let pool = node.pools.first(where: { $0.pageBytes == wanted.pageBytes }) else {
                if node.mayHave(wanted.pageBytes) {
                    say(.unknown, .hugepages, "how many \(size) pages node \(wanted.node) has can't be read")
                } else {
                    say(
                        .problem, .hugepages,
                        "node \(wanted.node) has no pages of \(size): this kernel or processor doesn't offer that size; declare another "
                            + "(hosts.HOST.hugepages)")
                }
                continue
            }
            found.append((wanted, pool))
        }
        for node in topology.nodes {
            let bytes = demand.hugepages.filter { $0.node == node.number }.reduce(UInt64(0)) { sum, pages in
                let (product, over) = pages.count.multipliedReportingOverflow(by: pages.pageBytes)
                let (total, overflow) = sum.addingReportingOverflow(over ? .max : product)
                return overflow ? .max : total
            }
            guard bytes > 0 else { continue }
            if node.memoryBytes == 0 {
                say(.problem, .nodeMemory, "hugepages: node \(node.number) has no memory of its own: declare them on a node that has (hosts.HOST.hugepages)")
            } else if let memory = node.memoryBytes, bytes > memory {
                say(
                    .problem, .hugepages,
                    "node \(node.number) can't hold the declared hugepages: \(LayoutText.amount(bytes)) of its \(LayoutText.amount(memory)) of memory; "
                        + "declare fewer (hosts.HOST.hugepages)")
            }
        }
        return found
    }

    /// Alive, and with pages or exclusive CPUs there: making a pool compacts the node's memory under them.
    private func liveWorkers(onNode node: Int) -> [ServiceName] {
        let cpus = topology.node(node)?.cpus ?? .none
        return demand.workers.filter { worker in
            worker.pid != nil && (worker.own.intersects(cpus) || worker.hugepages.contains { $0.node == node && $0.count > 0 })
        }.map(\.service)
    }

    /// Whether the workers' pages are there: in what is declared, and in the pool for those that aren't running.
    mutating func checkPages() {
        for key in pageKeys() {
            let size = LayoutText.size(key.pageBytes)
            let users = demand.workers.compactMap { worker -> (worker: LayoutDemand.Worker, count: UInt64)? in
                let count = worker.hugepages.filter { $0.node == key.node && $0.pageBytes == key.pageBytes }.reduce(UInt64(0)) { $0 &+ $1.count }
                return count > 0 ? (worker, count) : nil
            }
            let service = users.count == 1 ? users[0].worker.service : nil
            let who = LayoutText.and(users.map(\.worker.service.raw))
            let need = users.count == 1 ? "needs" : "together need"
            let sum = users.reduce(UInt64(0)) { $0 &+ $1.count }
            let declared = demand.hugepages.filter { $0.node == key.node && $0.pageBytes == key.pageBytes }.map(\.count).max()
            let pool = topology.pool(node: key.node, pageBytes: key.pageBytes)
            if let declared, sum > declared {
                say(
                    .problem, .hugepages, service,
                    "\(who) \(need) \(LayoutText.pages(sum, key.pageBytes)) on node \(key.node), the host declares \(LayoutText.grouped(declared)): raise "
                        + "hosts.HOST.hugepages, or lower \(users.count == 1 ? "its" : "their") own")
                continue
            }
            if declared == nil, !demand.hugepages.isEmpty {
                say(
                    .problem, .hugepages, service,
                    "\(who) \(need) \(LayoutText.pages(sum, key.pageBytes)) on node \(key.node), the host declares none there: add them to "
                        + "hosts.HOST.hugepages")
                continue
            }
            guard let pool else {
                if topology.nodes.isEmpty || topology.node(key.node)?.mayHave(key.pageBytes) == true {
                    say(.unknown, .hugepages, service, "\(who) \(need) \(LayoutText.pages(sum, key.pageBytes)) on node \(key.node), whose pages can't be read")
                } else if declared == nil {
                    say(
                        .problem, .hugepages, service,
                        "\(who) \(need) \(LayoutText.pages(sum, key.pageBytes)) on node \(key.node), which has no pages of \(size): correct "
                            + "\(users.count == 1 ? "its" : "their") hugepages")
                }
                continue
            }
            // What apply reserves comes on top of what is free.
            let coming = declared.map { $0 > pool.total ? $0 - pool.total : 0 } ?? 0
            let stopped = users.filter { $0.worker.pid == nil && !$0.worker.keepsHugepages }
            let wanted = stopped.reduce(UInt64(0)) { $0 &+ $1.count }
            guard wanted > 0 else { continue }
            guard let free = pool.free else {
                say(
                    .unknown, .hugepages, service,
                    "how many \(size) pages are free on node \(key.node) can't be read, and \(who) \(need) \(LayoutText.grouped(wanted))")
                continue
            }
            guard wanted > free &+ coming else { continue }
            let idle = LayoutText.and(stopped.map(\.worker.service.raw))
            say(
                .problem, .hugepages, stopped.count == 1 ? stopped[0].worker.service : nil,
                "\(idle) \(stopped.count == 1 ? "needs" : "together need") \(LayoutText.pages(wanted, key.pageBytes, "free")) on node \(key.node), "
                    + "\(LayoutText.grouped(free)) \(free == 1 ? "is" : "are") free: find who holds the others (files below the hugetlbfs mount), or declare more"
            )
        }
    }

    private func pageKeys() -> [HugepageCount] {
        var keys: [HugepageCount] = []
        for pages in demand.workers.flatMap(\.hugepages) where pages.count > 0 {
            let key = HugepageCount(node: pages.node, pageBytes: pages.pageBytes, count: 0)
            if !keys.contains(key) { keys.append(key) }
        }
        return keys
    }

    // MARK: interrupt lines

    /// Every line of a network interface onto the CPUs declared for it; without any, off the workers' CPUs.
    mutating func planInterrupts(irqbalance: Bool?) -> [LayoutChange] {
        var changes: [LayoutChange] = []
        for (name, interface) in demand.expect.interfaces.sorted(by: { $0.key < $1.key }) {
            guard let cpus = interface.irqCPUs else { continue }
            for worker in demand.workers {
                let both = cpus.intersection(worker.own)
                guard !both.isEmpty else { continue }
                say(
                    .problem, .interrupt, worker.service,
                    "\(worker.service): \(LayoutText.cpus(both)) \(both.cpus.count == 1 ? "is" : "are") declared for the interrupts of \(name) too: change "
                        + "expect.nic.\(name).irq_cpus, or its cpus.exclusive")
            }
            for cpu in cpus.cpus where topology.online.map({ !$0.contains(cpu) }) ?? false {
                say(.problem, .cpuOffline, "expect.nic.\(name).irq_cpus: CPU \(cpu) is offline or not on this host: take it out")
            }
        }
        for line in topology.interruptLines {
            if let change = plan(line) { changes.append(change) }
        }
        if irqbalance == true, !changes.isEmpty, demand.expect.irqbalanceEnabled != true {
            say(.warning, .irqbalance, "irqbalance is running and will move interrupt lines as it likes: systemctl disable --now irqbalance")
        }
        return changes
    }

    private mutating func plan(_ line: HostTopology.InterruptLine) -> LayoutChange? {
        let declared = demand.expect.interfaces[line.interface]?.irqCPUs
        guard let present = line.cpus else {
            if declared != nil || !exclusive.isEmpty { say(.unknown, .interrupt, "where \(line.subject) may be delivered can't be read") }
            return nil
        }
        let disturbed = demand.workers.filter { $0.own.intersects(present) }
        let online = topology.online ?? present.union(declared ?? .none).union(demand.housekeeping ?? .none)
        var target: CPUList
        if let declared {
            guard !present.isSubset(of: declared) else { return nil }
            target = declared.intersection(online)
        } else {
            guard !disturbed.isEmpty else { return nil }
            target = (demand.housekeeping ?? present).subtracting(exclusive).intersection(online)
            if target.isEmpty { target = present.subtracting(exclusive).intersection(online) }
        }
        let what = LayoutChange.What.interrupt(number: line.number, name: line.name, from: present, to: target)
        let who = LayoutText.and(disturbed.map(\.service.raw))
        let where_ = LayoutText.cpus(CPUList(disturbed.flatMap { $0.own.intersection(present).cpus }))
        let live = disturbed.filter { $0.pid != nil }.map(\.service)
        guard !target.isEmpty else {
            let cure = "declare where it may go (expect.nic.\(line.interface).irq_cpus) or hosts.HOST.housekeeping"
            if !disturbed.isEmpty {
                say(
                    .problem, .interrupt, disturbed.count == 1 ? disturbed[0].service : nil,
                    "\(line.subject) is allowed on \(where_), used by \(who), and there is nowhere else to move it: \(cure)")
            }
            return LayoutChange(what, workers: live, refused: "there is no CPU to move it to: \(cure)")
        }
        if !disturbed.isEmpty {
            say(
                .fixable, .interrupt, disturbed.count == 1 ? disturbed[0].service : nil,
                "\(line.subject) is allowed on \(where_), used by \(who): layout apply moves it to \(LayoutText.cpus(target))")
        }
        return LayoutChange(what, workers: live)
    }
}
