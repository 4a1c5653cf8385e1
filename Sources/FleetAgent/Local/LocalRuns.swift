internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Stops, starts, restarts, quiesces and resumes of this host alone, as people on it order them: tier by tier, in the
/// order in which the part lists them, each tier only after the one before is done.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class LocalRuns: @unchecked Sendable {
    /// Runs kept to be looked at; a run of a host with 300 workers takes about 100 KiB.
    private static let keptMax = 64
    /// Events kept per run, for those who come late.
    private static let eventsMax = 2_048

    private struct Record {
        var run: APIRun
        var events: [APIRunEvent] = []
        var listeners: [Int: (APIRunEvent) -> Void] = [:]
        var steps: [Step]
        var current = -1
        var pending: Set<String> = []
        /// Each worker's own words.
        var failures: [String] = []
        /// By whom, and why.
        var aborted: String?
        /// Locks don't refuse its orders.
        var throughLocks = false
        /// Why it does not do all that was named, though what it does succeeds; empty: it does.
        var stopsShort = ""

        var failed: Bool { !failures.isEmpty }
    }

    private struct Step {
        let label: String
        let ask: Agent.Ask
        let services: [String]
    }

    unowned let agent: Agent
    private var records: [UInt64: Record] = [:]
    private var lastRun: UInt64
    private var nextListener = 0
    private var active: UInt64?
    private var readZone = (name: "", zone: FleetZone.utc)

    init(agent: Agent, after lastRun: UInt64) {
        self.agent = agent
        self.lastRun = lastRun
    }

    var all: [APIRun] { records.values.map(\.run).sorted { $0.id < $1.id } }
    var activeRuns: [APIRun] { active.flatMap { records[$0]?.run }.map { [$0] } ?? [] }
    func run(_ id: UInt64) -> APIRun? { records[id]?.run }

    // MARK: Plans

    /// Plans, and unless it is a dry run begins.
    ///
    /// `kind` is stop, start, restart, quiesce or resume.
    func order(kind: String, _ request: APIRunRequest, by: String) throws(APIProblem) -> APIRunAccepted {
        guard !request.reason.isEmpty || request.dryRun else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  \(kind) without a reason", why: "The audit keeps why it was done.", then: "add --reason TEXT")
        }
        if let active, !request.dryRun {
            let run = records[active]?.run ?? APIRun()
            throw APIProblem(
                slug: "busy", what: "REFUSED  \(kind): local run \(active) (\(run.kind), by \(run.origin)) is still going on", why: run.blocked,
                then: "wait for it: trading --local runs    give it up: trading --local runs abort \(active) --reason \"…\"")
        }
        guard !agent.shells.isEmpty || !agent.part.digest.isEmpty else {
            throw APIProblem(
                slug: "no-part", what: "REFUSED  \(kind): \(agent.host) has no part of the inventory yet",
                why: "No coordinator has sent one, and nothing of ours runs here. Nothing was done.",
                then: "See which coordinators it reaches: journalctl -u trading-agent. Then order again")
        }
        let choice = try choose(kind, request)
        let steps = steps(kind, choice.acting)
        guard !steps.isEmpty else {
            throw APIProblem(
                slug: "nothing-to-do", what: "REFUSED  \(kind): nothing in scope can be ordered to \(kind)", why: "No worker in scope declares it.")
        }
        var accepted = APIRunAccepted()
        accepted.plan = plan(kind, steps)
        accepted.plan.notes += choice.notes
        if request.dryRun { return accepted }
        lastRun += 1
        var run = APIRun()
        run.id = lastRun
        run.kind = kind
        run.reason = request.reason
        run.origin = by
        run.state = .active
        run.beganUnixUs = Clock.unixMicroseconds()
        run.steps = accepted.plan.steps.map { step in
            var status = APIStepStatus()
            status.number = step.number
            status.label = step.label
            status.text = step.text
            status.state = "waiting"
            return status
        }
        records[lastRun] = Record(run: run, steps: steps, throughLocks: choice.throughLocks, stopsShort: choice.stopsShort)
        if records.count > Self.keptMax, let oldest = records.keys.filter({ $0 != lastRun }).min() { records[oldest] = nil }
        active = lastRun
        accepted.run = lastRun
        note(began(kind), run)
        let id = lastRun
        // After the answer: whoever ordered it can listen from the first event.
        agent.loop.execute { self.advance(id) }
        return accepted
    }

    /// `by ops-1 14:02 London: "bad param file"`
    func words(_ mark: Mark) -> String {
        let mark = WireMark(mark)
        return "by \(mark.person) \(zone.moment(mark.unixUs, now: Clock.unixMicroseconds())) \(zone.city): \"\(mark.text)\""
    }

    /// The fleet's, as this host's part names it; UTC without one, or where this host has no such zone.
    var zone: FleetZone {
        if readZone.name != agent.part.timezone { readZone = (agent.part.timezone, FleetZone(named: agent.part.timezone)) }
        return readZone.zone
    }

    private func steps(_ kind: String, _ shells: [WorkerShell]) -> [Step] {
        var tiers: [(String, [WorkerShell])] = []
        for shell in shells {
            let tier = shell.declaration.tier.raw
            if let index = tiers.firstIndex(where: { $0.0 == tier }) { tiers[index].1.append(shell) } else { tiers.append((tier, [shell])) }
        }
        func each(_ tiers: [(String, [WorkerShell])], _ ask: Agent.Ask, _ included: (WorkerShell) -> Bool = { _ in true }) -> [Step] {
            tiers.compactMap { tier, shells in
                let services = shells.filter(included).map(\.service)
                return services.isEmpty ? nil : Step(label: tier, ask: ask, services: services)
            }
        }
        let stops = each(tiers, .stop(killNow: false))
        let starts = each(tiers.reversed(), .start) { $0.isDeclared }
        switch kind {
        case "stop": return stops
        case "start": return starts
        case "restart": return stops + starts
        case "quiesce": return each(tiers, .quiesce) { $0.declaration.policy.quiesce != nil }
        default: return each(tiers.reversed(), .resume) { $0.declaration.policy.resume != nil }
        }
    }

    private func plan(_ kind: String, _ steps: [Step]) -> APIPlan {
        var plan = APIPlan()
        plan.kind = kind
        plan.steps = steps.enumerated().map { index, step in
            var out = APIPlanStep()
            out.number = UInt32(index + 1)
            out.label = step.label
            out.text = "\(step.ask.verb) \(step.services.joined(separator: ", "))"
            out.workers = step.services.map { "\($0)@\(agent.host)" }
            return out
        }
        plan.notes = ["this host only: streams and other hosts are not looked at"]
        return plan
    }

    // MARK: Going on

    private func advance(_ id: UInt64) {
        guard let record = records[id], record.run.endedUnixUs == 0, record.pending.isEmpty else { return }
        let now = Clock.unixMicroseconds()
        if record.current >= 0 {
            let began = record.run.steps[record.current].beganUnixUs
            records[id]?.run.steps[record.current].state = record.failed ? "blocked" : "done"
            records[id]?.run.steps[record.current].tookNs = (now - min(now, began)) * 1_000
            emitStep(id, record.current)
        }
        let next = record.current + 1
        guard !record.failed, next < record.steps.count else { return end(id) }
        let step = record.steps[next]
        records[id]?.current = next
        records[id]?.run.steps[next].state = "active"
        records[id]?.run.steps[next].beganUnixUs = now
        records[id]?.pending = Set(step.services)
        emitStep(id, next)
        let (by, reason) = (record.run.origin, record.run.reason)
        for service in step.services {
            guard let shell = agent.shell(service) else {
                answered(id, service, outcome: .failedTo, text: "\(service) is no longer on this host")
                continue
            }
            agent.order(step.ask, shell, by: by, reason: reason, run: id, throughLock: record.throughLocks) { [weak self] result in
                self?.answered(id, service, outcome: result.outcome, text: Self.words(step.ask, service, result))
            }
        }
    }

    private static func words(_ ask: Agent.Ask, _ service: String, _ result: WireCommandResult) -> String {
        if result.outcome != .done { return result.text }
        switch ask {
        case .stop:
            let exit =
                result.worker.hasLastExit && result.goneBoottimeNs > 0
                ? (result.worker.lastExit.known ? (result.worker.lastExit.signalled ? "signal" : "exit") + " \(result.worker.lastExit.code)" : "exit unknown")
                : "was stopped already"
            let doubt = result.checks.first { $0.what == Verification.What.tree.rawValue && $0.state == .checkUnknown }.map { ": \($0.text)" } ?? ""
            return "\(service) stopped, \(exit)\(result.killed ? ", KILLED" : "")\(doubt)"
        case .start: return "\(service) ready, PID \(result.worker.pid)"
        default: return "\(service) \(ask.verb)d"
        }
    }

    private func answered(_ id: UInt64, _ service: String, outcome: WireCommandResult.Outcome, text: String) {
        // What an aborted run has ordered goes on without it.
        guard records[id]?.run.endedUnixUs == 0 else { return }
        var event = APIRunEvent()
        event.kind = "worker"
        event.worker = "\(service)@\(agent.host)"
        event.text = text
        if outcome == .progress {
            records[id]?.run.state = .blocked
            records[id]?.run.blocked = text
            event.kind = "blocked"
            return emit(id, event)
        }
        emit(id, event)
        records[id]?.run.state = .active
        records[id]?.run.blocked = ""
        if outcome != .done {
            records[id]?.failures.append(text)
            if let current = records[id]?.current, current >= 0 { records[id]?.run.steps[current].detail = text }
        }
        records[id]?.pending.remove(service)
        if records[id]?.pending.isEmpty == true { advance(id) }
    }

    /// Gives a run up: nothing more is ordered. What is ordered already goes on by itself, and a stop that comes next supersedes it.
    func abort(_ id: UInt64, by: String, reason: String) throws(APIProblem) -> APIDone {
        guard !reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  abort of local run \(id) without a reason", then: "add --reason TEXT")
        }
        guard let record = records[id] else {
            throw APIProblem(slug: "unknown-run", what: "REFUSED  no local run \(id)", then: "trading --local runs")
        }
        guard record.run.endedUnixUs == 0 else {
            throw APIProblem(slug: "run-ended", what: "REFUSED  local run \(id) has ended", then: "trading --local runs \(id)")
        }
        let verb = record.current >= 0 ? record.steps[record.current].ask.verb.rawValue : ""
        let under = record.pending.isEmpty ? "" : ". Ordered before, goes on by itself: \(verb) of \(record.pending.sorted().joined(separator: ", "))"
        records[id]?.aborted = "aborted by \(by): \"\(reason)\"\(under)"
        records[id]?.pending = []
        if record.current >= 0 {
            records[id]?.run.steps[record.current].state = "blocked"
            records[id]?.run.steps[record.current].detail = "given up"
            emitStep(id, record.current)
        }
        end(id)
        var done = APIDone()
        done.text = "local run \(id) (\(record.run.kind)) aborted\(under)"
        return done
    }

    private func end(_ id: UInt64) {
        guard var record = records[id] else { return }
        for index in record.run.steps.indices where record.run.steps[index].state == "waiting" { record.run.steps[index].state = "skipped" }
        if !record.stopsShort.isEmpty { record.failures.append(record.stopsShort) }
        record.run.state = record.aborted != nil ? .aborted : record.failed ? .failed : .completed
        record.run.blocked = record.aborted ?? record.failures.joined(separator: "; ")
        record.run.endedUnixUs = Clock.unixMicroseconds()
        records[id] = record
        active = nil
        let isDone = record.run.state == .completed
        note(ended(record.run.kind, failed: !isDone), record.run)
        var event = APIRunEvent()
        event.kind = "ended"
        event.text = isDone ? "\(record.run.kind) of \(agent.host) done" : record.run.blocked
        event.ended = record.run
        emit(id, event)
        records[id]?.listeners = [:]
    }

    private func began(_ kind: String) -> AuditEvent {
        switch kind {
        case "start": .startupStart
        case "quiesce": .quiesceStart
        case "resume": .resumeStart
        default: .shutdownStart
        }
    }

    private func ended(_ kind: String, failed: Bool) -> AuditEvent {
        if failed { return .runAborted }
        switch kind {
        case "start", "restart": return .startupComplete
        case "quiesce": return .quiesceComplete
        case "resume": return .resumeComplete
        default: return .shutdownComplete
        }
    }

    private func note(_ event: AuditEvent, _ run: APIRun) {
        agent.journal.note(
            event, by: run.origin, reason: run.reason, run: run.id,
            [WorkerMachine.Field("kind", run.kind), WorkerMachine.Field("scope", "local")]
                + (run.blocked.isEmpty ? [] : [WorkerMachine.Field("why", run.blocked)]))
    }

    // MARK: Events

    /// Hears what has been and what comes; `nil` once the run is over or unknown.
    ///
    /// The id cancels.
    func listen(_ id: UInt64, after sequence: UInt64, _ listener: @escaping (APIRunEvent) -> Void) -> Int? {
        guard let record = records[id] else { return nil }
        for event in record.events where event.sequence > sequence { listener(event) }
        guard record.run.endedUnixUs == 0 else { return nil }
        nextListener += 1
        records[id]?.listeners[nextListener] = listener
        return nextListener
    }

    func cancel(_ id: UInt64, listener: Int) { records[id]?.listeners[listener] = nil }

    private func emitStep(_ id: UInt64, _ index: Int) {
        var event = APIRunEvent()
        event.kind = "step"
        if let step = records[id]?.run.steps[index] { event.step = step }
        emit(id, event)
    }

    private func emit(_ id: UInt64, _ event: APIRunEvent) {
        guard var record = records[id] else { return }
        var event = event
        event.run = id
        event.sequence = (record.events.last?.sequence ?? 0) + 1
        event.unixUs = Clock.unixMicroseconds()
        record.events.append(event)
        if record.events.count > Self.eventsMax { record.events.removeFirst() }
        records[id] = record
        for listener in record.listeners.values { listener(event) }
    }
}
