internal import FleetCore
internal import FleetProbes
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Commands of coordinators, and orders of people on this host: one path, one memory.
extension Agent {
    /// How long a gate's question, or a look at all streams, may take.
    static let questionTimeout: Duration = .seconds(2)
    static let streamsTimeout: Duration = .seconds(10)

    /// A verb with what belongs to it.
    enum Ask: Sendable {
        case start
        case stop(killNow: Bool)
        case quiesce
        case resume
        case holdWait(Duration)
        case holdRelease(kill: Bool)
        /// Its text is the order's reason.
        case lock
        case unlock
        /// Empty: takes the note away.
        case note(String)

        var verb: Verb {
            switch self {
            case .start: .start
            case .stop: .stop
            case .quiesce: .quiesce
            case .resume: .resume
            case .holdWait, .holdRelease: .hold
            case .lock: .lock
            case .unlock: .unlock
            case .note: .note
            }
        }
    }

    // MARK: From coordinators

    func handle(_ command: WireCommand, on session: AgentSession) {
        let listener = Operation.Listener(key: session.id) { [weak session] result in session?.send(.result(result)) }
        func refuse(_ slug: String, _ text: String) {
            var result = WireCommandResult()
            result.operation = command.operation
            result.outcome = .refused
            result.slug = slug
            result.text = text
            result.boottimeNs = Clock.boottime().nanoseconds
            if let known = self.shell(command.service) { result.worker = ReportBuilder.worker(known, now: Clock.boottime()) }
            session.send(.result(result))
        }
        guard !command.operation.isEmpty else {
            return refuse("bad-request", "a command without an operation id can't be answered twice alike; it was not done")
        }
        guard command.session == session.id else {
            return refuse(
                "stale-session",
                "the command was made for session \(command.session), this is \(session.id): it was not done. Offer it again if it is still wanted")
        }
        guard let what = command.what else {
            return refuse("unknown-command", "this agent does not know that command; it is older than the coordinator. Update it")
        }
        if let (slug, text) = session.refusal(of: what.deed) { return refuse(slug, text) }
        if let known = operations[command.operation] {
            // A question that has been answered is asked anew: an answer from memory would be about another time.
            guard what.isQuestion, known.result != nil else { return known.attach(listener) }
            operations.forget(command.operation)
        }
        // On this host's own clock; again right before the first effect, past the wait for its record (DESIGN, "Commands").
        let operation = Operation(
            id: command.operation, service: command.service, records: fold.operations[command.operation] ?? [],
            notAfter: command.notAfterBoottimeNs == 0 ? nil : BootTime(nanoseconds: command.notAfterBoottimeNs))
        if let late = operation.lateness(at: Clock.boottime()) { return refuse("expired", late) }
        let shell = shell(command.service)
        let isHostWide: Bool =
            switch command.what {
            case .readGate, .readStreams, .layout: true;
            default: false
            }
        guard shell != nil || isHostWide else {
            return refuse("unknown-service", "there is no \(command.service) on \(host): its part of the inventory (\(part.digest.prefix(12))) doesn't name it")
        }
        let isGuests = session.isGuest && what.isQuestion
        guard operations.insert(operation, ofGuest: isGuests) else {
            let count = isGuests ? OperationMemory.guestsMax : OperationMemory.bound
            return refuse("busy", "\(count) operations are going on at \(host). Wait for some to end")
        }
        operation.attach(listener)
        func begin(_ ask: Ask, _ shell: WorkerShell) {
            self.begin(
                ask,
                Order(
                    operation: command.operation, verb: ask.verb, by: session.author(claiming: command.origin), reason: command.reason,
                    run: command.run == 0 ? nil : command.run,
                    expectedGeneration: command.expectedGeneration == 0 ? nil : command.expectedGeneration), shell)
        }
        switch (command.what, shell) {
        case (.start, let shell?): begin(.start, shell)
        case (.stop(let stop), let shell?): begin(.stop(killNow: stop.killNow), shell)
        case (.quiesce, let shell?): begin(.quiesce, shell)
        case (.resume, let shell?): begin(.resume, shell)
        case (.holdWait(let wait), let shell?): begin(.holdWait(.nanoseconds(Int64(clamping: wait.forNs))), shell)
        case (.holdRelease(let release), let shell?): begin(.holdRelease(kill: release.kill), shell)
        case (.lock, let shell?): begin(.lock, shell)
        case (.unlock, let shell?): begin(.unlock, shell)
        case (.remark(let remark), let shell?): begin(.note(remark.text), shell)
        case (.readDetail, let shell?): readDetail(shell, operation)
        case (.readGate(let gate), _): readGate(gate, operation)
        case (.readStreams, _): readStreams(operation)
        case (.layout(let request), _): answerLayout(request, command, operation)
        case (.verify, let shell?): verify(shell, operation)
        case (.snapshot, let shell?): snapshot(shell, operation)
        default: publish(operation, .failedTo, slug: "unknown-command", text: "this agent does not know that command")
        }
    }

