internal import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Runs: the shell around `RunMachine`. Effects of one run are performed strictly in order; a record holds back what
/// follows it until it is durable.
extension Coordinator {
    // MARK: Planning

    /// What a session is asked whether it carries.
    private static let anyStart: WireEnvelope = {
        var envelope = WireEnvelope()
        envelope.command.start = WireEmpty()
        return envelope
    }()

    func observed() -> ObservedFleet {
        let time = now().boot
        var fleet = ObservedFleet(workers: [:], reporting: [])
        fleet.outsiders = table.outsiders
        for (name, host) in hosts {
            if host.isKnown(now: time, bound: settings.reportBound) {
                fleet.reporting.insert(name)
                if let session = table.session(name) { fleet.startless[name] = session.refusal(of: Self.anyStart)?.text }
                if host.undeclaredCut > 0 { fleet.undeclaredCut[name] = host.undeclaredCut }
                let held = host.report?.partDigest ?? ""
                if let why = host.refuses {
                    fleet.refusing[name] = why
                } else if held.isEmpty {
                    fleet.otherPart[name] = "has no part of the inventory yet"
                } else if let part = parts[name], held != part.digest {
                    fleet.otherPart[name] = "goes by another part of the inventory (\(held.prefix(12))) than this coordinator has for it"
                }
                for report in host.report?.workers ?? [] {
                    var worker = ObservedWorker(report)
                    if report.hasLock {
                        worker.lock = ObservedWorker.Lock(
                            by: report.lock.person, when: zone.moment(report.lock.unixUs, now: now().unixMicroseconds), text: report.lock.text)
                    }
                    fleet.workers[WorkerName(ServiceName(report.service), on: name)] = worker
                }
            } else {
                fleet.contested[name] = host.watch.contested
                let age = host.lastWordAt.map { "has not answered for \((time - $0).words)" } ?? "has never reported"
                fleet.silence[name] = "\(age) (\(host.whyUnknown))"
            }
        }
        fleet.unheard = unheard(time)
        return fleet
    }

    func plan(_ kind: RunKind, _ scope: OperationScope) throws -> Plan {
        do throws(PlanRefusal) {
            return try Planner(inventory: inventory, fleet: observed()).plan(kind, scope)
        } catch {
            throw APIProblem(error)
        }
    }

    func named(_ scope: OperationScope) throws -> Set<WorkerName> {
        do throws(PlanRefusal) {
            return Set(try scope.workers(in: inventory, beside: observed().undeclared(in: inventory)))
        } catch {
            throw APIProblem(error)
        }
    }

    static func digest(of plan: Plan) -> String {
        let hex = Array(Digest.sha256Hex(Array(plan.canonical.utf8)).prefix(12))
        return [hex[0..<4], hex[4..<8], hex[8..<12]].map { String($0) }.joined(separator: "-")
    }

