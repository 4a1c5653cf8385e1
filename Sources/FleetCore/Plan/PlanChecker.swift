/// Checks a plan against the laws, by another way of thinking than the planner's: from the finished steps alone, and from
/// what the inventory says about each pair of services.
package struct PlanChecker: Sendable {
    package let inventory: Inventory
    package let plan: Plan
    /// By the reports that the plan was made from.
    package let locked: Set<WorkerName>

    package init(inventory: Inventory, plan: Plan, locked: Set<WorkerName> = []) {
        self.inventory = inventory
        self.plan = plan
        self.locked = locked
    }

    /// One sentence for each rule that does not hold; empty for a sound plan.
    package func violations() -> [String] {
        numbering() + coverage() + locks() + tierOrder() + streamOrder() + needsOrder() + before() + after()
    }

    // MARK: What the plan says

    private func isStop(_ step: PlanStep) -> Bool { if case .stop = step.what { true } else { false } }

    private func isStart(_ step: PlanStep) -> Bool { if case .start = step.what { true } else { false } }

    private func step(stopping worker: WorkerName) -> Int? {
        plan.steps.first { if case .stop(_, let workers) = $0.what { workers.contains(worker) } else { false } }?.number
    }

    private func step(starting worker: WorkerName) -> Int? {
        plan.steps.first { if case .start(_, let workers) = $0.what { workers.contains(worker) } else { false } }?.number
    }

    private func workers(of service: ServiceName) -> [WorkerName] {
        (inventory.service(service)?.hosts ?? []).map { WorkerName(service, on: $0) }
    }

    private func rank(_ tier: TierName?) -> Int {
        tier == .undeclared ? inventory.tiers.count : inventory.tiers.firstIndex { $0.name == tier } ?? -1
    }

    // MARK: Rules

    private func numbering() -> [String] {
        var found: [String] = []
        if plan.steps.map(\.number) != Array(1..<plan.steps.count + 1) { found.append("the steps are not numbered 1 to \(plan.steps.count)") }
        if plan.steps.first?.what != .check { found.append("the first step is not the check") }
        let allowed: (PlanStep) -> Bool = { step in
            switch (plan.kind, step.what) {
            case (_, .check), (.quiesce, .quiesce), (.resume, .resume), (.start, .start), (.start, .baseline): true
            case (.restart, .resume), (.stop, .start), (.stop, .baseline), (.stop, .resume): false
            case (.stop, _), (.restart, _): true
            case (.quiesce, _), (.resume, _), (.start, _): false
            }
        }
        found += plan.steps.filter { !allowed($0) }.map { "step \($0.number) (\($0.label)) has no place in a \(plan.kind.rawValue)" }
        if let start = plan.steps.first(where: isStart), let stop = plan.steps.last(where: isStop), start.number < stop.number {
            found.append("step \(start.number) starts before step \(stop.number) stops")
        }
        return found
    }

    private func coverage() -> [String] {
        var found: [String] = []
        let undeclared = Set(plan.workers).subtracting(inventory.workers)
        if plan.kind != .stop { found += undeclared.map { "\($0) is not in the inventory" } }
        if Set(plan.workers).count != plan.workers.count { found.append("a worker stands twice in the plan") }
        var stops: [WorkerName: Int] = [:]
        var starts: [WorkerName: Int] = [:]
        for step in plan.steps {
            switch step.what {
            case .stop(let tier, let workers):
                for worker in workers {
                    stops[worker, default: 0] += 1
                    let own = undeclared.contains(worker) ? .undeclared : inventory.service(worker.service)?.tier
                    if own != tier { found.append("step \(step.number) stops \(worker) in tier \(tier), not its own") }
                }
            case .start(let tier, let workers):
                for worker in workers {
                    starts[worker, default: 0] += 1
                    if inventory.service(worker.service)?.tier != tier { found.append("step \(step.number) starts \(worker) in tier \(tier), not its own") }
                }
            default: break
            }
        }
        let wantsStop = [.stop, .restart].contains(plan.kind)
        let wantsStart = [.start, .restart].contains(plan.kind)
        for worker in plan.workers {
            if wantsStop, stops[worker] != 1 { found.append("\(worker) is stopped \(stops[worker] ?? 0) times") }
            if wantsStart, starts[worker] != 1 { found.append("\(worker) is started \(starts[worker] ?? 0) times") }
        }
        for worker in Set(stops.keys).subtracting(plan.workers) { found.append("\(worker) is stopped and is not among the plan's workers") }
        if plan.kind == .start {
            for worker in Set(starts.keys).subtracting(plan.workers) { found.append("\(worker) is started and is not among the plan's workers") }
        }
        return found
    }

    /// A lock is a person's word that nobody acts on this worker.
    private func locks() -> [String] {
        plan.steps.flatMap { step in
            let acted: [WorkerName] =
                switch step.what {
                case .quiesce(let workers), .resume(let workers), .stop(_, let workers), .start(_, let workers): workers
                case .check, .capture, .gate, .drained, .verify, .ledger, .snapshot, .baseline: []
                }
            return acted.filter { locked.contains($0) }.map { "step \(step.number) (\(step.label)) acts on \($0), which is locked" }
        }
    }

    /// Law 1.
    private func tierOrder() -> [String] {
        func check(_ ranks: [(number: Int, rank: Int)], _ verb: String) -> [String] {
            zip(ranks, ranks.dropFirst()).filter { $0.rank > $1.rank }.map {
                "step \($1.number) \(verb) a tier after one that comes behind it, in step \($0.number)"
            }
        }
        let stops = plan.steps.compactMap { step in if case .stop(let tier, _) = step.what { (step.number, rank(tier)) } else { nil } }
        let starts = plan.steps.compactMap { step in if case .start(let tier, _) = step.what { (step.number, -rank(tier)) } else { nil } }
        return check(stops, "stops") + check(starts, "starts")
    }

    private func streamOrder() -> [String] {
        var found: [String] = []
        for stream in inventory.streams {
            for consumer in stream.to {
                let gates = plan.steps.filter { $0.what == .drained(stream.name, consumer.service) }.map(\.number)
                let producerSteps = stream.from.flatMap(workers).compactMap(step(stopping:))
                let consumerSteps = workers(of: consumer.service).compactMap(step(stopping:))
                guard let lastProducer = producerSteps.max(), let firstConsumer = consumerSteps.min() else {
                    if !gates.isEmpty { found.append("\(stream.name) is drained for \(consumer.service), but not both ends are stopped") }
                    continue
                }
                let what = "\(stream.name) -> \(consumer.service) (\(consumer.policy.rawValue))"
                let sameTier = stream.from.filter { inventory.service($0)?.tier == inventory.service(consumer.service)?.tier }
                let near = sameTier.flatMap(workers).compactMap(step(stopping:))
                switch consumer.policy {
                case .buffer:
                    if let first = near.min(), let last = consumerSteps.max(), first <= last {
                        found.append("\(what): the producer stops in step \(first), the consumer in step \(last)")
                    }
                case .drain:
                    if lastProducer >= firstConsumer {
                        found.append("\(what): the consumer stops in step \(firstConsumer), the producer in step \(lastProducer)")
                    }
                    let whole = stream.from.flatMap(workers).allSatisfy(plan.workers.contains)
                    if whole, Planner.isMeasurable(stream, consumer), gates.isEmpty { found.append("\(what): nothing waits for it to drain") }
                case .discard: break
                }
                if consumer.policy != .drain, !gates.isEmpty { found.append("\(what): step \(gates[0]) drains it") }
                for gate in gates where gate <= lastProducer || gate >= firstConsumer {
                    found.append("\(what): step \(gate) drains it, its producers stop in step \(lastProducer), its consumer in step \(firstConsumer)")
                }
            }
        }
        return found
    }

    private func needsOrder() -> [String] {
        var found: [String] = []
        for service in inventory.services {
            for needed in service.needs {
                if let own = workers(of: service.name).compactMap(step(stopping:)).max(), let other = workers(of: needed).compactMap(step(stopping:)).min(),
                    own >= other
                {
                    found.append("\(service.name) needs \(needed) and stops after it, in step \(own)")
                }
                if let own = workers(of: service.name).compactMap(step(starting:)).min(), let other = workers(of: needed).compactMap(step(starting:)).max(),
                    own <= other
                {
                    found.append("\(service.name) needs \(needed) and starts before it, in step \(own)")
                }
            }
        }
        return found
    }

    /// What must stand before the first stop and the first start.
    private func before() -> [String] {
        var found: [String] = []
        if let first = plan.steps.first(where: isStop) {
            if !plan.steps.contains(where: { $0.what == .capture && $0.number < first.number }) { found.append("nothing is captured before the first stop") }
            for step in plan.steps {
                switch step.what {
                case .quiesce where step.number > first.number: found.append("step \(step.number) quiesces after the first stop")
                case .gate where step.number > first.number: found.append("step \(step.number) asks a gate after the first stop")
                default: break
                }
            }
        }
        var asked: Set<ServiceName> = []
        for step in plan.steps {
            if case .gate(let questions) = step.what { asked.formUnion(questions.map(\.owner)) }
            if case .quiesce(let workers) = step.what, let late = workers.first(where: { asked.contains($0.service) }) {
                found.append("step \(step.number) quiesces \(late) after its gate was asked")
            }
        }
        if let start = plan.steps.first(where: isStart), !plan.steps.contains(where: { $0.what == .baseline && $0.number < start.number }) {
            found.append("no baseline is read before the first start")
        }
        return found
    }

    /// What must stand after the last stop.
    private func after() -> [String] {
        guard let last = plan.steps.last(where: isStop) else { return [] }
        let looked = Set(plan.workers + plan.looked)
        let looks = plan.steps.filter { if case .verify(let workers) = $0.what { Set(workers) == looked } else { false } }.map(\.number)
        let ledger = plan.steps.first { $0.what == .ledger }?.number
        let snapshot = plan.steps.first { if case .snapshot(let workers) = $0.what { Set(workers) == Set(plan.covered) } else { false } }?.number
        let start = plan.steps.first(where: isStart)?.number ?? .max
        guard let verify = looks.first, let ledger, let snapshot else { return ["verify, ledger or snapshot of every stopped worker is missing"] }
        guard last.number < verify && verify < ledger && max(ledger, snapshot) < start else {
            return ["verify, ledger and snapshot don't stand in this order between the last stop and the first start"]
        }
        // What starts while the counts are read was not looked at.
        return looks.contains { $0 > max(ledger, snapshot) && $0 < start } ? [] : ["nothing is looked at again after the ledger and the snapshot"]
    }
}
