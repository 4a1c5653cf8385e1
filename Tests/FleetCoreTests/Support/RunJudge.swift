import FleetCore

/// Checks the laws from what a run gives out and what it is told, knowing nothing of how it decides.
struct RunJudge {
    let inventory: Inventory
    let plan: Plan
    private(set) var violations: [String] = []
    /// By the run's own records.
    private var proven: Set<WorkerName> = []
    private var attested: Set<HostName> = []
    private var waivedStreams: Set<StreamName> = []
    /// Streams that a delivered answer has shown empty for a consumer since its last producer was proven stopped.
    private var shownDrained: [String: Bool] = [:]
    private var histories: [WorkerName: LaunchHistory] = [:]
    private var counters: [WorkerName: [String: Int64]] = [:]
    /// Sent and not finally answered.
    private(set) var owed: [CommandID: (host: HostName, ask: RunMachine.Ask)] = [:]
    private var sent: [CommandID: RunMachine.Ask] = [:]
    private(set) var hasEnded = false

    init(inventory: Inventory, plan: Plan) {
        self.inventory = inventory
        self.plan = plan
    }

    private func isProven(_ worker: WorkerName) -> Bool { proven.contains(worker) || attested.contains(worker.host) }

    private mutating func expect(_ holds: Bool, _ text: @autoclosure () -> String) {
        if !holds { violations.append(text()) }
    }

    /// Before the machine is told.
    mutating func told(_ event: RunMachine.Event) {
        switch event {
        case .answered(let command, let reply):
            guard let (host, ask) = owed[command] else { return }
            if case .progress = reply { return }
            owed[command] = nil
            guard case .done(let done) = reply else { return }
            switch ask {
            case .stop(let service), .verify(let service), .snapshot(let service):
                if let told = done.launches { histories[WorkerName(service, on: host)] = told }
            default: break
            }
            switch ask {
            case .snapshot(let service):
                counters[WorkerName(service, on: host)] = done.counters
                lookAtDirectDrains()
            case .readStreams:
                for reading in done.streams where reading.known && reading.lag == 0 && reading.pending == 0 {
                    shownDrained["\(reading.stream)/\(reading.consumer)"] = producersGone(reading.stream)
                }
            default: break
            }
        case .overridden(let override):
            switch override.what {
            case .stream(let name): waivedStreams.insert(name)
            case .hostOff, .gate: break
            }
        default: break
        }
    }

    private func producersGone(_ name: StreamName) -> Bool {
        guard let stream = inventory.streams.first(where: { $0.name == name }) else { return false }
        return plan.workers.filter { stream.from.contains($0.service) }.allSatisfy(isProven)
    }

    private mutating func lookAtDirectDrains() {
        for stream in inventory.streams where stream.via == .direct && producersGone(stream.name) {
            let digit = stream.name.raw.suffix(1)
            let produced = sum(stream.from, "X_MADE_\(digit)", "made-\(digit)")
            for consumer in stream.to where produced != nil && sum([consumer.service], "X_DONE_\(digit)", "done-\(digit)") == produced {
                shownDrained["\(stream.name)/\(consumer.service)"] = true
            }
        }
    }

    /// Over every launch of the services that was told; nil: one of them can't be counted.
    private func sum(_ services: [ServiceName], _ key: String, _ counter: String) -> Int64? {
        var total: Int64 = 0
        for worker in services.flatMap({ service in (inventory.service(service)?.hosts ?? []).map { WorkerName(service, on: $0) } }) {
            guard let launches = histories[worker]?.launches else { return nil }
            for launch in launches {
                switch launch.end {
                case .never: continue
                case .open:
                    guard let live = counters[worker]?[counter] else { return nil }
                    total += live
                case .ended(let exit):
                    if exit.isClean, let said = exit.notified[key].flatMap({ Int64($0) }) {
                        total += said
                    } else if launch.wasReady || exit.notified[key] != nil {
                        return nil
                    }
                }
            }
        }
        return total
    }