    /// Begins a run over what was named; refuses while another is under way over any of it.
    func begin(_ plan: Plan, over named: Set<WorkerName>, by: String, reason: String) throws -> UInt64 {
        if let busy = runs.values.first(where: { run in
            guard let machine = run.machine, !machine.state.isEnded else { return false }
            return !run.named.isDisjoint(with: named)
        }) {
            throw APIProblem(
                slug: "run-active", what: "REFUSED  \(plan.kind.rawValue): run \(busy.api.id) (\(busy.api.kind) by \(busy.api.origin)) is under way",
                why: busy.api.blocked.isEmpty ? "It acts on the same workers. Nothing was done." : busy.api.blocked,
                then: "Watch it: trading runs \(busy.api.id)    End it: trading runs abort \(busy.api.id) --reason …")
        }
        // Another way of thinking than the planner's must come to the same (law 1).
        if let violation = PlanChecker(inventory: inventory, plan: plan, locked: Set(plan.locked.keys)).violations().first {
            log.error("a plan breaks a rule and was not begun; a fault of this program", metadata: ["violation": "\(violation)"])
            throw APIProblem(
                slug: "plan-unsound", what: "REFUSED  \(plan.kind.rawValue): the plan breaks a rule: \(violation)",
                why: "A fault of this program. Nothing was done.", then: "Report it. Meanwhile order tier by tier: --tier")
        }
        lastRun += 1
        let id = lastRun
        let machine = RunMachine(id: id, plan: plan, inventory: inventory, book: book, by: by, reason: reason)
        var api = APIRun()
        api.id = id
        api.kind = plan.kind.rawValue
        api.reason = reason
        api.origin = by
        api.state = .active
        api.planDigest = Self.digest(of: plan)
        api.beganUnixUs = now().unixMicroseconds
        api.steps = machine.plan.steps.enumerated().map { Self.status(of: $0.offset, in: machine) }
        runs[id] = RunRecord(machine: machine, named: named, api: api)
        if plan.kind == .start || plan.kind == .restart { starts(plan.workers, run: id) }
        if plan.kind != .start { for worker in plan.workers where !plan.quiescedBefore.contains(worker) { lastActed[worker] = id } }
        let time = now().boot
        for (name, host) in hosts where !host.isKnown(now: time, bound: settings.reportBound) {
            handle(run: id, .hostLost(name, why: host.whyUnknown))
        }
        handle(run: id, .begin)
        return id
    }

    // MARK: Events

    func eachActiveRun(_ event: (RunMachine) -> RunMachine.Event?) {
        for (id, run) in runs {
            guard let machine = run.machine, !machine.state.isEnded, let event = event(machine) else { continue }
            handle(run: id, event)
        }
    }

    func handle(run id: UInt64, _ event: RunMachine.Event, detail: (CommandID, WireCommandResult)? = nil) {
        home.preconditionInEventLoop()
        guard var machine = runs[id]?.machine else { return }
        if let (command, result) = detail { keepDetail(run: id, command, result) }
        let effects = machine.handle(event, now: now())
        runs[id]?.machine = machine
        runs[id]?.queue += effects
        arm(run: id)
        perform(run: id)
    }

    private func arm(run id: UInt64) {
        guard let deadline = runs[id]?.machine?.deadline else { return }
        runs[id]?.timer += 1
        let armed = runs[id]?.timer
        let wait = max(.zero, deadline - now().boot)
        home.scheduleTask(in: .nanoseconds(wait.nanoseconds + 1_000_000)) { [self] in
            guard runs[id]?.timer == armed else { return }
            handle(run: id, .timeReached)
        }
    }

    /// Performs queued effects up to the next record, which is written first.
    private func perform(run id: UInt64) {
        while let run = runs[id], !run.writing, let effect = run.queue.first {
            if case .record = effect {
                write(run: id)
                return
            }
            runs[id]?.queue.removeFirst()
            perform(run: id, effect)
        }
    }

    /// Writes every record at the head of the queue in one append.
    private func write(run id: UInt64) {
        guard let run = runs[id], let machine = run.machine else { return }
        guard let journal else {
            // A relay keeps nothing: its quiesce stands in the audits of the agents.
            runs[id]?.queue.removeFirst()
            return perform(run: id)
        }
        var records: [AuditRecord] = []
        for effect in run.queue {
            guard case .record(let event, let worker, let fields) = effect else { break }
            records.append(
                AuditRecord(event, worker: worker, by: machine.by, reason: machine.reason, run: id, fields: fields.map { ($0.key, $0.value) }))
        }
        let count = records.count
        runs[id]?.writing = true
        journal.append(records) { [self] result in
            home.execute { [self] in
                runs[id]?.writing = false
                switch result {
                case .success:
                    runs[id]?.queue.removeFirst(count)
                    perform(run: id)
                case .failure(let error):
                    // Nothing goes out that is not on record: the run stands still and says why.
                    log.error("cannot write the audit: the run waits", metadata: ["run": "\(id)", "why": "\(error)"])
                    runs[id]?.api.state = .blocked
                    runs[id]?.api.blocked = "the audit can't be written: \(error). Free space in \(settings.stateDirectory); it goes on by itself"
                    home.scheduleTask(in: .seconds(1)) { [self] in perform(run: id) }
                }
            }
        }
    }

