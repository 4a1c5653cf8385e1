/// What an operator named: everything, or the union of tiers, hosts, services and workers.
package struct OperationScope: Equatable, Sendable {
    package var all: Bool
    package var tiers: [TierName]
    package var hosts: [HostName]
    /// `service` or `service@host`, as typed.
    package var services: [String]
    /// Hosts left out by name: an operator knows that they can't be reached.
    package var excludedHosts: [HostName]
    /// `service` or `service@host`: left out by name.
    package var excludedWorkers: [String]

    package init(
        all: Bool = false, tiers: [TierName] = [], hosts: [HostName] = [], services: [String] = [], excludedHosts: [HostName] = [],
        excludedWorkers: [String] = []
    ) {
        self.all = all
        self.tiers = tiers
        self.hosts = hosts
        self.services = services
        self.excludedHosts = excludedHosts
        self.excludedWorkers = excludedWorkers
    }

    /// The workers it names, in inventory order; a name that the inventory does not have is a refusal that lists what
    /// there is.
    ///
    /// `undeclared`: workers that run beside the inventory. Everything, a host, and a worker's own name cover them too; no tier does.
    package func workers(in inventory: Inventory, beside undeclared: [WorkerName] = []) throws(PlanRefusal) -> [WorkerName] {
        let excluded = Set(try excluded(in: inventory, beside: undeclared))
        return try named(in: inventory, beside: undeclared).filter { !excluded.contains($0) }
    }

    /// What it would name but for its exclusions, in inventory order.
    package func excluded(in inventory: Inventory, beside undeclared: [WorkerName] = []) throws(PlanRefusal) -> [WorkerName] {
        let excluded = try Self.workers(excludedWorkers, in: inventory, beside: undeclared)
        return try named(in: inventory, beside: undeclared).filter { excluded.contains($0) || excludedHosts.contains($0.host) }
    }

    private func named(in inventory: Inventory, beside undeclared: [WorkerName]) throws(PlanRefusal) -> [WorkerName] {
        for tier in tiers where !inventory.tiers.contains(where: { $0.name == tier }) {
            throw Self.unknown("tier", tier.raw, inventory.tiers.map(\.name.raw))
        }
        for host in hosts + excludedHosts where inventory.host(host) == nil && !undeclared.contains(where: { $0.host == host }) {
            throw Self.unknown("host", host.raw, inventory.hosts.map(\.name.raw))
        }
        let named = try Self.workers(services, in: inventory, beside: undeclared)
        guard all || !tiers.isEmpty || !hosts.isEmpty || !services.isEmpty else {
            throw PlanRefusal(slug: "bad-request", what: "REFUSED  nothing was named", why: "", then: "Name a service, --tier, --host, or --all")
        }
        // Whoever wrote both may have meant the lesser.
        guard !all || (tiers.isEmpty && hosts.isEmpty && services.isEmpty) else {
            throw PlanRefusal(
                slug: "bad-request", what: "REFUSED  everything was named, and parts of it beside it", why: "Nothing was done.",
                then: "Name all, or the services, tiers and hosts that are meant; to leave some out: --except WORKER, --exclude-host HOST")
        }
        return (inventory.workers + undeclared).filter { worker in
            let tier = inventory.service(worker.service)?.tier
            return all || named.contains(worker) || hosts.contains(worker.host) || tier.map(tiers.contains) == true
        }
    }

    private static func workers(_ names: [String], in inventory: Inventory, beside undeclared: [WorkerName]) throws(PlanRefusal) -> Set<WorkerName> {
        var found: Set<WorkerName> = []
        let declared = Set(inventory.workers)
        for text in names {
            let ofService = (inventory.service(ServiceName(text)) == nil ? undeclared : []).filter { $0.service.raw == text }
            if let worker = WorkerName(text), declared.contains(worker) || undeclared.contains(worker) {
                found.insert(worker)
            } else if let service = inventory.service(ServiceName(text)) {
                found.formUnion(service.hosts.map { WorkerName(service.name, on: $0) } + undeclared.filter { $0.service == service.name })
            } else if !ofService.isEmpty {
                found.formUnion(ofService)
            } else {
                throw unknown(text.contains("@") ? "worker" : "service", text, inventory.services.map(\.name.raw))
            }
        }
        return found
    }

    /// Whether a worker is excluded by its name, its service's or its host's.
    package func leavesOut(_ worker: WorkerName) -> Bool {
        excludedHosts.contains(worker.host) || excludedWorkers.contains { $0 == worker.description || $0 == worker.service.raw }
    }

    /// Whether a worker was named by itself or by its service, not by a tier, a host or everything.
    package func names(_ worker: WorkerName) -> Bool {
        services.contains { WorkerName($0) == worker || $0 == worker.service.raw }
    }

    /// True if a worker of any host falls under it by its service, or its service's tier, wherever that runs.
    package var reachesAnyHost: Bool { all || !tiers.isEmpty || services.contains { WorkerName($0) == nil } }

    private static func unknown(_ kind: String, _ name: String, _ known: [String]) -> PlanRefusal {
        PlanRefusal(
            slug: kind == "worker" ? "unknown-service" : "unknown-\(kind)", what: "REFUSED  no \(kind) is called \(name)",
            why: "The inventory has: \(known.joined(separator: ", "))", then: "Nothing was done. trading status shows what there is")
    }
}