    // MARK: Orders

    /// For people on this host: the outcome comes to `listener`, PROGRESS included.
    ///
    /// People's orders have no time limit; `notAfter` is what a coordinator's have. `throughLock`: a lock doesn't refuse it.
    func order(
        _ ask: Ask, _ shell: WorkerShell, by: String, reason: String, run: UInt64?, notAfter: BootTime? = nil, throughLock: Bool = false,
        listener: @escaping (WireCommandResult) -> Void
    ) {
        let id = "local-\(Random.hex(8))"
        let operation = Operation(id: id, service: shell.service, notAfter: notAfter)
        guard operations.insert(operation) else {
            var result = WireCommandResult()
            result.outcome = .refused
            result.slug = "busy"
            result.text = "\(OperationMemory.bound) operations are going on at \(host). Wait for some to end"
            return listener(result)
        }
        operation.attach(Operation.Listener(key: "local", send: listener))
        begin(ask, Order(operation: id, verb: ask.verb, by: by, reason: reason, run: run, throughLock: throughLock), shell)
    }

    private func begin(_ ask: Ask, _ order: Order, _ shell: WorkerShell) {
        if case .start = ask, !shell.isDeclared {
            return answer(
                order,
                .refused(slug: "not-declared", text: "\(shell.name) is no longer in this host's inventory; it can be stopped, not started"), from: shell)
        }
        switch ask {
        case .start: shell.handle(.startRequested(order, launch: Self.newLaunchID()))
        case .stop(let killNow): shell.handle(.stopRequested(order, killNow: killNow))
        case .quiesce: shell.handle(.quiesceRequested(order))
        case .resume: shell.handle(.resumeRequested(order))
        case .holdWait(let time): shell.handle(.holdWaitRequested(order, time))
        case .holdRelease(let kill): shell.handle(.holdReleaseRequested(order, kill: kill))
        case .lock: shell.handle(.lockRequested(order, mark(order, order.reason)))
        case .unlock: shell.handle(.unlockRequested(order))
        case .note(let text): shell.handle(.remarkRequested(order, text.isEmpty ? nil : mark(order, text)))
        }
    }

    private func mark(_ order: Order, _ text: String) -> Mark { Mark(by: order.by, text: text, unixMicroseconds: Clock.unixMicroseconds()) }

    /// The machine's answer, in the wire's words.
    func answer(_ order: Order, _ answer: WorkerMachine.Answer, from shell: WorkerShell) {
        guard let operation = operations[order.operation] else { return }
        if let why = operation.expired, case .failed = answer {
            operation.expired = nil
            return expire(operation.id, why, at: shell)
        }
        switch answer {
        case .done(let killed, _) where order.verb == .stop: stopped(shell, operation, killed: killed)
        case .done(let killed, let held):
            publish(operation, .done, text: held ? "it was held" : "", shell: shell, killed: killed)
        case .progress(let slug, let text): publish(operation, .progress, slug: slug, text: text, shell: shell)
        case .refused(let slug, let text): publish(operation, .refused, slug: slug, text: text, shell: shell)
        case .failed("left-behind", let text):
            publish(operation, .failedTo, slug: "left-behind", text: text, shell: shell) { result in
                if let verification = shell.machine.verification { result.take(verification) }
            }
        case .failed("launch-failed", let text): publish(operation, .failedTo, slug: shell.launchSlug ?? "launch-failed", text: text, shell: shell)
        case .failed(let slug, let text): publish(operation, .failedTo, slug: slug, text: text, shell: shell)
        }
    }

    /// Why an order may no longer be carried out, said again by its answer; nil while it may.
    func late(_ operation: String) -> String? {
        guard let operation = operations[operation], let late = operation.lateness(at: Clock.boottime()) else { return nil }
        operation.expired = late
        return late
    }