    private func perform(run id: UInt64, _ effect: RunMachine.Effect) {
        switch effect {
        case .record: break
        case .send(let command, let host, let ask): send(run: id, command, to: host, ask)
        case .keepBaseline(let baseline): keep(baseline, run: id)
        case .stepChanged(let index):
            guard let machine = runs[id]?.machine else { return }
            let status = Self.status(of: index, in: machine)
            runs[id]?.api.steps[index] = status
            publish(run: id) {
                $0.kind = "step"
                $0.step = status
            }
            refreshBlock(run: id, announce: false)
        case .note(let worker, let text):
            publish(run: id) {
                $0.kind = "worker"
                $0.worker = worker?.description ?? ""
                $0.text = text
            }
        case .blockChanged: refreshBlock(run: id, announce: true)
        case .ended: finish(run: id)
        }
    }

    private func refreshBlock(run id: UInt64, announce: Bool) {
        guard let machine = runs[id]?.machine, !machine.state.isEnded else { return }
        let block = machine.blocked
        runs[id]?.api.state = block == nil ? .active : .blocked
        runs[id]?.api.blocked = block?.text ?? ""
        guard announce else { return }
        publish(run: id) {
            $0.kind = block == nil ? "unblocked" : "blocked"
            $0.text = block.map { "\($0.text) [\($0.slug)]" } ?? ""
        }
    }

    private func send(run id: UInt64, _ command: CommandID, to host: HostName, _ ask: RunMachine.Ask) {
        // What waited for a record may no longer be wanted: an abort or an emergency stop came in between.
        guard let machine = runs[id]?.machine, machine.wants(command) else { return }
        var wire = WireCommand()
        wire.operation = operation(of: id, command, on: host)
        // The number of a relay's run means nothing to anybody else.
        wire.run = settings.relay ? 0 : id
        wire.origin = machine.by
        wire.reason = machine.reason
        switch ask {
        case .readStreams: wire.readStreams = WireEmpty()
        case .quiesce(let service):
            wire.service = service.raw
            wire.quiesce = WireEmpty()
        case .resume(let service):
            wire.service = service.raw
            wire.resume = WireEmpty()
        case .gate(let question):
            wire.readGate.gate = question.gate
            wire.readGate.owner = question.owner.raw
        case .stop(let service):
            wire.service = service.raw
            wire.stop = WireStopWorker()
        case .start(let service):
            wire.service = service.raw
            wire.start = WireEmpty()
        case .verify(let service):
            wire.service = service.raw
            wire.verify = WireEmpty()
        case .snapshot(let service):
            wire.service = service.raw
            wire.snapshot = WireEmpty()
        }
        awaiting[wire.operation] = .run(id, command, host: host)
        // A host without a session gets it when it returns: the machine offers again what it still wants.
        if case .refused(let slug, let text) = send(wire, to: host) {
            awaiting[wire.operation] = nil
            home.execute { [self] in handle(run: id, .answered(command, .refused(slug: slug, text: text))) }
        }
        Failpoint.afterEffect.pass(caseOf: ask)
    }

    /// The same for every repeat of one command, so that the agent carries it out once; with a part that is random for each run
    /// and host and is told to that host alone, so that no other can answer for it and none comes again (law 13).
    private func operation(of run: UInt64, _ command: CommandID, on host: HostName) -> String {
        let secret = runs[run]?.secrets[host] ?? Random.hex(8)
        runs[run]?.secrets[host] = secret
        return "\(storeID)/\(secret)/\(command)"
    }