/// What the planner knows of a worker now.
package struct ObservedWorker: Equatable, Sendable {
    package enum State: String, Sendable {
        case unknown, stopped, starting, running, stopping, held, failed, backoff
    }

    package var state: State
    package var quiesced: Bool
    /// A person has locked it: no plan acts on it.
    package var lock: Lock?
    /// Nil: its agent is older, or has not told it.
    package var lastLaunch: LaunchMark?

    /// In words for people: the time of day is the fleet's.
    package struct Lock: Equatable, Sendable, CustomStringConvertible {
        package var by: String
        package var when: String
        package var text: String

        package init(by: String, when: String, text: String) {
            self.by = by
            self.when = when
            self.text = text
        }

        package var description: String { "by \(by)\(when.isEmpty ? "" : " \(when)"): \"\(text)\"" }
    }

    package init(state: State, quiesced: Bool = false, lock: Lock? = nil, lastLaunch: LaunchMark? = nil) {
        self.state = state
        self.quiesced = quiesced
        self.lock = lock
        self.lastLaunch = lastLaunch
    }

    /// It has ended by itself; the last order was to run it.
    package var endedUnwanted = false

    /// Nothing of it runs, and only an order starts it.
    package var isDown: Bool { state == .stopped || state == .failed }

    /// Whether a process may exist.
    package var mayRun: Bool {
        switch state {
        case .stopped, .failed, .backoff: false
        case .unknown, .starting, .running, .stopping, .held: true
        }
    }
}