    /// Records and answers that an order was not carried out; it may be offered again.
    func expire(_ id: String, _ why: String, at shell: WorkerShell) {
        guard let operation = operations[id] else { return }
        log.warning("an order ran out before it could be carried out", metadata: ["worker": "\(shell.service)", "operation": "\(id)", "why": "\(why)"])
        let draft = AgentJournal.Draft(
            event: AgentJournal.orderExpired, worker: shell.name.description, reason: why,
            fields: [
                WorkerMachine.Field("op", id), WorkerMachine.Field("generation", shell.machine.generation),
                WorkerMachine.Field("stopping", shell.machine.isUnderStop),
                WorkerMachine.Field("open", shell.machine.launch != nil),
            ])
        // The answer does not wait for it: nothing was done.
        journal.append([draft]) { _ in }
        // Records of what was announced and not done are no evidence of anything.
        operation.records = []
        operation.signalledAt = nil
        publish(operation, .refused, slug: "expired", text: why, shell: shell)
        operations.forget(id)
    }

    /// Says that a stop is done together with what shows it: nothing of the launch is left.
    private func stopped(_ shell: WorkerShell, _ operation: Operation, killed: Bool) {
        if let verification = shell.machine.verification {
            return publish(operation, .done, shell: shell, killed: killed) { $0.take(verification) }
        }
        // Of a launch that the journal has lost.
        if let strayed = shell.machine.strayed {
            return publish(operation, .done, shell: shell, killed: killed) {
                $0.take(Verification([Verification.doubt(strayed)], at: Clock.boottime()))
            }
        }
        // Nothing of it has ever run, as far as the journal knows.
        let name = shell.service
        let accepted = queries.submit(lane: "tree \(name)") { [self] in
            let problem = TreeCheck.problem(runDirectory: paths.run, service: name)
            loop.execute { self.publish(operation, .done, text: problem ?? "", shell: shell, killed: killed) { $0.treeEmpty = problem == nil } }
        }
        // Without the look the stop is called done and its tree not shown empty: the run asks again.
        if !accepted { publish(operation, .done, text: "the agent has too much other work waiting to look", shell: shell, killed: killed) }
    }

    func publish(
        _ operation: Operation, _ outcome: WireCommandResult.Outcome, slug: String = "", text: String = "", shell: WorkerShell? = nil,
        killed: Bool = false, _ more: (inout WireCommandResult) -> Void = { _ in }
    ) {
        let now = Clock.boottime()
        var result = WireCommandResult()
        result.operation = operation.id
        result.outcome = outcome
        result.slug = slug
        result.text = text
        result.boottimeNs = now.nanoseconds
        if let shell {
            result.worker = ReportBuilder.worker(shell, now: now)
            if outcome == .done || slug == "left-behind" { result.launches = ReportBuilder.launches(shell) }
        }
        result.records = operation.records
        // An earlier agent may have killed for the same operation: its records say so. A SIGKILL that met it ended has killed nothing.
        let endedByItself = if shell?.machine.launch == nil, case .exited? = shell?.machine.lastExit?.how { true } else { false }
        result.killed = killed || (!endedByItself && operation.records.contains { $0.event == AuditEvent.workerKill.rawValue })
        if let signal = operation.records.first(where: { $0.event == AuditEvent.workerSignal.rawValue || $0.event == AuditEvent.workerKill.rawValue }) {
            result.signalledUnixUs = signal.unixUs
        }
        result.signalledBoottimeNs = operation.signalledAt?.nanoseconds ?? 0
        if let end = operation.records.first(where: { $0.event == AuditEvent.workerStop.rawValue || $0.event == AuditEvent.workerExit.rawValue }) {
            result.goneUnixUs = end.unixUs
        }
        result.goneBoottimeNs = operation.goneAt?.nanoseconds ?? 0
        more(&result)
        operation.publish(result)
    }

    // MARK: Questions

    private func answerLayout(_ request: WireLayoutRequest, _ command: WireCommand, _ operation: Operation) {
        layout.handle(
            request, by: command.origin, reason: command.reason, run: command.run == 0 ? nil : command.run, operation: operation.id
        ) { result in
            var result = result
            result.operation = operation.id
            result.boottimeNs = Clock.boottime().nanoseconds
            operation.publish(result)
        }
    }

