internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOCore

/// One worker's machine and what carries out its effects.
///
/// Duties:
/// 1. Effects are carried out in order; what follows a record waits until the record is durable, but for a kill under a
///    latch, and but for a stop or a kill when the record can't be written in time (`recordBound`).
/// 2. No launch without a durable record of the intent, none under a latch.
/// 3. An order with a time limit is taken back when the limit has passed before its first effect.
/// 4. The loss of the shim's stream alone changes nothing: what became of the launch is read from its directory.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class WorkerShell: @unchecked Sendable {
    /// How long a stop or a kill waits for its record when the disk hangs.
    static let recordBound: Duration = .seconds(5)

    /// How long a shim may take to kill before the agent does it.
    static let shimBound: Duration = .seconds(1)

    unowned let agent: Agent
    let name: WorkerName
    let log: Logger
    private(set) var declaration: WorkerDeclaration
    /// False once the inventory no longer places it here; it is then shown and can be stopped, nothing more.
    var isDeclared = true
    private(set) var machine: WorkerMachine

    // What the worker has said and what is known of its process.
    var notified: [String: String] = [:]
    var notifiedAt: [String: BootTime] = [:]
    var status = ""
    var startedAt: BootTime?
    var httpFigures: [String: WireFigure] = [:]
    /// The gates that this host asks, as read last; at most one for each that is declared.
    var gateReports: [WireGateReport] = []
    var conditions = ConditionAges()
    var affinity = ""
    var affinityAt = BootTime.zero

    // The launch.
    var link: ShimLink?
    var worker: ProcessIdentity?
    var lossChecks = 0
    /// The launch whose main process has ended and left others of its tree.
    var treeLeft: LaunchID?
    /// By what the launch is found again should its directory be removed; nil: its process was not seen yet.
    var trace: LaunchTrace?
    /// Of the launch that has ended last, for looks at what it left.
    var lastTrace: (launch: LaunchID, trace: LaunchTrace)?
    /// A launch that lives and whose directory was removed: its shim can't be reached.
    var lost: (launch: LaunchID, trace: LaunchTrace)?
    /// Whether the processes of that launch are being looked for at this moment.
    var isLooking = false
    var lostTask: Scheduled<Void>?
    /// Set while a launch of an earlier agent is being taken over.
    var adoption: Adoption?
    /// What the shim is asked to answer, by request id.
    var awaited: [String: (ShimAnswer) -> Void] = [:]

    /// Of the launch, from before it ran; nil: an agent before this one knew it.
    var evidence: (launch: LaunchID, evidence: LaunchEvidence)?
    var captured: Captured?
    /// The launch whose sockets are being listed.
    var capturing: LaunchID?
    /// What was doubtful about the launch.
    var warnings: [String] = []
    /// Of the check before the start that the last launch failed.
    var launchSlug: String?
    var healthTasks: [Int: Scheduled<Void>] = [:]
    var dumpTask: Scheduled<Void>?
    var dumpBase: UInt64?

    struct Captured {
        let launch: LaunchID
        let sockets: StopChecks.Sockets
    }

    private var queue: [Queued] = []
    private var orders = PendingOrders()
    private var waiting: UInt64?
    private var tickets: UInt64 = 0
    /// Of what is waited for; one that fires for nothing wakes an idle agent.
    private var recordTimer: Scheduled<Void>?
    private var recordProblem: String?
    /// Of the signal that waits for the list of sockets.
    private var capturingTicket: UInt64?
    private var timer: Scheduled<Void>?

    private struct Queued {
        let effect: WorkerMachine.Effect
        /// The order that this is an effect of, while it has a time limit.
        let operation: String?
    }

    struct Adoption {
        let ready: Bool
        let stopping: Bool
        let quiesced: Bool
        /// Nil: it is gone.
        let directory: LaunchDirectory?
        let done: () -> Void
    }

    enum ShimAnswer: Sendable {
        case ok
        case refused(String)
    }

    init(agent: Agent, declaration: WorkerDeclaration, past: WorkerMachine.Past) {
        self.agent = agent
        self.declaration = declaration
        name = WorkerName(declaration.service, on: agent.host)
        var log = agent.log
        log[metadataKey: "worker"] = "\(declaration.service)"
        self.log = log
        machine = WorkerMachine(worker: name, policy: declaration.policy, past: past, now: Clock.boottime())
        status = past.lastExit?.status ?? ""
    }

    var service: String { declaration.service.raw }

    // MARK: Events

    func handle(_ event: WorkerMachine.Event) {
        agent.loop.preconditionInEventLoop()
        let before = machine
        let now = Clock.boottime()
        var hasEffects = take(event, now)
        // A back-off of zero is over as it begins: the restart's record goes to the disk together with that of the end.
        if machine.phase != before.phase, case .backoff(let until) = machine.phase, until <= now {
            hasEffects = take(.timeReached(launch: Agent.newLaunchID()), now) || hasEffects
        }
        if machine.phase != before.phase { log.info("phase", metadata: ["phase": "\(ReportBuilder.word(machine.phase))"]) }
        pump()
        schedule()
        scheduleLooks()
        // Counters alone are in the next report anyhow.
        if machine != before || hasEffects { agent.changed() }
    }

    /// Tells the machine and queues what comes of it; false: nothing does.
    private func take(_ event: WorkerMachine.Event, _ now: BootTime) -> Bool {
        let before = machine
        let effects = machine.handle(event, now: now)
        let limited = event.order.flatMap { agent.operations[$0.operation] }.flatMap { $0.notAfter == nil ? nil : $0.id }
        orders.told(event, operation: limited, before: before, at: now)
        for effect in effects {
            if case .killTree(.some(let latch)) = effect { killTree(latch: latch) }
            if case .signal = effect { beginCapture() }
        }
        enqueue(effects, of: limited)
        return !effects.isEmpty
    }

    /// What a latch kills is killed already and never waits here.
    private func enqueue(_ effects: [WorkerMachine.Effect], of operation: String?) {
        let waiting = effects.filter { if case .killTree(.some) = $0 { false } else { true } }
        guard let operation else {
            queue += waiting.map { Queued(effect: $0, operation: nil) }
            return
        }
        // Records first: whoever is superseded by an order hears of it when that order's own time has not run out.
        let records = waiting.filter(\.isRecord)
        let others = waiting.filter { !$0.isRecord }
        queue += (records + others).map { Queued(effect: $0, operation: operation) }
        // A repeat, or a stop of what is being launched, which has begun by being taken.
        if others.isEmpty { orders.settle(operation) }
    }

    func redeclare(_ new: WorkerDeclaration) {
        let policyChanged = new.policy != declaration.policy
        declaration = new
        isDeclared = true
        gateReports.removeAll { !isDeclared($0) }
        if policyChanged { handle(.policyChanged(new.policy)) }
        if let entry = agent.emergency.entry(new.service) {
            agent.emergency.put(
                entry.with(tier: new.tier, emergencyKilled: new.spec.emergencyKilled, pid: entry.pid, process: entry.process))
        }
    }

    /// Brings the machine in line with the latches in force.
    func applyLatches() {
        let forbidding = agent.latches.book.forbidding(
            service: declaration.service, tier: declaration.tier, host: agent.host, emergencyKilled: declaration.spec.emergencyKilled)
        if let held = machine.latch, held != forbidding?.id { handle(.unlatched) }
        if let forbidding, machine.latch == nil { handle(.latched(forbidding.id)) }
    }

    /// What became of the launches of the agent before is known: a restart that was pending then is due from now on.
    func resume() { schedule() }

    private func schedule() {
        timer?.cancel()
        timer = nil
        guard let deadline = machine.deadline else { return }
        let left = max(.zero, deadline - Clock.boottime())
        timer = agent.loop.scheduleTask(in: .nanoseconds(left.nanoseconds)) { [self] in
            timer = nil
            handle(.timeReached(launch: Agent.newLaunchID()))
        }
    }

    func keep(_ report: WireGateReport) {
        gateReports.removeAll { $0.owner == report.owner && $0.name == report.name }
        if isDeclared(report) { gateReports.append(report) }
    }

    private func isDeclared(_ report: WireGateReport) -> Bool { declaration.gates.contains { $0.owner == report.owner && $0.name == report.name } }

    // MARK: Effects

    private func pump() {
        while waiting == nil, let next = queue.first {
            if next.effect.isRecord {
                record()
                continue
            }
            if let operation = next.operation, orders.isPending(operation) {
                if let late = agent.operations[operation]?.lateness(at: Clock.boottime()) {
                    takeBack(operation, late)
                    continue
                }
                orders.settle(operation)
            }
            if case .signal = next.effect, mustCapture() {
                waitForCapture()
                return
            }
            queue.removeFirst()
            switch next.effect {
            case .record: preconditionFailure("a record is handed over above")
            case .launch(let id):
                if let recordProblem {
                    handle(.launchFailed("its start can't be recorded: \(recordProblem). Make room for the agent's state directory, then start it again"))
                } else if machine.launch == id {
                    launch(id)
                }
            case .signal(let signal):
                if let order = machine.slot { agent.operations[order.operation]?.signalledAt = Clock.boottime() }
                send(stop: signal) { [log] answer in
                    if case .refused(let why) = answer { log.warning("the stop signal did not go out", metadata: ["why": "\(why)"]) }
                }
            case .callOffStop:
                // What a main process has left by then waits for a stop or a kill: a person wants it left alone.
                if let link, link.speaksStop, treeLeft != link.launch { link.send(.stop(id: link.requestID(), number: 0)) }
            case .killTree(let latch):
                killTree(latch: latch)
            case .perform(let action):
                perform(action)
            case .verify(let launch):
                verify(launch)
            case .answer(let order, let answer):
                agent.answer(order, acknowledged(order, answer), from: self)
            }
            Failpoint.afterEffect.pass(caseOf: next.effect)
        }
    }

    /// A lock, its end or a note that could not be recorded is gone at this agent's next start: that is no success.
    private func acknowledged(_ order: Order, _ answer: WorkerMachine.Answer) -> WorkerMachine.Answer {
        guard let recordProblem, case .done = answer, [.lock, .unlock, .note].contains(order.verb) else { return answer }
        return .failed(
            slug: "not-recorded",
            text:
                "\(order.verb) of \(name) holds only until its agent starts again, for it can't be recorded: \(recordProblem). Make room for the agent's state directory, then order it again"
        )
    }

    /// Leaves an order out as if it had never come; only its records stay, and one that says so.
    private func takeBack(_ operation: String, _ why: String) {
        guard let (machine, told) = orders.takeBack(operation) else { return }
        self.machine = machine
        queue = []
        for event in told { enqueue(event.effects, of: event.operation) }
        agent.expire(operation, why, at: self)
        schedule()
        agent.changed()
    }

    /// Hands all records at the head of the queue over in one go and waits for them.
    private func record() {
        var drafts: [AgentJournal.Draft] = []
        var hasMarks = false
        var operations: [String] = []
        while case .record(let event, let order, let fields)? = queue.first?.effect {
            queue.removeFirst()
            var fields = fields
            hasMarks = hasMarks || [.workerLocked, .workerUnlocked, .workerNoted].contains(event)
            if let order {
                fields.append(WorkerMachine.Field("op", order.operation))
                if !fields.contains(where: { $0.key == "generation" }) { fields.append(WorkerMachine.Field("generation", machine.generation)) }
            }
            if event == .workerStart || event == .workerRestart { fields += intend().fields }
            if event == .workerStop || event == .workerExit, let exit = machine.lastExit, fields.contains(where: { $0.key == "exit" }) {
                // What a later agent must know of it for a certificate.
                fields.append(WorkerMachine.Field("said_stopping", exit.saidStopping))
                fields.append(WorkerMachine.Field("gone_boottime_ns", exit.at.nanoseconds))
            }
            drafts.append(
                AgentJournal.Draft(
                    event: event.rawValue, worker: name.description, by: order?.by ?? "", reason: order?.reason ?? "", run: order?.run, fields: fields))
            operations.append(order?.operation ?? "")
        }
        tickets += 1
        let ticket = tickets
        waiting = ticket
        agent.journal.append(drafts) { [self, operations, hasMarks] result in
            switch result {
            case .success(let citations):
                for (citation, operation) in zip(citations, operations) where !operation.isEmpty {
                    agent.operations[operation]?.records.append(citation)
                }
                if waiting == ticket { recordProblem = nil }
            case .failure(let error):
                unrecorded(ticket, error.description, hasMarks: hasMarks)
            }
            proceed(ticket)
        }
        recordTimer = agent.loop.scheduleTask(in: .nanoseconds(Self.recordBound.nanoseconds)) { [self, hasMarks] in
            guard waiting == ticket else { return }
            // A launch waits on: its own bound ends it. Everything else must not depend on a disk that hangs.
            if case .launch? = queue.first?.effect { return }
            log.error("the journal does not answer; going ahead unrecorded", metadata: ["waited": "\(Self.recordBound.words)"])
            unrecorded(ticket, "the journal has not answered for \(Self.recordBound.words)", hasMarks: hasMarks)
            proceed(ticket)
        }
    }

    private func unrecorded(_ ticket: UInt64, _ problem: String, hasMarks: Bool) {
        if waiting == ticket { recordProblem = problem }
        if hasMarks { _ = machine.handle(.marksUnrecorded, now: Clock.boottime()) }
    }

    private func waitForCapture() {
        tickets += 1
        waiting = tickets
        capturingTicket = tickets
    }

    func captureEnded() {
        guard let ticket = capturingTicket else { return }
        capturingTicket = nil
        proceed(ticket)
    }

    private func proceed(_ ticket: UInt64) {
        guard waiting == ticket else { return }
        waiting = nil
        recordTimer?.cancel()
        recordTimer = nil
        pump()
        agent.changed()
    }

    // MARK: What goes to the shim

    func send(signal: String, then: @escaping (ShimAnswer) -> Void) {
        ask(signal, then) { _, id, number in .signal(id: id, number: number) }
    }

    /// The stop signal: a shim that can passes it on to what the main process leaves.
    private func send(stop signal: String, then: @escaping (ShimAnswer) -> Void) {
        ask(signal, then) { link, id, number in link.speaksStop ? .stop(id: id, number: number) : .signal(id: id, number: number) }
    }

    private func ask(_ signal: String, _ then: @escaping (ShimAnswer) -> Void, _ request: (ShimLink, String, Int32) -> ShimRequest) {
        guard let number = Signals.number(named: signal) else { return then(.refused("this host knows no signal \(signal)")) }
        guard let link else { return then(signalLost(number)) }
        let id = link.requestID()
        awaited[id] = then
        link.send(request(link, id, number))
        agent.loop.scheduleTask(in: .nanoseconds(Self.shimBound.nanoseconds)) { [weak self] in
            if let self, self.link === link, awaited[id] != nil { continueShim(link.launch) }
        }
    }

    /// A shim that somebody has stopped (SIGSTOP) does nothing it is told, and keeps its worker a zombie: it is told to go on, on record.
    func continueShim(_ launch: LaunchID) {
        guard let entry = agent.emergency.entry(declaration.service), entry.launch == launch, let shim = entry.shimProcess else { return }
        // Not behind what waits for a disk.
        let accepted = agent.queries.submit(lane: "shim \(service)") { [self] in
            do {
                guard try ProcessStat.read(pid: shim.pid)?.state == "T" else { return }
                try PIDFD(opening: shim).signal(SIGCONT)
            } catch {
                return log.warning("a shim doesn't answer", metadata: ["why": "\(error)"])
            }
            agent.loop.execute {
                let text = "its shim was stopped by a signal (T), and was told to go on (SIGCONT)"
                // Once for each launch: whoever may stop it must not fill the audit.
                guard self.machine.launch == launch, !self.warnings.contains(text) else { return }
                self.warn(self.warnings + [text], recording: 1)
            }
        }
        if !accepted { log.warning("a shim doesn't answer, and too much other work waits to look at it") }
    }

    /// Through the shim, which kills the whole tree; where it can't or doesn't, through the pidfd opened at the start.
    func killTree(latch: String?) {
        guard let link else {
            killProcess()
            return killLost()
        }
        let launch = link.launch
        if latch != nil, agent.emergency.entry(declaration.service)?.launch == launch {
            // The emergency thread tells the shim as it kills. A second word at the same time would only take the CPU from
            // those that are dying; one a little later catches whatever the first did not.
            agent.loop.scheduleTask(in: .nanoseconds(EmergencyThread.shimBound.nanoseconds)) { [weak self] in
                guard let self, self.link === link else { return }
                tellShim(link, toKillUnder: latch)
            }
        } else {
            tellShim(link, toKillUnder: latch)
        }
    }

    private func tellShim(_ link: ShimLink, toKillUnder latch: String?) {
        let launch = link.launch
        link.send(.kill(id: link.requestID(), latch: latch.map(LatchFiles.word)))
        agent.loop.scheduleTask(in: .nanoseconds(Self.shimBound.nanoseconds)) { [weak self] in
            guard let self, let entry = agent.emergency.entry(declaration.service), entry.launch == launch else { return }
            continueShim(launch)
            guard !entry.isProcessGone else { return }
            log.warning("the shim has not killed in time; killing by pidfd", metadata: ["launch": "\(launch)"])
            killProcess()
        }
    }

    func killProcess() {
        guard let entry = agent.emergency.entry(declaration.service), let problem = entry.killProcess() else { return }
        log.error("cannot kill", metadata: ["why": "\(problem)"])
    }
}

extension WorkerMachine.Effect {
    fileprivate var isRecord: Bool { if case .record = self { true } else { false } }
}