    /// After the machine has answered an event with effects.
    mutating func gave(_ effects: [RunMachine.Effect], to event: RunMachine.Event, _ machine: RunMachine, stepBefore: Int, now: Moment) {
        expect(!hasEnded || effects.isEmpty, "an ended run gave \(effects)")
        var seen: Set<CommandID> = []
        for effect in effects {
            switch effect {
            case .record(.workerStop, let worker?, let fields):
                if fields.contains(.init("tree_empty", true)) { proven.insert(worker) }
            case .record(.runOverride, _, let fields):
                if case .overridden(let override) = event, case .hostOff(let host) = override.what, fields.contains(where: { $0.value == override.words }) {
                    attested.insert(host)
                    owed = owed.filter { $0.value.host != host }
                }
            case .record: break
            case .send(let command, let host, let ask):
                expect(seen.insert(command).inserted, "\(command) goes out twice at once")
                expect(sent[command] == nil || sent[command] == ask, "\(command) changes what it asks")
                expect(command.raw.hasSuffix("@\(host)") || command.raw.hasSuffix("/\(host)"), "\(command) goes to \(host)")
                if case .hostReturned(host) = event, machine.step == stepBefore {
                    expect(owed[command] != nil, "\(command) is new on a host that returned")
                } else {
                    expect(sent[command] == nil, "\(command) is used again")
                }
                sent[command] = ask
                owed[command] = (host, ask)
                if case .stop(let service) = ask { stopGoesOut(WorkerName(service, on: host)) }
            case .ended: hasEnded = true
            case .keepBaseline, .stepChanged, .note, .blockChanged: break
            }
        }
        owed = owed.filter { machine.wants($0.key) }
        if case .hostReturned(let host) = event, !machine.state.isEnded {
            let again = effects.compactMap { if case .send(let command, host, _) = $0 { command } else { nil } }
            let missing = owed.filter { $0.value.host == host && !again.contains($0.key) }
            expect(missing.isEmpty, "\(host) returned and was not asked again: \(missing.keys)")
        }
        expect(machine.state.isEnded == hasEnded, "ended without saying so")
        if case .timeReached = event, let deadline = machine.deadline {
            expect(deadline > now.boot, "the deadline stays in the past: it would be called for over and over")
        }
        if machine.state == .active {
            let waits = !owed.isEmpty || machine.deadline != nil
            expect(waits || machine.blocked != nil, "step \(machine.step + 1) waits for nothing and says nothing")
            expect(
                machine.blocked.map { $0.text.contains("trading ") || $0.slug == "hold" } ?? true,
                "a block without what to type: \(machine.blocked?.text ?? "")")
        }
    }

    private mutating func stopGoesOut(_ worker: WorkerName) {
        guard let service = inventory.service(worker.service) else { return }
        let rank = inventory.tiers.firstIndex { $0.name == service.tier } ?? 0
        // Law 1.
        for other in plan.workers {
            let otherTier = inventory.service(other.service)?.tier
            if let otherRank = inventory.tiers.firstIndex(where: { $0.name == otherTier }), otherRank < rank {
                expect(isProven(other), "law 1: \(worker) of \(service.tier) is told to stop while \(other) of \(otherTier?.raw ?? "?") is not proven stopped")
            }
        }
        for stream in inventory.streams {
            for consumer in stream.to {
                if consumer.policy == .buffer, stream.from.contains(worker.service), inventory.service(consumer.service)?.tier == service.tier {
                    for other in plan.workers where other.service == consumer.service {
                        expect(isProven(other), "buffer: \(worker) stops before its consumer \(other) of \(stream.name)")
                    }
                }
                if consumer.policy == .drain, consumer.service == worker.service {
                    for other in plan.workers where stream.from.contains(other.service) {
                        expect(isProven(other), "drain: \(worker) stops before its producer \(other) of \(stream.name)")
                    }
                    let isGated = plan.steps.contains { $0.what == .drained(stream.name, consumer.service) }
                    expect(
                        !isGated || waivedStreams.contains(stream.name) || shownDrained["\(stream.name)/\(consumer.service)"] == true,
                        "drain: \(worker) stops and nothing has shown that \(stream.name) is drained")
                }
            }
        }
        for needing in inventory.services where needing.needs.contains(worker.service) {
            for other in plan.workers where other.service == needing.name {
                expect(isProven(other), "needs: \(worker) stops before \(other), which needs it")
            }
        }
    }
}
