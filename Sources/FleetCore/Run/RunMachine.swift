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
    /// From where its streams are counted.
    package let book: LedgerBook
    package internal(set) var state: State = .waiting
    package internal(set) var step = -1
    package internal(set) var steps: [StepProgress]
    package internal(set) var evidence = RunEvidence()
    /// One sentence: what it waits for and what to type; nil when it is not blocked.
    package internal(set) var blocked: Block?
    package internal(set) var began: Moment?
    package internal(set) var ended: Moment?

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
        /// Two instances of a host of the plan live.
        case hostContested(HostName, how: String)
        /// A host says that one holds over its own workers of the plan, and can't show that it is the fleet's: the run goes on with the
        /// others. A stop is then unproven.
        case hostLatched(HostName, String)
        case timeReached
    }

    package enum Effect: Equatable, Sendable {
        case record(AuditEvent, worker: WorkerName?, fields: [WorkerMachine.Field])
        case send(CommandID, to: HostName, Ask)
        /// The streams were read before a start: the shell journals and keeps those that rest.
        case keepBaseline(Baseline)
        case stepChanged(Int)
        case note(worker: WorkerName?, text: String)
        case blockChanged
        case ended
    }

    /// How often a gate or a drain is asked again.
    package static let pollEvery: Duration = .milliseconds(200)
    /// How long a stream may take to drain before the run says BLOCKED; it goes on asking.
    package static let drainBound: Duration = .seconds(30)
    /// Readings of the streams that must be equal are taken this far apart.
    package static let secondReadingAfter: Duration = .milliseconds(150)
    /// After this many pairs without two equal readings the ledger is called unsettled.
    package static let readingsLimit = 20
    /// Records of one step's blocks about one subject; more are shown, and not recorded.
    package static let blockRecordsMax = 16
    /// The name by which an operator overrides a quiesce that does not come about: `--gate quiesce`.
    package static let quiesceGate = "quiesce"
    /// The name by which an operator goes on although a worker left something: `--gate left-behind`.
    package static let leftBehindGate = "left-behind"

    /// The name by which an operator goes on without an answer that does not come: `--gate no-answer`.
    package static let noAnswerGate = "no-answer"

    /// What `--gate` names beside the gates of the inventory.
    package static let ownGates: Set<String> = [quiesceGate, leftBehindGate, noAnswerGate]

    struct Outstanding: Equatable, Sendable {
        var host: HostName
        var ask: Ask
        /// When the run says that its answer does not come.
        var due: BootTime
        /// True once `due` has passed. The run goes on waiting, and says BLOCKED.
        var isOverdue = false
    }

    struct Failure: Equatable, Sendable {
        var asked: Outstanding
        var slug: String
        var text: String
    }

    var outstanding: [CommandID: Outstanding] = [:]
    var attempt = 0
    var lost: [HostName: String] = [:]
    /// Attested powered off and silent since.
    var off: Set<HostName> = []
    /// What the current step's commands came to that did not succeed; a retry or an override takes them out.
    var failures: [CommandID: Failure] = [:]
    /// What commands that go on have said meanwhile.
    var waits: [CommandID: Block] = [:]
    /// What `blocked` is about: the same slug about something else is a new block.
    var blockedOn = ""
    /// How often the current step's blocks were recorded, by what they are about.
    var blockRecords: [String: Int] = [:]
    var stepReadings: [HostName: [StreamReading]] = [:]
    var previousReadings: [StreamReading]?
    var baseline = Baseline()
    var readingCount = 0
    var gateSince: BootTime?
    var pollAt: BootTime?
    var openGates: [GateQuestion: String] = [:]
    /// Hosts whose answers the current step goes on without.
    var givenUp: Set<HostName> = []
    var overrides: Set<String> = []
    /// What these left behind an operator has accepted: it is not asked about again.
    var accepted: Set<WorkerName> = []
    /// Why it ends once what it has quiesced is resumed.
    var aborting: String?
    var notResumed: [String] = []

    package init(id: UInt64, plan: Plan, inventory: Inventory, book: LedgerBook = LedgerBook(), by: String, reason: String) {
        self.book = book
        self.id = id
        self.plan = plan
        self.inventory = inventory
        self.by = by
        self.reason = reason
        steps = plan.steps.map { _ in StepProgress() }
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
            // What lies outside the scope is only looked at: nobody waits for its host.
            for (command, asked) in outstanding where asked.host == host && isOnlyLookedAt(asked) { outstanding[command] = nil }
            return outstanding.isEmpty ? settle(now) : reblock(now)
        case .hostReturned(let host):
            lost[host] = nil
            off.remove(host)
            givenUp.remove(host)
            let again = outstanding.filter { $0.value.host == host }.sorted { $0.key < $1.key }
            for (command, asked) in again { outstanding[command] = owed(asked.ask, by: host, from: now) }
            return again.map { .send($0.key, to: host, $0.value.ask) } + reblock(now)
        case .overridden(let override): return overridden(override, now)
        case .retryOrdered(let by): return retry(by, now)
        case .abortOrdered(let by, let reason): return abort("by \(by): \(reason)", by, now)
        case .latched(let latch):
            return end(.aborted("emergency stop \(latch) is in force"), .runAborted, now)
        case .hostContested(let host, let how):
            guard evidence.contested.updateValue(how, forKey: host) == nil else { return [] }
            return [.note(worker: nil, text: "two instances of \(host) live (\(how)): what this run shows of it proves nothing")]
        case .hostLatched(let host, let latch):
            guard evidence.hostLatches.updateValue(latch, forKey: host) == nil else { return [] }
            return [.note(worker: nil, text: "\(host) says that emergency stop \(latch) holds over its workers; the others go on")]
        case .timeReached: return timeReached(now)
        }
    }

    /// How it ended before its last step; nil: it did not, or has not ended.
    package var ending: String? {
        switch state {
        case .aborted(let why), .failed(let why): why
        case .completed, .active, .waiting: nil
        }
    }

    package var current: PlanStep? { plan.steps.indices.contains(step) ? plan.steps[step] : nil }

    /// Hosts that still owe an answer.
    package var waitingFor: Set<HostName> { Set(outstanding.values.map(\.host)) }

    /// Whether the run still wants this command carried out: a shell that held a `.send` back asks before it goes out.
    package func wants(_ command: CommandID) -> Bool { !state.isEnded && outstanding[command] != nil }

    // MARK: Steps

    mutating func next(_ now: Moment) -> [Effect] {
        var effects: [Effect] = []
        if steps.indices.contains(step), steps[step].state == .active || steps[step].state == .overridden {
            if steps[step].state == .active { steps[step].state = .done }
            steps[step].ended = now
            effects += closeStep(plan.steps[step], now)
            effects.append(.stepChanged(step))
        }
        precondition(outstanding.isEmpty, "run \(id) leaves step \(step + 1) with answers owed: \(outstanding)")
        effects += unblock()
        forgetStep()
        attempt = 0
        step += 1
        guard step < plan.steps.count else { return effects + end(.completed, endEvent, now) }
        steps[step].state = .active
        steps[step].began = now
        effects.append(.stepChanged(step))
        effects.append(
            .record(.runStep, worker: nil, fields: [.init("step", step + 1), .init("label", plan.steps[step].label), .init("what", plan.steps[step].text)]))
        effects += beginStep(now)
        return effects + settle(now)
    }

    private mutating func forgetStep() {
        givenUp = []
        gateSince = nil
        pollAt = nil
        openGates = [:]
        failures = [:]
        waits = [:]
        blockRecords = [:]
        stepReadings = [:]
    }

    /// The commands that the step begins with; it may have none.
    private mutating func beginStep(_ now: Moment) -> [Effect] {
        switch plan.steps[step].what {
        case .check: return []
        case .capture: return askReadings(of: readsStreams, now)
        case .baseline:
            baseline = Baseline()
            return askRest(now)
        case .ledger:
            previousReadings = nil
            readingCount = 0
            return askReadings(of: readsStreams, now)
        case .quiesce(let workers): return ask(workers, now) { .quiesce($0.service) }
        case .resume(let workers): return ask(workers, now) { .resume($0.service) }
        case .stop(let tier, let workers):
            evidence.tierBegan(tier, now)
            return ask(workers, now) { .stop($0.service) }
        case .start(_, let workers): return ask(workers, now) { .start($0.service) }
        case .verify(let workers):
            evidence.lastLookBegan = now
            return ask(workers.filter(isWaitedFor), now) { .verify($0.service) }
        case .snapshot(let workers): return ask(workers.filter(isWaitedFor), now) { .snapshot($0.service) }
        case .gate(let questions):
            gateSince = now.boot
            return askGates(questions, now)
        case .drained:
            gateSince = now.boot
            return askDrained(now)
        }
    }

    /// What is only looked at waits for no silent host: the verdict names it.
    private func isWaitedFor(_ worker: WorkerName) -> Bool { lost[worker.host] == nil || !plan.looked.contains(worker) }

    /// What a step proved, once it has ended.
    private mutating func closeStep(_ step: PlanStep, _ now: Moment) -> [Effect] {
        switch step.what {
        case .stop(let tier, _):
            let later = plan.steps.dropFirst(step.number).contains { if case .stop(tier, _) = $0.what { true } else { false } }
            guard !later else { return [] }
            let proven = evidence.tierEnded(tier, now)
            return [.record(.tierProven, worker: nil, fields: [.init("tier", tier), .init("proven", proven)])]
        case .quiesce, .gate, .drained:
            let progress = steps[step.number - 1]
            evidence.marks.append(
                RunEvidence.Mark(
                    label: step.label, what: progress.detail.isEmpty ? step.text : progress.detail, began: progress.began, ended: now,
                    proven: progress.state == .done))
            return []
        default: return []
        }
    }

    mutating func ask(_ workers: [WorkerName], _ now: Moment, _ make: (WorkerName) -> Ask) -> [Effect] {
        workers.compactMap { send(to: $0.host, make($0), suffix: $0.description, now) }
    }

    private func owed(_ ask: Ask, by host: HostName, from now: Moment) -> Outstanding {
        Outstanding(host: host, ask: ask, due: now.boot + answerBound(of: ask, host))
    }

    /// nil for a host that is attested powered off: it is not waited for.
    mutating func send(to host: HostName, _ ask: Ask, suffix: String, _ now: Moment) -> Effect? {
        let command = CommandID("run-\(id)/\(step + 1)/\(attempt)/\(suffix)")
        let asked = owed(ask, by: host, from: now)
        if off.contains(host) {
            attest(command, asked)
            return nil
        }
        outstanding[command] = asked
        return .send(command, to: host, ask)
    }

    /// Takes a person's word that a host is off in place of its answer.
    mutating func attest(_ command: CommandID, _ asked: Outstanding) {
        let why = "\(asked.host) is attested powered off"
        if steps[step].state == .active { steps[step].state = .overridden }
        switch asked.ask {
        case .stop(let service): evidence.attested(WorkerName(service, on: asked.host))
        case .start(let service):
            failures[command] = Failure(
                asked: asked, slug: "host-off", text: "\(service) can't be started: \(why). Start again with --exclude-host \(asked.host)")
        case .gate(let question): openGates[question] = "nothing, for \(why),"
        case .readStreams:
            stepReadings[asked.host] = []
            evidence.readingProblems.append(why)
        case .snapshot(let service): evidence.snapshots[WorkerName(service, on: asked.host)] = nil
        case .quiesce, .resume, .verify: break
        }
    }

    // MARK: Answers

    private mutating func answered(_ command: CommandID, _ reply: RunReply, _ now: Moment) -> [Effect] {
        guard let asked = outstanding[command] else { return [] }  // late or repeated
        lost[asked.host] = nil
        if case .progress(let slug, let text) = reply { return progressed(command, asked, Block(slug: slug, text: text), now) }
        outstanding[command] = nil
        waits[command] = nil
        evidence.heard[asked.host] = now
        let worker = worker(of: asked)
        var effects: [Effect] = []
        if case .baseline = current?.what, let worker {
            baseline.looked(worker, reply)
            return settle(now)
        }
        if let worker {
            switch (asked.ask, reply) {
            // What a restart starts again is no part of what it stopped.
            case (.start, _), (_, .progress), (_, .refused), (_, .failed): break
            case (_, .done(let done)), (_, .leftBehind(let done)): evidence.told(worker, done)
            }
            if isOnlyLookedAt(asked) {
                looked(worker, asked.ask, reply, now)
                return settle(now)
            }
        }
        switch (asked.ask, reply) {
        case (.readStreams, .done(let done)): stepReadings[asked.host] = done.streams
        case (.readStreams, .refused(_, let text)), (.readStreams, .failed(_, let text)):
            stepReadings[asked.host] = []
            evidence.readingProblems.append("\(asked.host): \(text)")
        case (.gate(let question), .done(let done)) where done.gateHolds:
            openGates[question] = nil
            evidence.gates[question] = done.gateValue
        case (.gate(let question), .done(let done)): openGates[question] = done.gateValue
        case (.gate(let question), .refused(_, let text)), (.gate(let question), .failed(_, let text)): openGates[question] = text
        case (.stop(let service), .done(let done)):
            effects += stopped(WorkerName(service, on: asked.host), done, command, asked)
        case (.verify(let service), .done(let done)):
            evidence.verified(WorkerName(service, on: asked.host), done, now)
            if let doubt = done.treeDoubt {
                if !accepted.contains(WorkerName(service, on: asked.host)) {
                    failures[command] = Failure(asked: asked, slug: Self.leftBehindGate, text: "\(service)@\(asked.host): \(doubt)")
                }
            } else if !done.treeEmpty {
                failures[command] = Failure(
                    asked: asked, slug: "not-gone",
                    text: "\(service)@\(asked.host) has processes left\(done.text.isEmpty ? "" : ": \(done.text)")")
            } else if let left = done.leftBehind, !accepted.contains(WorkerName(service, on: asked.host)) {
                failures[command] = Failure(asked: asked, slug: Self.leftBehindGate, text: "\(service)@\(asked.host) left behind: \(left)")
            }
        case (.snapshot(let service), .done(let done)):
            evidence.snapshots[WorkerName(service, on: asked.host)] = done.counters
        case (.snapshot(let service), .refused) where drains, (.snapshot(let service), .failed) where drains:
            // A drain asks again by itself; what was counted before is not what is counted now.
            evidence.snapshots[WorkerName(service, on: asked.host)] = nil
        case (.stop(let service), .leftBehind(let done)):
            effects += stopped(WorkerName(service, on: asked.host), done, command, asked)
        case (_, .leftBehind(let done)):
            failures[command] = Failure(asked: asked, slug: Self.leftBehindGate, text: done.text)
        case (.start(let service), .done):
            if case .delay(let time)? = inventory.service(service)?.ready {
                effects.append(.note(worker: worker, text: "launched, alive after \(time.words)"))
            } else {
                effects.append(.note(worker: worker, text: "ready"))
            }
        case (.quiesce, .done):
            if let worker { evidence.quiesced[worker] = now }
            effects.append(.note(worker: worker, text: "quiesced"))
        case (.resume, .done): effects.append(.note(worker: worker, text: "resumed"))
        case (_, .refused(let slug, let text)), (_, .failed(let slug, let text)):
            effects += [.record(.runBlocked, worker: worker, fields: [.init("slug", slug), .init("text", text)]), .note(worker: worker, text: text)]
            if aborting != nil {
                notResumed.append("\(worker.map(\.description) ?? asked.host.raw): \(text)")
            } else {
                failures[command] = Failure(asked: asked, slug: slug, text: text)
            }
        case (_, .progress): break
        }
        return effects + settle(now)
    }

    /// Something that the run does not act on: what can't be told of it is in the verdict, and nobody waits for it. At the cut the host
    /// of a buffer is waited for.
    func isOnlyLookedAt(_ asked: Outstanding) -> Bool {
        switch (current?.what, worker(of: asked)) {
        case (.baseline, _), (.capture, nil): !plan.workers.contains { $0.host == asked.host }
        case (_, let worker?): plan.looked.contains(worker)
        case (_, nil): false
        }
    }

    private mutating func looked(_ worker: WorkerName, _ ask: Ask, _ reply: RunReply, _ now: Moment) {
        switch (ask, reply) {
        case (.verify, .done(let done)): evidence.verified(worker, done, now)
        case (.verify, .leftBehind(let done)):
            evidence.looks[worker] = RunEvidence.Look(treeEmpty: done.treeEmpty, problem: done.text, checks: done.checks)
        case (.verify, .refused(_, let text)), (.verify, .failed(_, let text)):
            evidence.looks[worker] = RunEvidence.Look(treeEmpty: false, problem: text)
        case (.snapshot, .done(let done)): evidence.snapshots[worker] = done.counters
        default: break
        }
    }

    private mutating func progressed(_ command: CommandID, _ asked: Outstanding, _ wait: Block, _ now: Moment) -> [Effect] {
        let worker = worker(of: asked)
        if wait.slug == "hold", let worker { evidence.held.insert(worker) }
        guard waits[command] != wait else { return reblock(now) }
        waits[command] = wait
        return [.note(worker: worker, text: wait.text)] + reblock(now)
    }

    private mutating func stopped(_ worker: WorkerName, _ done: RunReply.Done, _ command: CommandID, _ asked: Outstanding) -> [Effect] {
        evidence.stopped(worker, done)
        if let doubt = done.treeDoubt {
            failures[command] = Failure(asked: asked, slug: Self.leftBehindGate, text: "\(worker) has stopped: \(doubt)")
        } else if !done.treeEmpty {
            failures[command] = Failure(
                asked: asked, slug: "not-gone", text: "\(worker) is called stopped, yet \(done.text.isEmpty ? "its tree is not shown empty" : done.text)")
        } else if let left = done.leftBehind {
            failures[command] = Failure(asked: asked, slug: Self.leftBehindGate, text: "\(worker) has stopped and left behind: \(left)")
        }
        let exit = done.exit?.words ?? "was not running"
        let children = (done.exit?.tree?.words).map { $0.isEmpty ? "" : ", \($0)" } ?? ""
        return [
            .record(
                .workerStop, worker: worker,
                fields: [
                    .init("signalled_unix_us", done.signalledUnixMicroseconds), .init("gone_unix_us", done.goneUnixMicroseconds), .init("exit", exit),
                    .init("killed", done.killed), .init("held", evidence.held.contains(worker)), .init("tree_empty", done.treeEmpty),
                    .init("evidence", done.citations.joined(separator: " ")), .init("status", done.status),
                ]
                    + done.checks.filter { $0.state == .left || $0.state == .unknown }.map {
                        .init("check_\($0.what.rawValue)", "\($0.state.rawValue): \($0.text)")
                    }),
            .note(worker: worker, text: "\(exit)\(children)\(done.killed ? ", KILLED" : "")\(done.status.isEmpty ? "" : ", said: \(done.status)")"),
        ]
    }

    /// Looks whether the current step has ended, after something changed.
    mutating func settle(_ now: Moment) -> [Effect] {
        guard state == .active, let current else { return [] }
        guard outstanding.isEmpty else { return reblock(now) }
        if let aborting {
            return end(.aborted(notResumed.isEmpty ? aborting : "\(aborting); still quiesced: \(notResumed.joined(separator: "; "))"), .runAborted, now)
        }
        switch current.what {
        case .check: return silentInPlan.isEmpty ? next(now) : reblock(now)
        // What flows is read for the people who follow the run; the ledger counts from the book's openings.
        case .capture: return next(now)
        case .baseline:
            return settleBaseline(now)
        case .ledger:
            guard !readsStreams.isEmpty else {
                // No line needs a reading: there is nothing to wait for.
                evidence.settled = true
                return next(now)
            }
            // The next reading is due later; the last one must not be compared with itself.
            return pollAt == nil ? settleLedger(now) : reblock(now)
        case .gate(let questions):
            if questions.contains(where: { overrides.contains("gate:\($0.gate)") }) { steps[step].state = .overridden }
            openGates = openGates.filter { !overrides.contains("gate:\($0.key.gate)") }
            if openGates.isEmpty {
                steps[step].detail = questions.map { question in
                    if overrides.contains("gate:\(question.gate)") { return "\(question.gate) overridden" }
                    return "\(question.gate) \(evidence.gates[question] ?? "not asked") (reported)"
                }.joined(separator: ", ")
                return next(now)
            }
            return pollLater(now)
        case .drained(let stream, _):
            if overrides.contains("stream:\(stream)") {
                steps[step].state = .overridden
                return next(now)
            }
            if pollAt != nil { return reblock(now) }
            guard let remainder = drainRemainder() else { return next(now) }
            steps[step].detail = remainder
            return pollLater(now)
        case .quiesce, .resume, .stop, .start, .verify, .snapshot:
            return failures.isEmpty ? next(now) : stepFailed(now)
        }
    }

    private mutating func stepFailed(_ now: Moment) -> [Effect] {
        let (command, failure) = failures.sorted { $0.key < $1.key }[0]
        if case .start = current?.what { return failRun(failure.text, now) }
        var then = "Then: trading runs retry \(id), or trading runs abort \(id) --reason …"
        if failure.slug == Self.leftBehindGate {
            then += "  As it is: trading runs override \(id) --gate \(Self.leftBehindGate) --reason … (verdict: unproven)"
        }
        if case .quiesce = current?.what {
            then += "  Without it: trading runs override \(id) --gate \(Self.quiesceGate) --reason … (verdict: unproven)"
        }
        return block(failure.slug, "step \(step + 1): \(failure.text). \(then)", about: command.raw)
    }

    private mutating func failRun(_ text: String, _ now: Moment) -> [Effect] {
        steps[step].detail = text
        return end(.failed(text), .runAborted, now)
    }

    mutating func end(_ ending: State, _ event: AuditEvent, _ now: Moment) -> [Effect] {
        state = ending
        ended = now
        blocked = nil
        aborting = nil
        outstanding = [:]
        forgetStep()
        var effects: [Effect] = []
        if steps.indices.contains(step), steps[step].state == .active || steps[step].state == .overridden {
            steps[step].state = .failed
            steps[step].ended = now
            effects.append(.stepChanged(step))
        }
        for index in steps.indices where steps[index].state == .waiting { steps[index].state = .skipped }
        var fields: [WorkerMachine.Field] = [.init("run", id)]
        switch ending {
        case .aborted(let why), .failed(let why): fields.append(.init("why", why))
        case .completed, .waiting, .active: break
        }
        return effects + [.record(event, worker: nil, fields: fields), .ended]
    }

    // MARK: Words

    func worker(of asked: Outstanding) -> WorkerName? {
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
            + (plan.quiescedBefore.isEmpty ? [] : [.init("quiesced_before", plan.quiescedBefore.sorted().map(\.description).joined(separator: " "))])
    }
}