    private func keepDetail(run id: UInt64, _ command: CommandID, _ result: WireCommandResult) {
        guard result.outcome == .done, result.hasSnapshot else { return }
        // Of a worker that was asked twice the last word counts: the first was to see whether a stream is drained.
        runs[id]?.snapshots[String(command.raw.split(separator: "/").last ?? "")] = result.snapshot
    }

    // MARK: Watching

    func publish(run id: UInt64, _ fill: (inout APIRunEvent) -> Void) {
        guard var run = runs[id] else { return }
        var event = APIRunEvent()
        event.run = id
        event.sequence = UInt64(run.events.count) + 1
        event.unixUs = now().unixMicroseconds
        fill(&event)
        if run.events.count < RunRecord.eventsLimit || event.kind == "ended" { run.events.append(event) }
        for watcher in run.watchers.values {
            watcher.yield(event)
            if event.kind == "ended" { watcher.finish() }
        }
        if event.kind == "ended" { run.watchers = [:] }
        runs[id] = run
    }

    static func status(of index: Int, in machine: RunMachine) -> APIStepStatus {
        let step = machine.plan.steps[index]
        let progress = machine.steps[index]
        var status = APIStepStatus()
        status.number = UInt32(step.number)
        status.label = step.label
        status.text = step.text
        status.state = progress.state.rawValue
        status.detail = progress.detail
        status.beganUnixUs = progress.began?.unixMicroseconds ?? 0
        if let began = progress.began, let ended = progress.ended { status.tookNs = UInt64(max(0, (ended.boot - began.boot).nanoseconds)) }
        return status
    }

    // MARK: The end

    private func finish(run id: UInt64) {
        guard let machine = runs[id]?.machine else { return }
        starting[id] = nil
        for (operation, awaited) in awaiting {
            if case .run(id, _, _) = awaited { awaiting[operation] = nil }
        }
        runs[id]?.api.endedUnixUs = now().unixMicroseconds
        runs[id]?.api.blocked = machine.ending ?? ""
        runs[id]?.api.state =
            switch machine.state {
            case .completed: .completed
            case .failed: .failed
            case .aborted, .active, .waiting: .aborted
            }
        for index in machine.plan.steps.indices { runs[id]?.api.steps[index] = Self.status(of: index, in: machine) }
        if [.stop, .restart].contains(machine.plan.kind) {
            certifyOnceDecided(run: id, machine)
        } else {
            announceEnd(run: id)
        }
    }

    func announceEnd(run id: UInt64) {
        guard let run = runs[id] else { return }
        Failpoint.beforeSend.pass(run.api.kind)
        publish(run: id) {
            $0.kind = "ended"
            $0.ended = run.api
        }
        Failpoint.afterSend.pass(run.api.kind)
        log.notice("run ended", metadata: ["run": "\(id)", "kind": "\(run.api.kind)", "state": "\(run.api.state)", "verdict": "\(run.api.verdict)"])
    }

    /// Opens the ledgers of the streams that rest: what is produced and launched from here on is counted.
    private func keep(_ baseline: RunMachine.Baseline, run id: UInt64) {
        guard let plan = runs[id]?.machine?.plan else { return }
        let opened = book.open(
            baseline.readings, moving: baseline.moving, of: plan.ending, inventory, before: baseline.before, after: baseline.after
        ).sorted { $0.key < $1.key }
        record([
            AuditRecord(
                .baseline, by: runs[id]?.api.origin ?? "", reason: runs[id]?.api.reason ?? "", run: id,
                fields: opened.flatMap { stream, opening in
                    opening.readings.map { ("\($0.stream)/\($0.consumer)/\($0.host)", $0.json.text) }
                        + [
                            (
                                "\(CoordinatorFold.launchesField)\(stream)",
                                opening.marks.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.text)" }.joined(separator: " ")
                            )
                        ]
                })
        ])
    }
}

extension APIProblem {
    init(_ refusal: PlanRefusal) {
        self.init(slug: refusal.slug, what: refusal.what, why: refusal.why, then: refusal.then)
    }
}