/// The fleet as the planner sees it at one moment.
package struct ObservedFleet: Equatable, Sendable {
    package var workers: [WorkerName: ObservedWorker]
    /// Hosts that are reporting now.
    package var reporting: Set<HostName>
    /// For hosts that are not: since when, for people.
    package var silence: [HostName: String]
    /// Reporting hosts whose agents don't go by the present inventory: what they hold instead, for people.
    package var otherPart: [HostName: String]
    /// Reporting hosts whose agents take no orders from this coordinator: why, for people.
    package var refusing: [HostName: String] = [:]
    /// Hosts whose sessions carry no start, for a certificate or a list that is past its date: why, for people.
    package var startless: [HostName: String] = [:]
    /// Hosts that the inventory doesn't have and whose agents dial in, with the fleet's certificates.
    package var outsiders: [HostName] = []
    /// Workers that ran by the last word of hosts that are silent now, and that the inventory no longer places there, in order.
    package var unheard: [WorkerName] = []
    /// Hosts that report more workers that may run beside the inventory than are kept, and how many are not.
    package var undeclaredCut: [HostName: Int] = [:]
    /// Hosts of which two instances live, and how they were told apart, for people.
    package var contested: [HostName: String] = [:]

    package init(
        workers: [WorkerName: ObservedWorker], reporting: Set<HostName>, silence: [HostName: String] = [:], otherPart: [HostName: String] = [:]
    ) {
        self.workers = workers
        self.reporting = reporting
        self.silence = silence
        self.otherPart = otherPart
    }

    /// For people.
    package static func words(outsider host: HostName) -> String {
        "\(host) is not in the inventory and its agent has dialled in: what runs there is not covered. Declare it; or end its agent, revoke its certificate, then: trading hosts settle \(host) --reason …"
    }

    /// For people.
    package static func words(unheard worker: WorkerName) -> String {
        "\(worker) ran, or was about to, when \(worker.host) was last heard, and the inventory no longer has it there: whether it runs is not known. If it doesn't: trading hosts settle \(worker.host) --reason …"
    }

    /// For people.
    package static func words(cut count: Int, on host: HostName) -> String {
        "\(host) runs \(count) undeclared worker\(count == 1 ? "" : "s") more than are kept: what they are is not known here. trading --local status shows them there"
    }

    /// What a stop of everything but these hosts can't tell of, one sentence each, in order: it makes such a stop at most unproven (law 6).
    package func unseen(in inventory: Inventory, without excluded: Set<HostName>) -> [String] {
        // Silent hosts with workers in scope refuse the plan, or hold it; one without any may run what the inventory has lost.
        let used = Set(inventory.workers.map(\.host)).union(excluded)
        let silent = inventory.hosts.map(\.name).filter { !used.contains($0) && !reporting.contains($0) }
        return silent.map { "\($0) does not report: what may run there beside the inventory is not known. Without it: --exclude-host \($0)" }
            + cut(without: excluded) + outsiders.filter { !excluded.contains($0) }.map(Self.words(outsider:))
    }

    /// Hosts of `these`, nil being any, that report more running workers beside the inventory than are kept, one sentence each: what is named may be
    /// among the others.
    package func cut(on these: Set<HostName>? = nil, without excluded: Set<HostName>) -> [String] {
        undeclaredCut.filter { these?.contains($0.key) != false && !excluded.contains($0.key) }.sorted { $0.key < $1.key }
            .map { Self.words(cut: $0.value, on: $0.key) }
    }

    /// What a stop of a part, by tier or service, can't tell of: workers of a tier that nobody knows any more, and hosts outside the inventory.
    package func untold(of scope: OperationScope, beside: [WorkerName], named: Set<WorkerName>, in inventory: Inventory) -> [String] {
        let lost = scope.tiers.isEmpty ? [] : beside.filter { inventory.service($0.service) == nil && !named.contains($0) && !scope.leavesOut($0) }
        return lost.map { "\($0) runs and is no longer in the inventory: it may be of a tier that is named. trading stop \($0) --reason …" }
            + (scope.reachesAnyHost ? outsiders.filter { !scope.excludedHosts.contains($0) }.map(Self.words(outsider:)) : [])
    }

    /// Hosts of these workers that go by another part of the inventory, one sentence each: they stop by that, and what they look at is that one's.
    package func otherParts(of workers: [WorkerName]) -> [String] {
        Set(workers.map(\.host)).sorted().compactMap { host in otherPart[host].map { "\(host) \($0): it stops and is looked at by that" } }
    }

    /// Covered workers that were launched again after the run looked at them last, one sentence each.
    package func launchedSince(_ launches: [WorkerName: LaunchHistory], in plan: Plan) -> [String] {
        plan.covered.filter { worker in
            guard let last = workers[worker]?.lastLaunch, let seen = launches[worker]?.mark, last.journal == seen.journal else { return false }
            return last.number > seen.number
        }.map { "\($0) was launched again while the stop was under way" }
            + plan.covered.filter { worker in
                guard let now = workers[worker]?.lastLaunch?.journal, let seen = launches[worker]?.journal else { return false }
                return !now.isEmpty && !seen.isEmpty && now != seen
            }.map { "\($0): its agent's journal was begun anew while the stop was under way; what was launched meanwhile is not known" }
    }

    /// The same at the end of a stop, with what has come up meanwhile beside its plan.
    package func unseen(after plan: Plan, in inventory: Inventory) -> [String] {
        guard plan.isOfEverything else { return cut(on: plan.cutHosts, without: plan.excludedHosts) }
        let known = plan.beside.union(plan.covered).union(plan.excluded)
        let new = undeclared(in: inventory).filter { !known.contains($0) && !plan.excludedHosts.contains($0.host) }
        return unseen(in: inventory, without: plan.excludedHosts) + new.map { "\($0) is not in the inventory and came up while everything was being stopped" }
    }

    /// Workers that may run, or start again by themselves, and that the inventory doesn't have, in order.
    package func undeclared(in inventory: Inventory) -> [WorkerName] {
        let declared = Set(inventory.workers)
        return workers.keys.filter { !declared.contains($0) && (state($0).mayRun || state($0).state == .backoff) }.sorted()
    }

    package func state(_ worker: WorkerName) -> ObservedWorker {
        reporting.contains(worker.host) ? workers[worker] ?? ObservedWorker(state: .unknown) : ObservedWorker(state: .unknown)
    }
}
