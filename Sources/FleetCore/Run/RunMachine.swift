/// One execution of a plan: which command goes out when, what it waits for, and what was proven.
///
/// Duties:
/// 1. A step begins only when the one before it has ended as proven, or was overridden by name (law 1).
/// 2. A missing answer is never taken for success: the run says BLOCKED and waits (law 6).
/// 3. A command has one id for all its repeats, so that an agent executes it once (law 3).
/// 4. Every decision is recorded before the effects that follow from it: **effects after a `.record` wait until it is durable**.
///
/// Times are the coordinator's. A copyable value: events in, effects out.
package struct RunMachine: Equatable, Sendable {
    package let id: UInt64
    package let plan: Plan
    package let inventory: Inventory
    package let by: String
    package let reason: String
    package private(set) var state: State = .waiting
    package private(set) var step = -1
    package private(set) var steps: [StepProgress]
    package private(set) var evidence = RunEvidence()
    /// One sentence: what it waits for and what to type; nil when it is not blocked.
    package private(set) var blocked: Block?
    package private(set) var deadline: BootTime?
    package private(set) var began: Moment?
    package private(set) var ended: Moment?

    package enum State: Equatable, Sendable {
        /// Not begun.
        case waiting
        case active
        case completed
        case aborted(String)
        case failed(String)

        package var isEnded: Bool {
            switch self {
            case .waiting, .active: false
            case .completed, .aborted, .failed: true
            }
        }
    }

    package struct Block: Equatable, Sendable {
        package let slug: String
        package let text: String
    }

    package struct StepProgress: Equatable, Sendable {
        package enum State: String, Sendable { case waiting, active, done, overridden, failed, skipped }
        package var state: State = .waiting
        package var began: Moment?
        package var ended: Moment?
        package var detail = ""
    }

    package enum Ask: Equatable, Sendable {
        case readStreams
        case quiesce(ServiceName)
        case resume(ServiceName)
        case gate(GateQuestion)
        case stop(ServiceName)
        case start(ServiceName)
        case verify(ServiceName)
        case snapshot(ServiceName)
    }

    package enum Event: Equatable, Sendable {
        case begin
        case answered(CommandID, RunReply)
        case hostLost(HostName, why: String)
        case hostReturned(HostName)
        case overridden(RunOverride)
        case retryOrdered(by: String)
        case abortOrdered(by: String, reason: String)
        /// An emergency stop covers a worker of the plan: the run ends.
        case latched(String)
        case timeReached
    }

    package enum Effect: Equatable, Sendable {
        case record(AuditEvent, worker: WorkerName?, fields: [WorkerMachine.Field])
        case send(CommandID, to: HostName, Ask)
        /// The streams that stand still were read before a start: the shell journals and keeps them.
        case keepBaseline([StreamReading])
        case stepChanged(Int)
        case note(worker: WorkerName?, text: String)
        case blockChanged
        case ended
    }

    /// How often a gate or a drain is asked again.
    package static let pollEvery: Duration = .milliseconds(200)
    /// Readings of the streams that must be equal are taken this far apart.
    package static let secondReadingAfter: Duration = .milliseconds(150)
    /// After this many pairs without two equal readings the ledger is called unsettled.
    package static let readingsLimit = 20

    private struct Outstanding: Equatable, Sendable {
        var host: HostName
        var ask: Ask
    }

    private var outstanding: [CommandID: Outstanding] = [:]
    private var attempt = 0
    private var lost: [HostName: String] = [:]
    private var failures: [CommandID: (slug: String, text: String)] = [:]
    private var stepReadings: [HostName: [StreamReading]] = [:]
    private var previousReadings: [StreamReading]?
    private var readingCount = 0
    private var gateSince: BootTime?
    private var pollAt: BootTime?
    private var openGates: [GateQuestion: String] = [:]
    private var overrides: Set<String> = []
    private var abortAfterResume: String?

    package init(id: UInt64, plan: Plan, inventory: Inventory, by: String, reason: String) {
        self.id = id
        self.plan = plan
        self.inventory = inventory
        self.by = by
        self.reason = reason
        steps = plan.steps.map { _ in StepProgress() }
    }

    package static func == (a: RunMachine, b: RunMachine) -> Bool {
        a.id == b.id && a.state == b.state && a.step == b.step && a.steps == b.steps && a.blocked == b.blocked && a.plan == b.plan
            && a.evidence == b.evidence && a.outstanding == b.outstanding
    }

    // MARK: Events

    package mutating func handle(_ event: Event, now: Moment) -> [Effect] {
        guard !state.isEnded else { return [] }
        switch event {
        case .begin:
            precondition(state == .waiting, "run \(id) begins twice")
            state = .active
            began = now
            return [.record(startEvent, worker: nil, fields: planFields)] + next(now)
        case .answered(let command, let reply): return answered(command, reply, now)
        case .hostLost(let host, let why):
            guard lost[host] == nil else { return [] }
            lost[host] = why
            return reblock(now)
        case .hostReturned(let host):
            lost[host] = nil
            let again = outstanding.filter { $0.value.host == host }.sorted { $0.key < $1.key }
            return again.map { .send($0.key, to: host, $0.value.ask) } + reblock(now)
        case .overridden(let override): return overridden(override, now)
        case .retryOrdered(let by): return retry(by, now)
        case .abortOrdered(let by, let reason): return abort("by \(by): \(reason)", now)
        case .latched(let latch):
            return end(.aborted("emergency stop \(latch) is in force"), .runAborted, now)
        case .timeReached: return timeReached(now)
        }
    }

    package var current: PlanStep? { plan.steps.indices.contains(step) ? plan.steps[step] : nil }

    /// Hosts that still owe an answer.
    package var waitingFor: Set<HostName> { Set(outstanding.values.map(\.host)) }

    // MARK: Steps

    private mutating func next(_ now: Moment) -> [Effect] {
        var effects: [Effect] = []
        if steps.indices.contains(step), steps[step].state == .active || steps[step].state == .overridden {
            if steps[step].state == .active { steps[step].state = .done }
            steps[step].ended = now
            effects += closeStep(plan.steps[step], now)
            effects.append(.stepChanged(step))
        }
        deadline = nil
        gateSince = nil
        pollAt = nil
        openGates = [:]
        failures = [:]
        stepReadings = [:]
        blocked = nil
        attempt = 0
        precondition(outstanding.isEmpty, "run \(id) leaves step \(step + 1) with answers owed: \(outstanding)")
        step += 1
        guard step < plan.steps.count else { return effects + end(.completed, endEvent, now) }
        steps[step].state = .active
        steps[step].began = now
        effects.append(.stepChanged(step))
        effects.append(.record(.runStep, worker: nil, fields: [.init("step", step + 1), .init("label", plan.steps[step].label), .init("what", plan.steps[step].text)]))
        return effects + beginStep(now)
    }

    private mutating func beginStep(_ now: Moment) -> [Effect] {
        switch plan.steps[step].what {
        case .check:
            if lost.keys.contains(where: { host in plan.workers.contains { $0.host == host } }) { return reblock(now) }
            return next(now)
        case .capture, .baseline: return readStreams(now)
        case .ledger:
            previousReadings = nil
            readingCount = 0
            return readStreams(now)
        case .quiesce(let workers): return ask(workers) { .quiesce($0.service) }
        case .resume(let workers): return ask(workers) { .resume($0.service) }
        case .stop(let tier, let workers):
            evidence.tierBegan(tier, now)
            return ask(workers) { .stop($0.service) }
        case .start(_, let workers): return ask(workers) { .start($0.service) }
        case .verify(let workers): return ask(workers) { .verify($0.service) }
        case .snapshot(let workers): return ask(workers) { .snapshot($0.service) }
        case .gate(let questions):
            gateSince = now.boot
            deadline = questions.map { now.boot + $0.wait }.min()
            return askGates(questions)
        case .drained:
            gateSince = now.boot
            deadline = now.boot + .seconds(30)
            return askDrained(now)
        }
    }

    /// What a step proved, once it has ended.
    private mutating func closeStep(_ step: PlanStep, _ now: Moment) -> [Effect] {
        switch step.what {
        case .stop(let tier, _):
            let later = plan.steps.dropFirst(step.number).contains { if case .stop(tier, _) = $0.what { true } else { false } }
            guard !later else { return [] }
            let proven = evidence.tierEnded(tier, now)
            return [.record(.tierProven, worker: nil, fields: [.init("tier", tier), .init("proven", proven)])]
        case .quiesce, .gate, .drained:
            evidence.marks.append(RunEvidence.Mark(label: step.label, what: steps[step.number - 1].detail.isEmpty ? step.text : steps[step.number - 1].detail, began: steps[step.number - 1].began, ended: now, proven: steps[step.number - 1].state == .done))
            return []
        default: return []
        }
    }

    private mutating func ask(_ workers: [WorkerName], _ make: (WorkerName) -> Ask) -> [Effect] {
        guard !workers.isEmpty else { return [] }
        return workers.map { send(to: $0.host, make($0), suffix: $0.description) }
    }

    private mutating func send(to host: HostName, _ ask: Ask, suffix: String) -> Effect {
        let command = CommandID("run-\(id)/\(step + 1)/\(attempt)/\(suffix)")
        outstanding[command] = Outstanding(host: host, ask: ask)
        return .send(command, to: host, ask)
    }

    // MARK: Answers

    private mutating func answered(_ command: CommandID, _ reply: RunReply, _ now: Moment) -> [Effect] {
        guard let asked = outstanding[command] else { return [] }  // late or repeated
        if case .progress(let slug, let text) = reply {
            let worker = worker(of: asked)
            if slug == "hold", let worker { evidence.held.insert(worker) }
            blocked = Block(slug: slug, text: text)
            return [.record(.runBlocked, worker: worker, fields: [.init("slug", slug), .init("text", text)]), .note(worker: worker, text: text), .blockChanged]
        }
        outstanding[command] = nil
        var effects: [Effect] = []
        switch (asked.ask, reply) {
        case (.readStreams, .done(let done)): stepReadings[asked.host] = done.streams
        case (.readStreams, .refused(_, let text)), (.readStreams, .failed(_, let text)):
            stepReadings[asked.host] = []
            evidence.readingProblems.append("\(asked.host): \(text)")
        case (.gate(let question), .done(let done)):
            if done.gateHolds {
                openGates[question] = nil
                evidence.gates[question] = done.gateValue
            } else {
                openGates[question] = done.gateValue
            }
        case (.gate(let question), .refused(_, let text)), (.gate(let question), .failed(_, let text)): openGates[question] = text
        case (.stop(let service), .done(let done)):
            effects += stopped(WorkerName(service, on: asked.host), done, command, now)
        case (.verify(let service), .done(let done)):
            evidence.verified(WorkerName(service, on: asked.host), done)
            if !done.treeEmpty { failures[command] = ("not-gone", "\(service)@\(asked.host) has processes left: \(done.text)") }
        case (.snapshot(let service), .done(let done)):
            evidence.snapshots[WorkerName(service, on: asked.host)] = done.counters
        case (.start(let service), .done):
            effects.append(.note(worker: WorkerName(service, on: asked.host), text: "ready"))
        case (.quiesce(let service), .done), (.resume(let service), .done):
            effects.append(.note(worker: WorkerName(service, on: asked.host), text: current?.label == "resume" ? "resumed" : "quiesced"))
        case (_, .refused(let slug, let text)), (_, .failed(let slug, let text)):
            failures[command] = (slug, text)
            effects += [.record(.runBlocked, worker: worker(of: asked), fields: [.init("slug", slug), .init("text", text)]), .note(worker: worker(of: asked), text: text)]
        case (_, .progress): break
        }
        return effects + settle(now)
    }

    private mutating func stopped(_ worker: WorkerName, _ done: RunReply.Done, _ command: CommandID, _ now: Moment) -> [Effect] {
        evidence.stopped(worker, done, now)
        if !done.treeEmpty { failures[command] = ("not-gone", "\(worker) is called stopped, yet \(done.text.isEmpty ? "its tree is not shown empty" : done.text)") }
        let exit = done.exit?.words ?? "was not running"
        return [
            .record(.workerStop, worker: worker, fields: [
                .init("signalled_unix_us", done.signalledUnixMicroseconds), .init("gone_unix_us", done.goneUnixMicroseconds), .init("exit", exit),
                .init("killed", done.killed), .init("held", evidence.held.contains(worker)), .init("tree_empty", done.treeEmpty),
                .init("evidence", done.citations.joined(separator: " ")), .init("status", done.status),
            ]),
            .note(worker: worker, text: "\(exit)\(done.killed ? ", KILLED" : "")\(done.status.isEmpty ? "" : ", said: \(done.status)")"),
        ]
    }

    /// Looks whether the current step has ended, after something changed.
    private mutating func settle(_ now: Moment) -> [Effect] {
        guard state == .active, let current else { return [] }
        guard outstanding.isEmpty else { return reblock(now) }
        if let problem = abortAfterResume { return end(.aborted(problem), .runAborted, now) }
        switch current.what {
        case .check: return []
        case .capture:
            evidence.before = allReadings
            return next(now)
        case .baseline:
            return [.keepBaseline(allReadings)] + next(now)
        case .ledger: return settleLedger(now)
        case .gate(let questions):
            openGates = openGates.filter { !overrides.contains("gate:\($0.key.gate)") }
            if openGates.isEmpty {
                steps[step].detail = questions.map { "\($0.gate) \(evidence.gates[$0] ?? "overridden") (reported)" }.joined(separator: ", ")
                return next(now)
            }
            return pollLater(now)
        case .drained(let stream, _):
            if overrides.contains("stream:\(stream)") { return next(now) }
            let remainder = drainRemainder()
            if remainder == nil { return next(now) }
            steps[step].detail = remainder ?? ""
            return pollLater(now)
        case .quiesce, .resume, .stop, .start, .verify, .snapshot:
            guard failures.isEmpty else { return stepFailed(now) }
            return next(now)
        }
    }

    private mutating func stepFailed(_ now: Moment) -> [Effect] {
        let (slug, text) = failures.sorted { $0.key < $1.key }[0].value
        if case .start = current?.what { return failRun(text, now) }
        if slug == "hold-released" || slug == "latched" { return failRun(text, now) }
        return block(slug, "step \(step + 1): \(text). Then: trading runs retry \(id), or trading runs abort \(id) --reason …", now)
    }

    private mutating func failRun(_ text: String, _ now: Moment) -> [Effect] {
        steps[step].state = .failed
        steps[step].detail = text
        steps[step].ended = now
        return [.stepChanged(step)] + end(.failed(text), .runAborted, now)
    }

    private mutating func pollLater(_ now: Moment) -> [Effect] {
        pollAt = now.boot + Self.pollEvery
        deadline = pollAt
        return reblock(now)
    }

    private mutating func timeReached(_ now: Moment) -> [Effect] {
        guard let due = pollAt, now.boot >= due, outstanding.isEmpty else {
            if let deadline, now.boot >= deadline { self.deadline = pollAt }
            return reblock(now)
        }
        pollAt = nil
        deadline = nil
        attempt += 1
        switch current?.what {
        case .gate(let questions): return askGates(questions.filter { openGates[$0] != nil }) + reblock(now)
        case .drained: return askDrained(now) + reblock(now)
        case .ledger: return readStreams(now)
        default: return []
        }
    }

    // MARK: Gates, drains, streams

    private mutating func askGates(_ questions: [GateQuestion]) -> [Effect] {
        questions.filter { !overrides.contains("gate:\($0.gate)") }.map { send(to: $0.host, .gate($0), suffix: "\($0.owner).\($0.gate)@\($0.host)") }
    }

    private mutating func askDrained(_ now: Moment) -> [Effect] {
        guard case .drained(let name, let consumer) = current?.what, let stream = inventory.streams.first(where: { $0.name == name }) else { return [] }
        stepReadings = [:]
        if case .redis(let host, _, _) = stream.via { return [send(to: host, .readStreams, suffix: host.raw)] }
        let hosts = inventory.service(consumer)?.hosts ?? []
        return hosts.map { send(to: $0, .snapshot(consumer), suffix: "\(consumer)@\($0)") }
    }

    /// What is still between producers and consumer, in words; nil: nothing.
    private mutating func drainRemainder() -> String? {
        guard case .drained(let name, let consumerName) = current?.what, let stream = inventory.streams.first(where: { $0.name == name }),
            let consumer = stream.to.first(where: { $0.service == consumerName })
        else { return nil }
        if case .redis = stream.via {
            guard let reading = allReadings.first(where: { $0.stream == name && $0.consumer == consumerName }) else { return "no reading of \(name)" }
            guard reading.known else { return "\(name) can't be read: \(reading.whyUnknown)" }
            guard let lag = reading.lag else { return "the lag of \(name) is unknown" }
            return lag + reading.pending == 0 ? nil : "\(lag) unread and \(reading.pending) unacknowledged"
        }
        guard let produced = evidence.producedFinally(stream, inventory) else { return "what \(stream.from.map(\.raw).joined(separator: ", ")) sent is unknown" }
        guard case .counter(let counter)? = consumer.applied else { return nil }
        guard let applied = evidence.counter(counter, of: consumerName, inventory) else { return "what \(consumerName) accepted is unknown" }
        steps[step].detail = "\(produced) sent, \(applied) accepted (reported)"
        return produced == applied ? nil : "\(produced) sent, \(applied) accepted"
    }

    private var allReadings: [StreamReading] {
        stepReadings.values.flatMap { $0 }.sorted { ($0.stream, $0.consumer) < ($1.stream, $1.consumer) }
    }

    private mutating func readStreams(_ now: Moment) -> [Effect] {
        stepReadings = [:]
        let hosts = inventory.measuringHosts.filter { lost[$0] == nil }
        guard !hosts.isEmpty else { return settle(now) }
        return hosts.map { send(to: $0, .readStreams, suffix: $0.raw) }
    }

    private mutating func settleLedger(_ now: Moment) -> [Effect] {
        let readings = allReadings
        readingCount += 1
        if let previousReadings, previousReadings.map(\.counts) == readings.map(\.counts) {
            evidence.after = readings
            evidence.settled = true
            return next(now)
        }
        if readingCount >= Self.readingsLimit {
            evidence.after = readings
            evidence.settled = false
            return next(now)
        }
        previousReadings = readings
        pollAt = now.boot + Self.secondReadingAfter
        deadline = pollAt
        return []
    }

    // MARK: Blocks and what a person does about them

    /// Says BLOCKED, or takes it back, by what is true now.
    private mutating func reblock(_ now: Moment) -> [Effect] {
        guard state == .active, let current else { return [] }
        let owing = current.what == .check ? Set(plan.workers.map(\.host)) : waitingFor
        if let host = owing.filter({ lost[$0] != nil }).min() {
            let what: String =
                if case .stop(let tier, _) = current.what { "tier \(tier) can't be proven stopped" } else { "step \(current.number) waits for \(host)" }
            return block(
                "host-unknown",
                "step \(current.number): \(what). \(host) has not answered (\(lost[host] ?? "")); its workers may be running. It goes on when \(host) answers. "
                    + "If it is off: trading runs attest \(id) --host \(host) --powered-off --reason …", now)
        }
        if current.what == .check, outstanding.isEmpty { return next(now) }
        if !openGates.isEmpty, let since = gateSince {
            let (question, value) = openGates.sorted { $0.key.gate < $1.key.gate }[0]
            guard now.boot >= since + question.wait else { return unblock() }
            return block(
                question.gate,
                "step \(current.number): gate \(question.gate): \(question.owner) at \(question.host) says \(value), the gate wants \(question.wants). "
                    + "It goes on by itself at \(question.wants). Give up: trading runs abort \(id) --reason …  Without the gate: trading runs override \(id) --gate \(question.gate) --reason … (verdict: unproven)",
                now)
        }
        if case .drained(let stream, let consumer) = current.what, let since = gateSince, now.boot >= since + .seconds(30) {
            return block(
                "not-drained",
                "step \(current.number): stream \(stream) -> \(consumer) is not drained: \(steps[step].detail). "
                    + "Without it: trading runs override \(id) --stream \(stream) --reason … (verdict: unproven)", now)
        }
        if !failures.isEmpty || (blocked?.slug == "hold" && !outstanding.isEmpty) { return [] }
        return unblock()
    }

    private mutating func block(_ slug: String, _ text: String, _ now: Moment) -> [Effect] {
        let new = Block(slug: slug, text: text)
        guard blocked?.slug != slug else {
            blocked = new
            return []
        }
        blocked = new
        return [.record(.runBlocked, worker: nil, fields: [.init("slug", slug), .init("text", text)]), .blockChanged]
    }

    private mutating func unblock() -> [Effect] {
        guard blocked != nil else { return [] }
        blocked = nil
        return [.blockChanged]
    }

    private mutating func overridden(_ override: RunOverride, _ now: Moment) -> [Effect] {
        evidence.overrides.append(override.words)
        var effects: [Effect] = [.record(.runOverride, worker: nil, fields: [.init("what", override.words), .init("by", override.by)])]
        switch override.what {
        case .gate(let name): overrides.insert("gate:\(name)")
        case .stream(let name): overrides.insert("stream:\(name)")
        case .hostOff(let host):
            evidence.attestedOff.insert(host)
            let owed = outstanding.filter { $0.value.host == host }
            for (command, asked) in owed {
                outstanding[command] = nil
                if case .stop(let service) = asked.ask { evidence.attested(WorkerName(service, on: host), now) }
            }
        }
        switch current?.what {
        case .gate, .drained:
            steps[step].state = .overridden
            // A question still out is no longer waited for.
            outstanding = outstanding.filter { command, asked in
                switch asked.ask {
                case .gate(let question): !overrides.contains("gate:\(question.gate)")
                case .readStreams, .snapshot: false
                default: true
                }
            }
        case .check where lost.keys.allSatisfy(evidence.attestedOff.contains):
            steps[step].state = .overridden
            return effects + next(now)
        default: if case .hostOff = override.what { steps[step].state = .overridden }
        }
        effects += settle(now)
        return effects
    }

    private mutating func retry(_ by: String, _ now: Moment) -> [Effect] {
        guard !failures.isEmpty, outstanding.isEmpty else { return [] }
        let again = failures.keys.sorted()
        failures = [:]
        blocked = nil
        attempt += 1
        let workers = plan.workers.filter { worker in again.contains { $0.raw.hasSuffix("/\(worker)") } }
        let effects: [Effect] = [.record(.runOverride, worker: nil, fields: [.init("what", "retry"), .init("by", by)]), .blockChanged]
        switch current?.what {
        case .quiesce: return effects + ask(workers) { .quiesce($0.service) }
        case .resume: return effects + ask(workers) { .resume($0.service) }
        case .stop: return effects + ask(workers) { .stop($0.service) }
        case .verify: return effects + ask(workers) { .verify($0.service) }
        case .snapshot: return effects + ask(workers) { .snapshot($0.service) }
        default: return effects
        }
    }

    /// Before the first stop signal an abort resumes what the run has quiesced; later it leaves everything as it is.
    private mutating func abort(_ why: String, _ now: Moment) -> [Effect] {
        let stopBegan = evidence.tierOrder.isEmpty == false
        let quiesced = plan.steps.prefix(step + 1).flatMap { step -> [WorkerName] in if case .quiesce(let workers) = step.what { workers } else { [] } }
        let resumable = quiesced.filter { inventory.service($0.service)?.resume != nil && lost[$0.host] == nil }
        outstanding = [:]
        failures = [:]
        blocked = nil
        steps[step].state = .failed
        steps[step].ended = now
        guard !stopBegan, !resumable.isEmpty, plan.kind != .resume else { return [.stepChanged(step)] + end(.aborted(why), .runAborted, now) }
        attempt += 1
        abortAfterResume = why
        return [.stepChanged(step), .note(worker: nil, text: "aborted \(why); resuming \(resumable.map(\.description).joined(separator: ", "))")]
            + ask(resumable) { .resume($0.service) }
    }

    private mutating func end(_ ending: State, _ event: AuditEvent, _ now: Moment) -> [Effect] {
        state = ending
        ended = now
        deadline = nil
        blocked = nil
        outstanding = [:]
        for index in steps.indices where steps[index].state == .waiting { steps[index].state = .skipped }
        var fields: [WorkerMachine.Field] = [.init("run", id)]
        switch ending {
        case .aborted(let why), .failed(let why): fields.append(.init("why", why))
        case .completed, .waiting, .active: break
        }
        return [.record(event, worker: nil, fields: fields), .ended]
    }

    // MARK: Words

    private func worker(of asked: Outstanding) -> WorkerName? {
        switch asked.ask {
        case .quiesce(let service), .resume(let service), .stop(let service), .start(let service), .verify(let service), .snapshot(let service):
            WorkerName(service, on: asked.host)
        case .readStreams, .gate: nil
        }
    }

    private var startEvent: AuditEvent {
        switch plan.kind {
        case .stop, .restart: .shutdownStart
        case .start: .startupStart
        case .quiesce: .quiesceStart
        case .resume: .resumeStart
        }
    }

    private var endEvent: AuditEvent {
        switch plan.kind {
        case .stop: .shutdownComplete
        case .start, .restart: .startupComplete
        case .quiesce: .quiesceComplete
        case .resume: .resumeComplete
        }
    }

    private var planFields: [WorkerMachine.Field] {
        [.init("kind", plan.kind.rawValue), .init("workers", plan.workers.map(\.description).joined(separator: " ")), .init("steps", plan.steps.count)]
    }
}
