/// Decides who runs where on a host, which settings stand in the way, and says why where it can't be.
///
/// Nothing is moved about: the inventory names CPUs, and what it names is checked against the machine and against everybody
/// else's. A fact that is missing makes a question `unknown`, never a plan possible or impossible.
package enum LayoutPlanner {
    package static func plan(
        _ demand: LayoutDemand, on topology: HostTopology, seeing observation: LayoutObservation? = nil
    ) -> LayoutPlan {
        var planning = LayoutPlanning(demand: demand, topology: topology)
        planning.checkTopology()
        planning.checkPools()
        for worker in demand.workers {
            planning.checkClaims(worker)
            planning.checkCores(worker)
            planning.checkIsolation(worker)
            planning.checkNode(worker)
            planning.checkThreads(worker)
        }
        let pages = planning.planHugepages()
        planning.checkPages()
        let lines = planning.planInterrupts(irqbalance: observation?.irqbalanceRunning ?? nil)
        return LayoutPlan(
            placements: demand.workers.map(planning.placement), changes: pages + lines, problems: planning.problems)
    }
}

/// One planning on its way.
struct LayoutPlanning {
    let demand: LayoutDemand
    let topology: HostTopology
    let exclusive: CPUList
    /// Without repeats, in the order found.
    private(set) var problems: [LayoutProblem] = []
    private var seen: Set<LayoutProblem> = []

    init(demand: LayoutDemand, topology: HostTopology) {
        self.demand = demand
        self.topology = topology
        exclusive = demand.exclusive
    }

    mutating func say(
        _ severity: LayoutProblem.Severity, _ slug: LayoutProblem.Slug, _ service: ServiceName?, _ text: String
    ) {
        let problem = LayoutProblem(severity, slug, service, text)
        if seen.insert(problem).inserted { problems.append(problem) }
    }

    mutating func say(_ severity: LayoutProblem.Severity, _ slug: LayoutProblem.Slug, _ text: String) { say(severity, slug, nil, text) }

    func placement(_ worker: LayoutDemand.Worker) -> LayoutPlan.Placement {
        let nodes = Set(worker.own.cpus.map { topology.node(of: $0) })
        let threads = worker.threads.sorted { ($0.key == "*" ? 1 : 0, $0.key) < ($1.key == "*" ? 1 : 0, $1.key) }
        return LayoutPlan.Placement(
            service: worker.service, exclusive: worker.own.isEmpty ? nil : worker.own,
            helpers: worker.helpers ? demand.shared : nil, node: nodes.count == 1 ? nodes.first ?? nil : nil,
            threads: threads.map { name, place in
                switch place {
                case .cpus(let cpus): "\(name): \(cpus)"
                case .helpers: "\(name): helpers"
                }
            },
            pid: worker.pid, problems: problems.filter { $0.service == worker.service && $0.severity == .problem }.map(\.text))
    }

    // MARK: CPUs

    /// What makes questions about every worker unanswerable, once each.
    mutating func checkTopology() {
        guard !exclusive.isEmpty || demand.shared != nil || demand.housekeeping != nil else { return }
        if topology.online == nil {
            say(.unknown, .topology, "which CPUs are online can't be read: nothing about CPUs can be checked")
        }
        guard !exclusive.isEmpty else { return }
        if topology.isolated == nil { say(.unknown, .topology, "which CPUs are isolated can't be read") }
        if topology.nohzFull == nil { say(.unknown, .topology, "which CPUs run without the timer tick (nohz_full) can't be read") }
    }

