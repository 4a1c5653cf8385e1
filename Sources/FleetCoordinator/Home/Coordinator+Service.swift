package import FleetAPI
package import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// The API's side.
extension Coordinator: CoordinatorService {
    package var limits: [SessionLimit] { settings.relay ? [.relay] : [] }

    package func run(kind: String, _ request: APIRunRequest, by caller: Caller) async throws -> APIRunAccepted {
        guard let kind = RunKind(rawValue: kind) else { throw APIProblem(slug: "not-found", what: "REFUSED  no verb is called \(kind)") }
        let scope = OperationScope(
            all: request.scope.all, tiers: request.scope.tiers.map(TierName.init), hosts: request.scope.hosts.map(HostName.init),
            services: request.scope.services, excludedHosts: request.excludeHosts.map(HostName.init),
            excludedWorkers: request.excludeWorkers)
        guard request.locked.isEmpty else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(kind.rawValue): what to do with locked workers is for a host's own stop to say",
                then: "On the host: trading --local stop --locked \(request.locked) --reason …    Here: --except WORKER")
        }
        let until = now().boot + Self.partBound
        while true {
            do {
                return try await onHome { [self] in try order(kind, scope, request, by: caller) }
            } catch let problem as APIProblem where problem.slug == "no-part" && now().boot < until {
                // As a rule it is on its way to an agent that has just dialled in.
                try await home.scheduleTask(in: Self.partLook) {}.futureResult.get()
            }
        }
    }

    /// How long an agent that has just dialled in may take to take its part of the inventory, and how often that is looked at.
    private static let partBound: Duration = .seconds(3)
    private static let partLook: TimeAmount = .milliseconds(50)

    /// On home.
    private func order(_ kind: RunKind, _ scope: OperationScope, _ request: APIRunRequest, by caller: Caller) throws -> APIRunAccepted {
        let plan = try plan(kind, scope)
        var accepted = APIRunAccepted()
        accepted.plan = Self.api(plan)
        guard request.plan.isEmpty || request.plan == accepted.plan.digest else {
            throw APIProblem(
                slug: "plan-stale", what: "REFUSED  plan \(request.plan): the fleet has changed since it was made",
                why: "It would now be plan \(accepted.plan.digest). Nothing was done.", then: "See the new plan: the same command with --dry-run")
        }
        guard !request.dryRun else { return accepted }
        if let refusal = plan.refusal { throw APIProblem(refusal) }
        if let latch = latch(over: plan.starting) {
            throw APIProblem(
                slug: "latched", what: "REFUSED  \(kind.rawValue): emergency stop \(latch.id) is in force",
                why: "by \(latch.by): \"\(latch.reason)\". Nothing was started.", then: "trading emergency-stop release --reason …")
        }
        accepted.run = try begin(plan, over: named(scope), by: caller.name, reason: request.reason)
        return accepted
    }

    private func latch(over workers: [WorkerName]) -> Latch? {
        let inForce = table.inForce
        return workers.lazy.compactMap { worker in
            self.inventory.service(worker.service).flatMap { service in
                inForce.first { self.covers($0.scope, service, on: worker.host) }
            }
        }.first
    }

    static func api(_ plan: Plan) -> APIPlan {
        var api = APIPlan()
        api.kind = plan.kind.rawValue
        api.digest = digest(of: plan)
        api.notes = plan.notCovered.map { "\($0): not covered" } + plan.unseen.map { "not proven: \($0)" } + plan.notes
        api.steps = plan.steps.map { step in
            var out = APIPlanStep()
            out.number = UInt32(step.number)
            out.label = step.label
            out.text = step.text
            switch step.what {
            case .quiesce(let workers), .stop(_, let workers), .verify(let workers), .snapshot(let workers), .start(_, let workers), .resume(let workers):
                out.workers = workers.map(\.description)
            case .check, .capture, .gate, .drained, .ledger, .baseline: break
            }
            return out
        }
        return api
    }

    package func hold(_ request: APIHoldRequest, by caller: Caller) async throws -> APIDone {
        guard let worker = WorkerName(request.worker), inventory.workers.contains(worker) else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  no worker is called \(request.worker)", why: "",
                then: "Write it as service@host; trading status shows them")
        }
        var command = WireCommand()
        command.service = worker.service.raw
        command.origin = caller.name
        command.reason = request.reason
        if request.release {
            command.holdRelease.kill = request.kill
        } else {
            command.holdWait.forNs = request.waitNs
        }
        let named = command
        let operation = try await onHome { [self] in operationID() }
        var asked = named
        asked.operation = operation
        let result = try await ask(worker.host, asked, bound: .seconds(15))
        guard result.outcome == .done else {
            throw APIProblem(slug: result.slug, what: "REFUSED  \(result.text)", why: "Nothing was done.", then: "trading status")
        }
        var done = APIDone()
        done.text = request.release ? "\(worker) released from its hold\(request.kill ? " and killed" : ", left running")" : "\(worker) is given more time"
        return done
    }

    package func status() async throws -> APIFleetStatus { try await onHome { [self] in fleetStatus() } }

    package func runs() async throws -> APIRunList {
        try await onHome { [self] in
            var list = APIRunList()
            list.runs = runs.values.map(\.api).sorted { $0.id > $1.id }
            return list
        }
    }

    package func run(id: UInt64) async throws -> APIRun {
        try await onHome { [self] in try known(id).api }
    }

    private func known(_ id: UInt64) throws -> RunRecord {
        guard let run = runs[id] else {
            throw APIProblem(slug: "unknown-run", what: "REFUSED  there is no run \(id)", why: "", then: "trading runs lists them")
        }
        return run
    }

    package func events(run id: UInt64, from sequence: UInt64) async throws -> AsyncStream<APIRunEvent> {
        try await onHome { [self] in
            let run = try known(id)
            let (stream, continuation) = AsyncStream.makeStream(of: APIRunEvent.self, bufferingPolicy: .bufferingOldest(RunRecord.eventsLimit))
            for event in run.events where event.sequence >= sequence { continuation.yield(event) }
            if run.machine == nil || run.events.last?.kind == "ended" {
                if run.events.isEmpty {
                    var event = APIRunEvent()
                    event.run = id
                    event.sequence = 1
                    event.kind = "ended"
                    event.ended = run.api
                    continuation.yield(event)
                }
                continuation.finish()
                return stream
            }
            nextWatcher += 1
            let watcher = nextWatcher
            runs[id]?.watchers[watcher] = continuation
            continuation.onTermination = { [weak self] _ in
                guard let self else { return }
                home.execute { self.runs[id]?.watchers[watcher] = nil }
            }
            return stream
        }
    }

    package func intervene(run id: UInt64, _ intervention: Intervention, _ request: APIOverride, by caller: Caller) async throws -> APIDone {
        guard !request.reason.isEmpty || !intervention.needsReason else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  \(intervention) of run \(id) needs a reason", why: "", then: "Add --reason \"…\"")
        }
        let event: RunMachine.Event
        switch intervention {
        case .abort: event = .abortOrdered(by: caller.name, reason: request.reason)
        case .retry: event = .retryOrdered(by: caller.name)
        case .override where !request.gate.isEmpty:
            event = .overridden(RunOverride(what: .gate(request.gate), by: caller.name, reason: request.reason))
        case .override where !request.stream.isEmpty:
            event = .overridden(RunOverride(what: .stream(StreamName(request.stream)), by: caller.name, reason: request.reason))
        case .attest where request.poweredOff && !request.host.isEmpty:
            event = .overridden(RunOverride(what: .hostOff(HostName(request.host)), by: caller.name, reason: request.reason))
        case .override, .attest:
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(intervention) names nothing to act on", why: "",
                then: "override takes --gate or --stream, attest --host H --powered-off")
        }
        return try await onHome { [self] in
            guard let machine = try known(id).machine, !machine.state.isEnded else {
                throw APIProblem(slug: "run-ended", what: "REFUSED  run \(id) has ended", why: "", then: "trading runs \(id)")
            }
            try known(request, in: id)
            handle(run: id, event)
            var done = APIDone()
            done.text = "run \(id): \(intervention) by \(caller.name)"
            return done
        }
    }

    /// A decision about nothing would stand in the audit and be taken for one about something.
    private func known(_ request: APIOverride, in run: UInt64) throws {
        let gates = Set(inventory.services.flatMap { $0.gates.map(\.name) }).union(RunMachine.ownGates)
        if !request.gate.isEmpty, !gates.contains(request.gate) {
            throw APIProblem(
                slug: "unknown-gate", what: "REFUSED  no gate is called \(request.gate)", why: "The inventory has: \(gates.sorted().joined(separator: ", "))",
                then: "trading runs \(run)  says what it waits for")
        }
        if !request.stream.isEmpty, !inventory.streams.contains(where: { $0.name.raw == request.stream }) {
            throw APIProblem(
                slug: "unknown-stream", what: "REFUSED  no stream is called \(request.stream)",
                why: "The inventory has: \(inventory.streams.map(\.name.raw).joined(separator: ", "))", then: "trading runs \(run)  says what it waits for")
        }
        guard !request.host.isEmpty else { return }
        guard let host = hosts[HostName(request.host)] else {
            throw APIProblem(slug: "unknown-host", what: "REFUSED  no host is called \(request.host)", why: "", then: "trading status shows them")
        }
        if request.poweredOff, host.connected {
            throw APIProblem(
                slug: "host-answers", what: "REFUSED  \(request.host) answers: it is not powered off", why: "Nothing was changed.",
                then: "trading status \(request.host)")
        }
    }
}