    private func readGate(_ gate: WireReadGate, _ operation: Operation) {
        let probe = part.workers.lazy.flatMap { worker in worker.gates.map { (worker.service, $0) } }
            .first { $1.name == gate.gate && ($1.at == gate.owner || $0 == gate.owner) }
        guard let wire = probe?.1.probe else {
            return publish(
                operation, .failedTo, slug: "unknown-gate",
                text: "no worker of \(host) asks the gate \(gate.gate) of \(gate.owner); its part of the inventory may be old")
        }
        let spec = WorkerDeclaration.probe(wire)
        let asked = queries.submit(lane: "gate \(spec.url)") { [self] in
            let (figure, value) = GateReading.read(spec, timeout: Self.questionTimeout)
            let holds = value.map { GateReading.holds($0, spec.equals) } ?? false
            loop.execute {
                self.publish(operation, .done, text: figure.known ? "" : figure.whyUnknown) { result in
                    result.figure = figure
                    result.holds = holds
                }
            }
        }
        if !asked { publish(operation, .failedTo, slug: "busy", text: "the agent has too many questions waiting. Ask again") }
    }

    /// Each stream by itself: a peer that hangs leaves the others' readings young.
    private func readStreams(_ operation: Operation) {
        let probes = expandedStreams
        guard !probes.isEmpty else { return publish(operation, .done) }
        let readings = Gathering<WireStreamReading>(probes.count)
        for (index, probe) in probes.enumerated() {
            let asked = queries.submit(lane: "stream \(probe.stream) \(probe.consumer)") { [self] in
                let reading = StreamReader.read(probe, timeout: Self.streamsTimeout)
                loop.execute {
                    guard let all = readings.take(reading, at: index) else { return }
                    self.publish(operation, .done) { $0.streams = all }
                }
            }
            guard asked else {
                return publish(operation, .failedTo, slug: "busy", text: "the agent has too many questions waiting. Ask again")
            }
        }
    }

    /// The part's streams, `$state` being the consumer's own state directory.
    var expandedStreams: [WireStreamProbe] {
        part.streams.map { probe in
            var probe = probe
            probe.sqlitePath = WorkerDeclaration.expand(probe.sqlitePath, state: paths.workerState(probe.consumer))
            return probe
        }
    }

    /// The same checks as after a stop, anew.
    private func verify(_ shell: WorkerShell, _ operation: Operation) {
        guard shell.machine.launch == nil else {
            return publish(operation, .done, text: "\(shell.name) is \(ReportBuilder.word(shell.machine.phase))", shell: shell)
        }
        guard let launch = shell.machine.lastLaunch else { return stopped(shell, operation, killed: false) }
        stopChecks.look(shell.look(at: launch), isEmergency: false) { [self] seen in
            let verification = seen.doubting(shell.machine.strayed)
            let stillIdle = shell.machine.launch == nil
            let left = (verification.left + verification.unknown).first { $0.what == .tree }?.text ?? ""
            publish(operation, .done, text: stillIdle ? left : "\(shell.name) is \(ReportBuilder.word(shell.machine.phase))", shell: shell) { result in
                result.take(verification)
                if !stillIdle { result.treeEmpty = false }
            }
        }
    }

    private func snapshot(_ shell: WorkerShell, _ operation: Operation) {
        let paths = shell.declaration.spec.stateFiles
        // Hashing large files must not keep a launch waiting.
        let accepted = housework.submit(lane: "snapshot \(shell.service)") { [self] in
            let digests = StateFiles.digests(paths)
            loop.execute {
                var snapshot = WireWorkerSnapshot()
                snapshot.service = shell.service
                snapshot.stateFileSha256 = digests
                snapshot.counters = ReportBuilder.counters(shell)
                if let exit = shell.machine.lastExit {
                    snapshot.exit = WireExit(exit)
                    let marker = shell.machine.verification?.checks.first { $0.what == .marker }
                    snapshot.markerFound = marker.map { $0.state == .clear } ?? exit.saidStopping
                }
                self.publish(operation, .done, shell: shell) { $0.snapshot = snapshot }
            }
        }
        if !accepted { publish(operation, .failedTo, slug: "busy", text: "the agent has too much other work waiting. Ask again") }
    }
}

extension WireCommandResult {
    fileprivate mutating func take(_ verification: Verification) {
        checks = verification.checks.map { WireCheck($0, at: verification.at) }
        treeEmpty = verification.checks.contains { $0.what == .tree && $0.state == .clear }
    }
}