    /// The CPUs that belong to nobody alone.
    mutating func checkPools() {
        for (name, key, cpus) in [("housekeeping", "housekeeping", demand.housekeeping), ("the shared pool", "shared", demand.shared)] {
            guard let cpus else { continue }
            for (slug, cpu, state) in unusable(cpus) {
                say(.problem, slug, "\(name): CPU \(cpu) \(state): take it out of hosts.HOST.\(key)")
            }
            guard let isolated = topology.isolated?.intersection(cpus), !isolated.isEmpty else { continue }
            // Tasks allowed on several isolated CPUs stay where they were put (isolcpus=domain in kernel-parameters.txt).
            say(
                .warning, .notIsolated,
                "\(name) \(cpus): \(LayoutText.cpus(isolated)) \(isolated.cpus.count == 1 ? "is" : "are") isolated, where the kernel spreads no "
                    + "load: take \(isolated.cpus.count == 1 ? "it" : "them") out of isolcpus=, or out of hosts.HOST.\(key)")
        }
    }

    private func unusable(_ cpus: CPUList) -> [(slug: LayoutProblem.Slug, cpu: Int, state: String)] {
        guard let online = topology.online else { return [] }
        return cpus.cpus.filter { !online.contains($0) }.map { cpu in
            guard let present = topology.present else { return (.cpuOffline, cpu, "is offline or not on this host (online: \(online))") }
            return present.contains(cpu)
                ? (.cpuOffline, cpu, "is offline") : (.cpuAbsent, cpu, "is not on this host (it has \(present))")
        }
    }

    mutating func checkClaims(_ worker: LayoutDemand.Worker) {
        let who = worker.service
        for (slug, cpu, state) in unusable(worker.own) {
            let cure = slug == .cpuOffline ? "bring it online, or give \(who) another" : "give \(who) others (cpus.exclusive)"
            say(.problem, slug, who, "\(who): CPU \(cpu) \(state): \(cure)")
        }
        if let housekeeping = demand.housekeeping?.intersection(worker.own), !housekeeping.isEmpty {
            say(
                .problem, .housekeeping, who,
                "\(who): \(LayoutText.cpus(housekeeping)) \(housekeeping.cpus.count == 1 ? "is a housekeeping CPU" : "are housekeeping CPUs"), where agent "
                    + "and shims run: take \(housekeeping.cpus.count == 1 ? "it" : "them") out of its cpus.exclusive, or out of hosts.HOST.housekeeping")
        }
        if let shared = demand.shared?.intersection(worker.own), !shared.isEmpty {
            say(
                .problem, .shared, who,
                "\(who): \(LayoutText.cpus(shared)) \(shared.cpus.count == 1 ? "is" : "are") in the shared pool, where helpers of others run: take "
                    + "\(shared.cpus.count == 1 ? "it" : "them") out of its cpus.exclusive, or out of hosts.HOST.shared")
        }
        for other in demand.workers where other.service != who {
            let both = other.own.intersection(worker.own)
            guard !both.isEmpty else { continue }
            say(
                .problem, .cpuClaimed, who,
                "\(who): \(LayoutText.cpus(both)) \(both.cpus.count == 1 ? "is" : "are") claimed by \(other.service) too: give one of them "
                    + "\(both.cpus.count == 1 ? "another" : "others")")
        }
        if worker.helpers, demand.shared == nil {
            say(.problem, .shared, who, "\(who): it wants helpers, and the host declares no pool for them: set hosts.HOST.shared")
        }
    }

    /// Nobody else may use the other hardware thread of an exclusive CPU.
    mutating func checkCores(_ worker: LayoutDemand.Worker) {
        let who = worker.service
        let own = worker.own
        var unknown: [Int] = []
        for cpu in own.cpus where topology.online?.contains(cpu) ?? true {
            guard let siblings = topology.cpu(cpu)?.siblings else {
                unknown.append(cpu)
                continue
            }
            for sibling in siblings.cpus where sibling != cpu && !own.contains(sibling) {
                let start = "\(who): CPU \(cpu) shares a core with CPU \(sibling)"
                let owners = demand.owners(of: sibling).map(\.service.raw)
                if !owners.isEmpty {
                    say(
                        .problem, .smtSibling, who,
                        "\(start), which \(LayoutText.and(owners)) \(owners.count == 1 ? "claims" : "claim"): give both to one worker, or switch SMT off")
                } else if demand.housekeeping?.contains(sibling) == true {
                    say(.problem, .smtSibling, who, "\(start), a housekeeping CPU: take \(sibling) out of hosts.HOST.housekeeping, or switch SMT off")
                } else if demand.shared?.contains(sibling) == true {
                    say(.problem, .smtSibling, who, "\(start), which is in the shared pool: take \(sibling) out of hosts.HOST.shared, or switch SMT off")
                } else if let isolated = topology.isolated, !isolated.contains(sibling) {
                    say(
                        .warning, .smtSibling, who,
                        "\(start), which is not isolated, so the kernel runs there what it likes: add \(sibling) to isolcpus=, or switch SMT off")
                }
            }
        }
        if !unknown.isEmpty {
            say(
                .unknown, .smtSibling, who,
                "\(who): with whom \(LayoutText.cpus(CPUList(unknown))) \(unknown.count == 1 ? "shares" : "share") a core can't be read")
        }
    }

