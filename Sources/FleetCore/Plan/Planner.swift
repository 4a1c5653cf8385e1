/// Computes plans from the inventory and the present state. It chooses everything here, so that a run has nothing to choose.
package struct Planner: Sendable {
    package let inventory: Inventory
    package let fleet: ObservedFleet

    package init(inventory: Inventory, fleet: ObservedFleet) {
        self.inventory = inventory
        self.fleet = fleet
    }

    package func plan(_ kind: RunKind, _ scope: OperationScope) throws(PlanRefusal) -> Plan {
        let beside = fleet.undeclared(in: inventory)
        let all = try scope.workers(in: inventory, beside: beside + fleet.unheard)
        let excluded = try scope.excluded(in: inventory, beside: beside + fleet.unheard)
        // Of which tier one was that the inventory no longer has is not known: it may be of any that is named.
        let ofSomeTier = fleet.unheard.filter { !scope.tiers.isEmpty && inventory.service($0.service) == nil && !scope.leavesOut($0) }
        let unheard = Set(all.filter(fleet.unheard.contains) + ofSomeTier).sorted()
        let named = all.filter { !unheard.contains($0) }
        // What nobody declares can be stopped, and nothing else.
        let covered = kind == .stop ? named : named.filter { !beside.contains($0) }
        let untold = scope.all ? [] : fleet.untold(of: scope, beside: beside, named: Set(named), in: inventory)
        if named.isEmpty, let worker = unheard.first {
            throw PlanRefusal(
                slug: "host-unknown", what: "REFUSED  \(kind.rawValue): \(worker.host) does not report",
                why: "\(ObservedFleet.words(unheard: worker)) Nothing was done.",
                then: inventory.host(worker.host) == nil
                    ? "Declare \(worker.host) again; or on \(worker.host) itself: trading --local stop \(worker.service) --reason …"
                    : "When \(worker.host) is back: trading stop \(worker) --reason …")
        }
        if covered.isEmpty, let worker = named.first {
            throw PlanRefusal(
                slug: "not-declared", what: "REFUSED  \(kind.rawValue): \(worker) is no longer in the inventory",
                why: "It can be stopped, nothing else. Nothing was done.", then: "trading stop \(worker) --reason …")
        }
        guard !covered.isEmpty || excluded.isEmpty else {
            throw PlanRefusal(
                slug: "nothing-to-do", what: "REFUSED  \(kind.rawValue): nothing is left of what was named", why: "All of it is excluded by name.",
                then: "Nothing was done. trading status shows what there is")
        }
        if let host = covered.map(\.host).first(where: { fleet.contested[$0] != nil }) {
            throw PlanRefusal(
                slug: "host-contested", what: "REFUSED  \(kind.rawValue): two instances of \(host) live",
                why: "\(fleet.contested[host] ?? ""). What either of them runs is not known of the other. Nothing was done.",
                then: "End one of them, then: trading hosts settle \(host) --reason …    Without it: add --exclude-host \(host)")
        }
        let silent = Set(covered.map(\.host)).subtracting(fleet.reporting).sorted()
        if let host = silent.first {
            let affected = covered.filter { $0.host == host }.map(\.service.raw).joined(separator: ", ")
            throw PlanRefusal(
                slug: "host-unknown",
                what: "REFUSED  \(kind.rawValue): \(host) \(fleet.silence[host] ?? "has not answered")",
                why: "\(affected) may be running there. Nothing was done."
                    + (silent.count > 1 ? " Also silent: \(silent.dropFirst().map(\.raw).joined(separator: ", "))" : ""),
                then: "When it is back, order again; without it: add --exclude-host \(host) (its workers are then not covered)")
        }
        if let host = covered.map(\.host).first(where: { fleet.refusing[$0] != nil }) {
            throw PlanRefusal(
                slug: "other-coordinator", what: "REFUSED  \(kind.rawValue): \(host) takes no orders from here",
                why: "\(fleet.refusing[host] ?? ""). Nothing was done.",
                then: "trading status \(host) shows whom it follows; without it: add --exclude-host \(host)")
        }
        // What can't be started again must not be stopped for it.
        if kind == .start || kind == .restart, let host = covered.map(\.host).first(where: { fleet.startless[$0] != nil }) {
            throw PlanRefusal(
                slug: "restricted", what: "REFUSED  \(kind.rawValue): nothing can be started on \(host)",
                why: "\(fleet.startless[host] ?? ""). Nothing was done.",
                then: "trading status names whose date is past    Without it: add --exclude-host \(host)")
        }
        try parts(kind, covered)
        let locked = try locks(kind, covered, scope)
        let workers = covered.filter { locked[$0] == nil }
        let copies = try moved(kind, workers, beside, scope)
        var steps = StepList()
        var notes = covered.compactMap { worker in
            locked[worker].map { "\(Self.leftAlone)\(worker) (\(fleet.state(worker).state.rawValue), locked \($0))" }
        }
        notes += copies.map { "\($0) may run beside what is started" }
        if kind == .start {
            notes += fleet.outsiders.map { "\($0) is not in the inventory and its agent has dialled in: what is started may run there already" }
        }
        notes += covered.filter(beside.contains).map { "\($0) is no longer in the inventory and stops last" }
        steps.add("check", "\(Set(workers.map(\.host)).count) agents, \(workers.count) workers", .check)
        let acting: [WorkerName]
        var refusal: PlanRefusal?
        let stops = kind == .stop || kind == .restart
        let toStop = workers.filter { !isStopped($0) }
        let stopping = Set(toStop)
        // Whatever the plan doesn't act on is looked at, what a person has locked too.
        let before = stops ? covered.filter { !stopping.contains($0) } : []
        let ends = stops ? otherEnds(of: workers, scope: covered) : []
        switch kind {
        case .stop:
            acting = toStop
            addStop(toStop, of: workers, before: before, ends: ends, to: &steps, &notes)
        case .start: acting = addStart(workers, running: [], to: &steps, &notes)
        case .restart:
            acting = toStop
            addStop(toStop, of: workers, before: before, ends: ends, to: &steps, &notes)
            _ = addStart(workers, running: acting, to: &steps, &notes)
        case .quiesce:
            acting = addQuiesce(workers, gates: false, to: &steps)
            let others = workers.filter { !acting.contains($0) && fleet.state($0).mayRun && !fleet.state($0).quiesced }
            if acting.isEmpty, !others.isEmpty {
                refusal = PlanRefusal(
                    slug: "no-quiesce", what: "REFUSED  quiesce: nothing of what was named can be quiesced",
                    why: "\(Self.list(others)): no quiesce is declared, or it is not ready. Nothing was done.",
                    then: "Declare quiesce: in the inventory (trading explain no-quiesce), or stop it: trading stop …")
            }
            notes += others.map { "\($0) is not quiesced and runs on: it declares no quiesce, or is not ready" }
        case .resume:
            acting = workers.filter { fleet.state($0).state == .running && inventory.service($0.service)?.resume != nil }
            for tier in inventory.tiers.reversed() {
                let these = acting.filter { tierOf($0) == tier.name }
                if !these.isEmpty { steps.add("resume", Self.list(these), .resume(these)) }
            }
        }
        var plan = Plan(
            kind: kind, steps: steps.steps, workers: acting, notes: notes, inventoryDigest: inventory.digest, locked: locked,
            notCovered: excluded.map { "\($0) (\(fleet.state($0).state.rawValue)) is excluded by name" }, stoppedBefore: before, otherEnds: ends,
            unseen: stops
                ? (scope.all
                    ? fleet.unseen(in: inventory, without: Set(scope.excludedHosts)) : fleet.cut(on: cutHosts(scope), without: Set(scope.excludedHosts)))
                    + unheard.map(ObservedFleet.words(unheard:)) + untold
                    + fleet.otherParts(of: covered) : [],
            isOfEverything: scope.all, excluded: excluded,
            excludedHosts: Set(scope.excludedHosts), beside: Set(beside), refusal: refusal)
        plan.cutHosts = cutHosts(scope)
        if stops { plan.quiescedBefore = Set(acting.filter { fleet.state($0).quiesced }) }
        return plan
    }

    /// Where a worker that is not known here would be in the scope: on a host that is named, or anywhere by its service or its service's tier; nil.
    private func cutHosts(_ scope: OperationScope) -> Set<HostName>? {
        scope.reachesAnyHost ? nil : Set(scope.hosts)
    }

    /// Stopped workers outside the scope at the other end of a stream that ends in it.
    private func otherEnds(of workers: [WorkerName], scope: [WorkerName]) -> [WorkerName] {
        let services = Set(workers.map(\.service))
        let ends = inventory.streams.map(\.services).filter { $0.contains(where: services.contains) }.joined().flatMap(inventory.workers(of:))
        let inScope = Set(scope)
        return Set(ends).filter { !inScope.contains($0) && fleet.state($0).isDown }.sorted()
    }

    // MARK: Parts

    /// Refuses where an agent can't do what is meant: it has been told of no such worker, or would start it by another declaration.
    ///
    /// Left out it would be success with nothing done.
    private func parts(_ kind: RunKind, _ workers: [WorkerName]) throws(PlanRefusal) {
        let starts = kind == .start || kind == .restart
        let unfit = workers.filter { fleet.workers[$0] == nil || (starts && fleet.otherPart[$0.host] != nil) }
        guard let host = unfit.first?.host else { return }
        let others = Set(unfit.map(\.host)).subtracting([host]).sorted()
        let unheard = workers.filter { $0.host == host && fleet.workers[$0] == nil }.map(\.service.raw)
        throw PlanRefusal(
            slug: "no-part", what: "REFUSED  \(kind.rawValue): \(host) \(fleet.otherPart[host] ?? "does not report all of its workers")",
            why: (unheard.isEmpty ? "" : "Its agent says nothing of \(unheard.joined(separator: ", ")). ") + "Nothing was done."
                + (others.isEmpty ? "" : " The same: \(others.map(\.raw).joined(separator: ", "))"),
            then: "An agent takes its part within a second or says in its log why not: order again, or add --exclude-host \(host)")
    }

    // MARK: Second copies

    /// Refuses to start a service that the inventory has on one host while a worker of it may run on another, where it has it no more: the
    /// two would trade beside each other. Returns the workers that may run beside what is started and are no reason to refuse: they are
    /// excluded by name, or the inventory has their service on several hosts anyway.
    private func moved(_ kind: RunKind, _ workers: [WorkerName], _ beside: [WorkerName], _ scope: OperationScope) throws(PlanRefusal) -> [WorkerName] {
        guard kind == .start || kind == .restart else { return [] }
        // A restart of what runs makes no copy of it.
        let services = Set(workers.filter { !fleet.state($0).mayRun }.map(\.service))
        let copies = (beside + fleet.unheard).filter { services.contains($0.service) }.sorted()
        guard let other = copies.first(where: { !scope.leavesOut($0) && inventory.workers(of: $0.service).count == 1 }) else { return copies }
        let isHeard = beside.contains(other)
        throw PlanRefusal(
            slug: "moved",
            what: "REFUSED  \(kind.rawValue): \(other.service) \(isHeard ? "runs" : "may still run") on \(other.host), where the inventory no longer has it",
            why: "It would run twice. Nothing was done."
                + (isHeard ? "" : " \(other.host) \(fleet.silence[other.host] ?? "is not in the inventory and does not report")."),
            then: (isHeard
                ? "trading stop \(other) --reason …, then the same again"
                : "When \(other.host) is back: trading stop \(other) --reason …    If nothing of it runs: trading hosts settle \(other.host) --reason …")
                + "    Without \(other.service): add --except \(other.service)    Although it may run: add --except \(other)")
    }

    // MARK: Locks

    /// How a note begins that says what the plan does not act on.
    package static let leftAlone = "left alone: "

    /// The locked workers that the plan leaves alone. A lock refuses what names its worker, and a stop that would have to
    /// stop it: what lies behind would then end before it.
    private func locks(_ kind: RunKind, _ workers: [WorkerName], _ scope: OperationScope) throws(PlanRefusal) -> [WorkerName: ObservedWorker.Lock] {
        let locked = workers.filter { fleet.state($0).lock != nil }
        let inTheWay = locked.filter { worker in
            switch kind {
            case .stop: fleet.state(worker).mayRun
            case .restart: fleet.state(worker).mayRun || scope.names(worker)
            case .start, .quiesce, .resume: scope.names(worker)
            }
        }
        if let first = inTheWay.first, let lock = fleet.state(first).lock {
            let others = inTheWay.dropFirst().map { worker in "\(worker) \(fleet.state(worker).lock.map(String.init(describing:)) ?? "")" }
            let nothing = [.start, .resume].contains(kind) ? "Nothing was \(kind == .start ? "started" : "resumed")." : "Nothing was done."
            throw PlanRefusal(
                slug: "locked", what: "REFUSED  \(first) is locked\(others.isEmpty ? "" : ", and \(others.count) more")",
                why: (["\(lock). \(nothing)"] + (others.isEmpty ? [] : ["Locked too: \(others.joined(separator: "; "))"])).joined(separator: "\n"),
                then: "trading unlock \(inTheWay.map(\.description).joined(separator: " ")) --reason \"…\"\(told(inTheWay))"
                    + (scope.names(first) ? "" : "    Without: add \(inTheWay.map { "--except \($0)" }.joined(separator: " "))"))
        }
        return Dictionary(uniqueKeysWithValues: locked.compactMap { worker in fleet.state(worker).lock.map { (worker, $0) } })
    }

    /// `    (tells desk)`: the receivers that hear of these workers' unlocking.
    private func told(_ workers: [WorkerName]) -> String {
        let people = workers.compactMap { fleet.state($0).lock?.by }
        let receivers = inventory.alerts.filter { alert in people.contains { alert.takes(.unlocked, page: $0) } }.map(\.name)
        return receivers.isEmpty ? "" : "    (tells \(receivers.joined(separator: ", ")))"
    }

    // MARK: Stop

    /// What has ended by itself is stopped all the same: from then on it is what an order wanted.
    private func isStopped(_ worker: WorkerName) -> Bool { fleet.state(worker).state == .stopped && !fleet.state(worker).endedUnwanted }

    private func addStop(
        _ acting: [WorkerName], of workers: [WorkerName], before: [WorkerName], ends: [WorkerName], to steps: inout StepList, _ notes: inout [String]
    ) {
        let looked = before + ends
        for worker in workers where isStopped(worker) { notes.append("\(worker) was stopped before") }
        noteDependents(of: acting, &notes)
        steps.add("capture", "counts, processes", .capture)
        _ = addQuiesce(acting, gates: true, to: &steps)
        var stopped: Set<ServiceName> = []
        var pendingDrains = drains(acting, &notes)
        for tier in inventory.tiers.map(\.name) + [.undeclared] {
            let these = acting.filter { tierOf($0) == tier }
            for layer in layers(these.map(\.service)) {
                for drain in pendingDrains where layer.contains(drain.consumer) && drain.producers.isSubset(of: stopped) {
                    steps.add("gate", "stream \(drain.stream) drained by \(drain.consumer)", .drained(drain.stream, drain.consumer))
                }
                pendingDrains.removeAll { layer.contains($0.consumer) }
                let layerWorkers = these.filter { layer.contains($0.service) }
                steps.add(tier.raw, stopText(layerWorkers), .stop(tier, layerWorkers))
                stopped.formUnion(layer)
            }
        }
        if !acting.isEmpty || !looked.isEmpty {
            steps.add("verify", "every process tree empty", .verify(acting + looked))
            steps.add("ledger", "two equal readings of every stream, then the balance", .ledger)
            steps.add("snapshot", "state files, counters, exits", .snapshot(acting + before))
            steps.add("verify", "nothing has come up since", .verify(acting + looked))
        }
    }

    private func noteDependents(of acting: [WorkerName], _ notes: inout [String]) {
        let stopping = Set(acting.map(\.service))
        for service in inventory.services where !stopping.contains(service.name) {
            guard inventory.workers(of: service.name).contains(where: { fleet.state($0).mayRun }) else { continue }
            let needed = service.needs.filter(stopping.contains)
            let fed = inventory.streams.filter { stream in
                stream.to.contains { $0.service == service.name } && stream.from.contains(where: stopping.contains)
            }
            if !needed.isEmpty {
                notes.append("\(service.name) needs \(needed.map(\.raw).joined(separator: ", ")) and is left running")
            } else if !fed.isEmpty {
                notes.append("\(service.name) reads \(fed.map(\.name.raw).joined(separator: ", ")) and is left running")
            }
        }
    }

    private func addQuiesce(_ workers: [WorkerName], gates: Bool, to steps: inout StepList) -> [WorkerName] {
        var acting: [WorkerName] = []
        for tier in inventory.tiers {
            let running = workers.filter { tierOf($0) == tier.name && [.running, .starting].contains(fleet.state($0).state) }
            let these = running.filter { inventory.service($0.service)?.quiesce != nil && fleet.state($0).state == .running }
            if !these.isEmpty {
                steps.add("quiesce", Self.list(these), .quiesce(these))
                acting += these
            }
            guard gates else { continue }
            var asked: Set<GateQuestion> = []
            let questions = running.flatMap { worker in gateQuestions(worker) }.filter { asked.insert($0).inserted }
            if !questions.isEmpty {
                let words = questions.map { "\($0.gate) = \($0.wants)" }
                steps.add("gate", words.joined(separator: ", "), .gate(questions))
            }
        }
        return acting
    }

    private func gateQuestions(_ worker: WorkerName) -> [GateQuestion] {
        guard let service = inventory.service(worker.service) else { return [] }
        return service.gates.flatMap { gate -> [GateQuestion] in
            let hosts = gate.at.flatMap { inventory.service($0)?.hosts } ?? [worker.host]
            // Where that service is stopped nothing can answer; where it is stopped everywhere, the gate itself must say so.
            let live = gate.at.map { at in hosts.filter { fleet.state(WorkerName(at, on: $0)).mayRun } } ?? hosts
            return (live.isEmpty ? hosts : live).map {
                GateQuestion(owner: service.name, gate: gate.name, host: $0, wait: gate.wait, wants: gate.probe.equals)
            }
        }
    }

    private struct Drain {
        let stream: StreamName
        let consumer: ServiceName
        let producers: Set<ServiceName>
    }

    /// The drains to wait for: both ends are stopped by this plan, and what is left between them can be measured. What can't
    /// be is noted, never waited for: it would not end.
    private func drains(_ acting: [WorkerName], _ notes: inout [String]) -> [Drain] {
        let stopping = Set(acting.map(\.service))
        var drains: [Drain] = []
        for stream in inventory.streams {
            let producers = Set(stream.from).intersection(stopping)
            let others = stream.from.flatMap(inventory.workers(of:)).filter { !acting.contains($0) }
            for consumer in stream.to where consumer.policy == .drain && stopping.contains(consumer.service) && !producers.isEmpty {
                if let running = others.first(where: { fleet.state($0).mayRun }) {
                    notes.append("\(stream.name) is not drained for \(consumer.service): \(running) is left running and goes on filling it")
                } else if !Self.isMeasurable(stream, consumer) {
                    notes.append("\(stream.name) can't be shown drained for \(consumer.service): it declares no counters of both ends")
                } else {
                    drains.append(Drain(stream: stream.name, consumer: consumer.service, producers: producers))
                }
            }
        }
        return drains
    }

    /// Whether it can be told that nothing is left of a stream for a consumer.
    static func isMeasurable(_ stream: StreamSpec, _ consumer: ConsumerSpec) -> Bool {
        if case .redis = stream.via { return true }
        guard stream.produced != nil, case .counter? = consumer.applied else { return false }
        return true
    }

    /// Services of one tier in stop order, what may stop together in one layer: a `buffer` consumer before its producer, a
    /// `drain` consumer after it, what needs another before it.
    package func layers(_ services: [ServiceName]) -> [Set<ServiceName>] {
        var left = Set(services)
        var before: [ServiceName: Set<ServiceName>] = [:]  // what must have stopped before the key
        for stream in inventory.streams {
            for consumer in stream.to where left.contains(consumer.service) {
                for producer in stream.from where left.contains(producer) && producer != consumer.service {
                    switch consumer.policy {
                    case .buffer: before[producer, default: []].insert(consumer.service)
                    case .drain: before[consumer.service, default: []].insert(producer)
                    case .discard: break
                    }
                }
            }
        }
        for service in inventory.services where left.contains(service.name) {
            for needed in service.needs where left.contains(needed) { before[needed, default: []].insert(service.name) }
        }
        var layers: [Set<ServiceName>] = []
        while !left.isEmpty {
            let ready = left.filter { (before[$0] ?? []).isDisjoint(with: left) }
            precondition(!ready.isEmpty, "the inventory was checked for cycles, yet \(left) wait for each other")
            layers.append(ready)
            left.subtract(ready)
        }
        return layers
    }

    // MARK: Start

    private func addStart(_ workers: [WorkerName], running: [WorkerName], to steps: inout StepList, _ notes: inout [String]) -> [WorkerName] {
        let toStart = workers.filter { worker in
            running.contains(worker) || !fleet.state(worker).mayRun
        }
        if running.isEmpty {
            for worker in workers where !toStart.contains(worker) { notes.append("\(worker) is \(fleet.state(worker).state.rawValue) already") }
        }
        guard !toStart.isEmpty else { return [] }
        steps.add("baseline", "counts of the streams that stand still", .baseline)
        for tier in inventory.tiers.reversed() {
            let these = toStart.filter { tierOf($0) == tier.name }
            for layer in layers(these.map(\.service)).reversed() {
                let layerWorkers = these.filter { layer.contains($0.service) }
                steps.add(tier.name.raw, "start \(Self.list(layerWorkers)), wait for ready", .start(tier.name, layerWorkers))
            }
        }
        return toStart
    }

    // MARK: Words

    private func tierOf(_ worker: WorkerName) -> TierName? {
        guard let service = inventory.service(worker.service), service.hosts.contains(worker.host) else { return .undeclared }
        return service.tier
    }

    private func stopText(_ workers: [WorkerName]) -> String {
        let stops = Set(workers.compactMap { inventory.service($0.service)?.stop }.map { "\($0.signal) \($0.grace.words), then \($0.then.rawValue)" })
        return Self.list(workers) + "  " + stops.sorted().joined(separator: " | ")
    }

    static func list(_ workers: [WorkerName]) -> String { workers.map(\.description).joined(separator: " + ") }

    private struct StepList {
        var steps: [PlanStep] = []

        mutating func add(_ label: String, _ text: String, _ what: PlanStep.What) {
            steps.append(PlanStep(number: steps.count + 1, label: label, text: text, what: what))
        }
    }
}