    mutating func checkIsolation(_ worker: LayoutDemand.Worker) {
        let who = worker.service
        let own = worker.own.intersection(topology.online ?? worker.own)
        if let isolated = topology.isolated {
            let open = own.subtracting(isolated)
            if !open.isEmpty {
                say(
                    .warning, .notIsolated, who,
                    "\(who): \(LayoutText.cpus(open)) \(open.cpus.count == 1 ? "is" : "are") not isolated, so the kernel runs there what it likes: add "
                        + "\(open) to isolcpus= on the kernel command line")
            }
        }
        if let nohzFull = topology.nohzFull {
            let ticking = own.subtracting(nohzFull)
            if !ticking.isEmpty {
                say(
                    .warning, .nohzFull, who,
                    "\(who): the timer tick interrupts \(LayoutText.cpus(ticking)): add \(ticking) to nohz_full= on the kernel command line")
            }
        }
    }

    mutating func checkNode(_ worker: LayoutDemand.Worker) {
        guard let wanted = worker.node else { return }
        let who = worker.service
        guard !topology.nodes.isEmpty else {
            say(.unknown, .wrongNode, who, "\(who): which CPUs are on node \(wanted) can't be read")
            return
        }
        guard let node = topology.node(wanted) else {
            let numbers = CPUList(topology.nodes.map(\.number))
            say(.problem, .nodeAbsent, who, "\(who): there is no node \(wanted) on this host (it has \(numbers)): correct its cpus.node")
            return
        }
        if node.memoryBytes == 0 {
            say(.problem, .nodeMemory, who, "\(who): node \(wanted) has no memory of its own: take CPUs of a node that has")
        } else if node.memoryBytes == nil {
            say(.unknown, .nodeMemory, who, "\(who): how much memory node \(wanted) has can't be read")
        }
        for cpu in worker.own.cpus where topology.online?.contains(cpu) ?? true {
            guard let there = topology.node(of: cpu) else {
                say(.unknown, .wrongNode, who, "\(who): on which node CPU \(cpu) is can't be read")
                continue
            }
            guard there != wanted else { continue }
            say(
                .problem, .wrongNode, who,
                "\(who): CPU \(cpu) is on node \(there), wanted on node \(wanted): take CPUs of node \(wanted) (\(node.cpus)), or correct its cpus.node")
        }
    }

    mutating func checkThreads(_ worker: LayoutDemand.Worker) {
        let who = worker.service
        let allowed = demand.allowed(worker)
        for (name, place) in worker.threads.sorted(by: { $0.key < $1.key }) {
            switch place {
            case .helpers:
                guard !worker.helpers else { continue }
                say(.problem, .thread, who, "\(who): thread \(name) belongs on helpers, and it has none: set its cpus.helpers: shared")
            case .cpus(let cpus):
                guard let allowed else { continue }
                let outside = cpus.subtracting(allowed)
                guard !outside.isEmpty else { continue }
                say(
                    .problem, .thread, who,
                    "\(who): thread \(name) belongs on \(LayoutText.cpus(outside)), outside the worker's own \(allowed): place it within, or add "
                        + "\(outside) to its cpus.exclusive")
            }
        }
    }
}
