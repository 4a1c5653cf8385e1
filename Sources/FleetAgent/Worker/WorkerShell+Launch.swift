internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOCore

/// From the intent to the running process, and to its end.
extension WorkerShell {
    func launch(_ id: LaunchID) {
        if let latch = forbiddingLatch() {
            return handle(.launchFailed("it is under emergency stop \(latch). Release it first: trading emergency-stop release --reason …"))
        }
        if let doubt = agent.latches.unreadable.first {
            return handle(.launchFailed("\(doubt). Nothing is launched before it can be read or was removed"))
        }
        let order = LaunchOrder(
            launch: id, declaration: declaration, paths: agent.paths, programs: agent.programs, shim: agent.settings.shim,
            housekeeping: CPUList(agent.part.housekeepingCpus).flatMap { $0.isEmpty ? nil : $0 }, cgroups: agent.cgroups,
            digests: agent.digests, sharesMount: sharesMount, diskFreeMin: agent.part.diskFreeMin)
        launchSlug = nil
        // The last words of the launch before are not this one's.
        status = ""
        httpFigures = [:]
        gateReports = []
        // Through `files` first: what the launch before left, its PID file too, is cleared there.
        submitted(agent.files.submit { [self] in agent.loop.execute { self.check(id, order) } })
    }

    /// Keeps and returns how the coming launch is found if this agent ends before it has seen the launch's process and the run directory is
    /// gone by then: by its slot file, which is made here, and its cgroup.
    ///
    /// Touches the run directory alone, which is a tmpfs: no storage is waited for.
    func intend() -> LaunchTrace {
        var intent = LaunchTrace(worker: nil)
        if declaration.execution.cgroup == .killOnly, let launch = machine.launch {
            intent.cgroup = agent.cgroups?.directory(service: service, launch: launch.raw) ?? ""
        }
        do throws(LinuxError) {
            intent.slot = try LaunchDirectory.makeSlot(runDirectory: agent.paths.run, service: service)
        } catch {
            log.warning("a launch is recorded without its slot", metadata: ["why": "\(error)"])
        }
        trace = intent
        return intent
    }

    private func check(_ id: LaunchID, _ order: LaunchOrder) {
        guard machine.launch == id else { return }
        let accepted = agent.checking.submit(lane: service) { [self] in
            let checked = Result { try order.check() }
            agent.loop.execute { self.spawn(id, order, checked) }
        }
        submitted(accepted)
    }

    private func spawn(_ id: LaunchID, _ order: LaunchOrder, _ checked: Result<LaunchOrder.Checked, any Error>) {
        guard machine.launch == id else { return }
        let accepted = agent.files.submit { [self] in
            let outcome = Result { try order.spawn(checked.get()) }
            agent.loop.execute { self.prepared(id, outcome) }
        }
        submitted(accepted)
    }

    private func submitted(_ accepted: Bool) {
        if !accepted { handle(.launchFailed("the agent has too much other work waiting. Start it again")) }
    }

    private func prepared(_ id: LaunchID, _ outcome: Result<LaunchOrder.Ready, any Error>) {
        switch outcome {
        case .failure(let error):
            guard machine.launch == id else { return }
            launchSlug = (error as? PreStartChecks.Problem)?.slug
            handle(.launchFailed("cannot start \(name): \(error)"))
        case .success(let ready):
            guard machine.launch == id else {
                // Called off meanwhile: without `go` nothing runs.
                _ = Glibc.close(ready.descriptor)
                return
            }
            evidence = (id, ready.evidence)
            warn(ready.warnings)
            attach(ready.directory, id, ready.descriptor)
        }
    }

    /// Shown as long as the launch lasts, and recorded: all, or the last of them.
    func warn(_ new: [String], recording count: Int? = nil) {
        warnings = new
        for warning in new.suffix(count ?? new.count) {
            log.warning("a doubt about the launch", metadata: ["warning": "\(warning)"])
            agent.journal.append([
                AgentJournal.Draft(
                    event: AuditEvent.workerWarning.rawValue, worker: name.description, reason: warning,
                    fields: [WorkerMachine.Field("level", "warning"), WorkerMachine.Field("launch", machine.launch?.raw ?? "")])
            ]) { _ in }
        }
    }

    /// One path for launch and adoption: from here on the shim's stream says what is.
    func attach(_ directory: LaunchDirectory, _ id: LaunchID, _ descriptor: Int32) {
        var shimProcess: ProcessIdentity?
        // On the tmpfs: no storage is waited for.
        do { shimProcess = try directory.identity } catch { log.error("the shim's record can't be read", metadata: ["error": "\(error)"]) }
        agent.emergency.put(
            EmergencyEntry(
                service: declaration.service, tier: declaration.tier, host: agent.host,
                emergencyKilled: declaration.spec.emergencyKilled, launch: id, pid: worker?.pid ?? 0, process: nil,
                shimProcess: shimProcess, shimDescriptor: descriptor, directory: directory))
        let link = ShimLink(
            launch: id, directory: directory, instance: agent.instance,
            onMessage: { [weak self] message in self?.said(message, by: id) }, onClosed: { [weak self] in self?.lost(id) })
        self.link = link
        link.attach(descriptor, on: agent.loop)
    }

    /// Takes over a launch of the agent before; `adoption` says what the journal knows of it and who waits.
    func adopt(_ directory: LaunchDirectory, descriptor: Int32?) {
        let id = LaunchID(directory.launch)
        if let folded = agent.fold.workers[service], folded.launch == directory.launch { trace = folded.trace }
        if let descriptor { attach(directory, id, descriptor) } else { examine(directory, id) }
    }

    /// The shim of a launch that is being adopted has not answered: somebody may have stopped it.
    func continueSilentShim() {
        guard let link else { return }
        continueShim(link.launch)
    }

    /// Takes a launch that is being adopted for what its directory and the journal say, until its shim answers. Touches the tmpfs alone.
    func adoptUnanswered() {
        guard let adoption, let directory = adoption.directory else { return }
        let id = LaunchID(directory.launch)
        do {
            let boot = try BootID.read()
            let known = try trace?.worker.map { ProcessIdentity($0, boot) } ?? directory.worker
            if link != nil, let known, try known.isAlive() { return running(id, known.pid, known.startTime) }
            let shim = try directory.identity.map { LaunchTrace.Process(pid: $0.pid, startTicks: $0.startTime) }
            let slot = try LaunchTrace.Slot.read(directory.slot)
            adoptLost(id, LaunchTrace(worker: trace?.worker, shim: shim ?? trace?.shim, cgroup: try directory.cgroup ?? trace?.cgroup ?? "", slot: slot))
        } catch {
            log.error("a launch of the agent before can't be read", metadata: ["launch": "\(id)", "why": "\(error)"])
            adoptLost(id, trace ?? LaunchTrace(worker: nil))
        }
    }

    /// The agent ends: the stream is let go, the worker is not.
    func detach() {
        let old = link
        link = nil
        old?.close()
    }

    // MARK: What the shim says

    private func said(_ message: ShimMessage, by id: LaunchID) {
        guard let link, link.launch == id else { return }
        switch message {
        case .shim(_, let launch, let phase):
            guard launch == id.raw else {
                log.error("the shim speaks for another launch", metadata: ["launch": "\(launch)", "expected": "\(id)"])
                return link.close()
            }
            if phase == .waiting { waiting(id, link) }
        case .running(let pid, let startTime): running(id, pid, startTime)
        case .failed(let errno, let step):
            if machine.launch == id { handle(.launchFailed("cannot run \(declaration.spec.run.first ?? service): \(step): \(LinuxError.text(errno))")) }
            if adoption != nil { handle(.foundNever(id)) }
            endAdoption()
        case .notify(let key, let value): notify(key, value)
        case .exited, .exitedUnknown: break
        case .tree(let left, let signal, let until):
            treeLeft = id
            log.notice(
                "the main process has ended and left others of its tree",
                metadata: ["left": "\(left)", "they": "\(signal.map { "were told \(Signals.name($0))" } ?? "are being killed")"])
            // The stop that they wait for the end of was an agent's before this one, and nobody's here.
            if until == nil, signal != nil, !machine.isUnderStop { link.send(.stop(id: link.requestID(), number: 0)) }
        case .continued: noteContinued()
        case .mainPID(let pid, let startTime): mainPIDChanged(id, pid, startTime)
        case .watchdog(let late): handle(late ? .watchdogLate : .watchdogBack)
        case .fence(let fence): log.notice("fence", metadata: ["says": "\(fence)"])
        case .degraded(let what, let errno):
            log.info("the kernel refused the shim something for itself", metadata: ["what": "\(what)", "why": "\(LinuxError.text(errno))"])
        case .gone:
            self.link = nil
            link.close()
            ended(link.directory, id)
        case .ok(let request, _): awaited.removeValue(forKey: request)?(.ok)
        case .error(let request, let slug, let text): awaited.removeValue(forKey: request)?(.refused("\(slug) \(text)"))
        }
    }

    /// The shim did so by itself, after the stop signal; the record is this agent's, for every effect has one (law 5).
    private func noteContinued() {
        log.notice("it was stopped by a signal, and was continued for its stop")
        let fields = [
            WorkerMachine.Field("signal", "CONT"), WorkerMachine.Field("pid", machine.pid ?? 0),
            WorkerMachine.Field("why", "a signal had stopped it: it could not take the stop signal"),
        ]
        agent.journal.append([
            AgentJournal.Draft(
                event: AuditEvent.workerSignal.rawValue, worker: name.description, by: machine.slot?.by ?? "", reason: machine.slot?.reason ?? "",
                run: machine.slot?.run, fields: fields)
        ]) { _ in }
    }

    private func waiting(_ id: LaunchID, _ link: ShimLink) {
        guard machine.launch == id, adoption == nil else {
            // An intent of the agent before, or one called off: nothing ran and nothing will.
            link.send(.kill(id: link.requestID(), latch: nil))
            return
        }
        if let latch = forbiddingLatch() {
            link.send(.kill(id: link.requestID(), latch: LatchFiles.word(latch)))
            if machine.launch == id { handle(.launchFailed("it is under emergency stop \(latch)")) }
            return
        }
        if let order = machine.slot, order.verb == .start, let late = agent.late(order.operation) {
            // Without `go` nothing runs.
            link.send(.kill(id: link.requestID(), latch: nil))
            return handle(.launchFailed(late))
        }
        let request = link.requestID()
        awaited[request] = { [weak self] answer in
            // A launch that failed comes as `failed` too, with its step and errno; this is for a shim that refuses to go.
            if let self, case .refused(let why) = answer, !why.hasPrefix("failed "), case .launching(id) = machine.phase {
                handle(.launchFailed("its shim refused to start it: \(why)"))
            }
        }
        link.send(.go(id: request))
    }

    private func running(_ id: LaunchID, _ pid: Int32, _ startTime: UInt64) {
        guard let link else { return }
        do {
            let identity = ProcessIdentity(pid: pid, startTime: startTime, bootID: try BootID.read())
            worker = identity
            let process = try PIDFD(opening: identity)
            if let entry = agent.emergency.entry(declaration.service), entry.launch == id {
                agent.emergency.put(
                    entry.with(tier: declaration.tier, emergencyKilled: declaration.spec.emergencyKilled, pid: pid, process: process))
            }
            let up = try Processes.uptime(of: identity, now: Clock.boottime()) ?? .zero
            startedAt = Clock.boottime() + (.zero - up)
        } catch {
            // It has ended already: `exited` and `gone` follow.
            startedAt = Clock.boottime()
            log.debug("no pidfd", metadata: ["pid": "\(pid)", "why": "\(error)"])
        }
        trace = readTrace(pid, startTime, link.directory)
        writePIDFile()
        readAffinity(pid)
        if let adoption {
            handle(.adopted(id, pid: pid, ready: adoption.ready, stopping: adoption.stopping, quiesced: adoption.quiesced, trace: trace))
            log.notice("adopted", metadata: ["pid": "\(pid)", "launch": "\(id)"])
            endAdoption()
            applyLatches()
        } else if machine.launch == id, machine.pid == nil {
            handle(.processStarted(pid: pid, trace: trace))
        } else if machine.launch != id {
            // It started although its launch was called off in the same instant.
            link.send(.kill(id: link.requestID(), latch: nil))
        }
    }

    /// From the launch's directory, which is on the tmpfs: no storage is waited for.
    private func readTrace(_ pid: Int32, _ startTime: UInt64, _ directory: LaunchDirectory) -> LaunchTrace {
        let worker = LaunchTrace.Process(pid: pid, startTicks: startTime)
        do throws(LinuxError) {
            let shim = try directory.identity.map { LaunchTrace.Process(pid: $0.pid, startTicks: $0.startTime) }
            return LaunchTrace(worker: worker, shim: shim, cgroup: try directory.cgroup ?? "", slot: try LaunchTrace.Slot.read(directory.slot))
        } catch {
            log.warning("a launch's own record can't be read", metadata: ["why": "\(error)"])
            return LaunchTrace(worker: worker)
        }
    }

    /// MAINPID: the pidfds follow before the machine hears of it, so that its next signal finds the right process.
    private func mainPIDChanged(_ id: LaunchID, _ pid: Int32, _ startTime: UInt64) {
        guard machine.launch == id else { return }
        do {
            let identity = ProcessIdentity(pid: pid, startTime: startTime, bootID: try BootID.read())
            let process = try PIDFD(opening: identity)
            worker = identity
            if let entry = agent.emergency.entry(declaration.service), entry.launch == id {
                agent.emergency.put(
                    entry.with(tier: declaration.tier, emergencyKilled: declaration.spec.emergencyKilled, pid: pid, process: process))
            }
        } catch {
            log.warning("no pidfd of the new main process", metadata: ["pid": "\(pid)", "why": "\(error)"])
        }
        trace?.worker = LaunchTrace.Process(pid: pid, startTicks: startTime)
        handle(.mainPIDChanged(pid, trace: trace))
        writePIDFile()
        readAffinity(pid)
    }

    private func writePIDFile() {
        guard let worker, let launch = link?.launch else { return }
        let (path, file) = (agent.paths.pidFile(service), PIDFile(worker, launch: launch.raw))
        agent.files.submit { [log] in
            do { try file.write(path) } catch { log.warning("no PID file for people", metadata: ["error": "\(error)"]) }
        }
    }

    private func notify(_ key: String, _ value: String) {
        notified[key] = value
        notifiedAt[key] = Clock.boottime()
        switch key {
        case "STATUS": status = value
        case "FDSTORE" where value == "refused":
            warn(warnings + ["it asked for descriptors to be kept (FDSTORE=1): nothing is kept here, they were closed"], recording: 1)
        case "EXTEND_TIMEOUT_USEC":
            if let microseconds = Int64(value), microseconds > 0 {
                return handle(
                    .extensionSaid(
                        .microseconds(min(microseconds, 86_400_000_000)),
                        words: WorkerMachine.flightWords(inFlight: notified["X_INFLIGHT"].flatMap { Int64($0) }, status: status)))
            }
        default: break
        }
        handle(.notified("\(key)=\(value)"))
    }

    // MARK: The end of a launch

    private func ended(_ directory: LaunchDirectory, _ id: LaunchID) {
        let accepted = agent.files.submit { [self] in
            let exit = Result { try directory.exit }
            let why = Files.isDirectory(directory.path) ? "the shim left no exit record" : "its launch directory was removed"
            agent.loop.execute {
                switch exit {
                case .success(let exit?): self.finish(id, exit)
                case .success(nil): self.finishUnknown(id, why)
                case .failure(let error): self.finishUnknown(id, "\(error)")
                }
            }
        }
        if !accepted { agent.loop.scheduleTask(in: .milliseconds(100)) { self.ended(directory, id) } }
    }

    func finish(_ id: LaunchID, _ exit: ShimExit) {
        cleared(id)
        defer { endAdoption() }
        switch exit.how {
        case .never:
            if machine.launch == id { handle(.launchFailed("its shim waited for the agent's go in vain; nothing ran")) }
            if adoption != nil { handle(.foundNever(id)) }
        case .failed(let errno, let step):
            if machine.launch == id { handle(.launchFailed("cannot run \(declaration.spec.run.first ?? service): \(step): \(LinuxError.text(errno))")) }
        case .exited, .signalled, .unknown:
            if let adoption { return handle(.foundGone(id, WorkerExit(exit), wasStopping: adoption.stopping)) }
            guard machine.launch == id else { return }
            if let order = machine.slot { agent.operations[order.operation]?.goneAt = exit.goneAt }
            var end = WorkerExit(exit)
            // The emergency thread kills all before it tells any shim why: one that was quicker has kept the signal alone.
            if end.killedByLatch == nil, case .signalled(SIGKILL, _) = end.how, let latch = machine.latch { end.killedByLatch = latch }
            if let latch = end.killedByLatch { agent.latches.heard(of: latch) }
            handle(.gone(end))
        }
    }

    func finishUnknown(_ id: LaunchID, _ why: String, inDoubt: Bool = false) {
        log.error("a launch ended and its exit status is unknown", metadata: ["launch": "\(id)", "why": "\(why)"])
        let lastWords = notified.filter { WorkerExit.keeps($0.key) }
        cleared(id)
        defer { endAdoption() }
        let now = Clock.boottime()
        var exit = WorkerExit(how: .unknown, at: now)
        exit.isTreeInDoubt = inDoubt
        if let adoption { return handle(.foundGone(id, exit, wasStopping: adoption.stopping)) }
        guard machine.launch == id else { return }
        if let order = machine.slot { agent.operations[order.operation]?.goneAt = now }
        exit.notified = lastWords
        exit.status = status
        handle(.gone(exit))
    }

    private func cleared(_ id: LaunchID) {
        agent.emergency.remove(declaration.service, launch: id)
        worker = nil
        startedAt = nil
        notified = [:]
        notifiedAt = [:]
        awaited = [:]
        lossChecks = 0
        // Of a launch of which nothing ran there is only the intent.
        if let trace, trace.worker != nil { lastTrace = (id, trace) }
        trace = nil
        warnings = []
        let pidFile = agent.paths.pidFile(service)
        agent.files.submit { [log] in
            do { try Files.remove(pidFile) } catch { log.warning("a PID file is left", metadata: ["error": "\(error)"]) }
        }
    }

    // MARK: Loss of the stream

    /// Not closed by us and no `gone`: the exit record, a new connection, or the processes themselves say what happened.
    private func lost(_ id: LaunchID) {
        guard let link, link.launch == id else { return }
        self.link = nil
        for answer in awaited.values { answer(.refused("its shim's stream was lost")) }
        awaited = [:]
        examine(link.directory, id)
    }

    private enum Finding: Sendable {
        case exit(ShimExit)
        case reconnected(Int32)
        /// Nothing of the tree is found and no exit was kept; without a cgroup of its own something of it may live all the same.
        case empty(inDoubt: Bool)
        /// The shim is gone, something of the tree lives; what could be identified was killed.
        case leftovers
        /// The launch's directory is gone: what lives of it is known by its processes alone.
        case removed
    }

    private func examine(_ directory: LaunchDirectory, _ id: LaunchID) {
        let accepted = agent.files.submit { [self, trace] in
            let finding = Self.find(directory, trace, log)
            agent.loop.execute {
                switch finding {
                case .exit(let exit): self.finish(id, exit)
                case .reconnected(let descriptor): self.attach(directory, id, descriptor)
                case .empty(let inDoubt): self.finishUnknown(id, "its shim was lost", inDoubt: inDoubt)
                case .removed: self.adoptLost(id, self.trace ?? LaunchTrace(worker: nil))
                case .leftovers:
                    self.lossChecks += 1
                    if self.lossChecks == 1 { self.log.error("the shim was lost; what is left of its tree is being killed", metadata: ["launch": "\(id)"]) }
                    // Ten times a second at first, then once: uninterruptible sleep and core dumps take long.
                    self.agent.loop.scheduleTask(in: .milliseconds(self.lossChecks < 50 ? 100 : 1_000)) { self.examine(directory, id) }
                }
            }
        }
        if !accepted { agent.loop.scheduleTask(in: .milliseconds(100)) { self.examine(directory, id) } }
    }

    /// Blocking.
    ///
    /// Kills only what the launch's own records identify.
    private static func find(_ directory: LaunchDirectory, _ trace: LaunchTrace?, _ log: Logger) -> Finding {
        do {
            // Without its shim's own record a directory says nothing, whoever emptied it.
            guard try FileStatus.read(directory.path) != nil, let shim = try directory.identity else { return .removed }
            if let exit = try directory.exit, exit.treeEmpty { return .exit(exit) }
            do {
                return .reconnected(try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName))
            } catch {
                log.debug("the shim can't be reached", metadata: ["why": "\(error)"])
            }
            // A shim that lives but has no room for us is asked again, never replaced.
            if try shim.isAlive() { return .leftovers }
            // It is over only if all that could show something of it shows nothing: the lock that the worker inherited and may have closed,
            // the directory's identities and cgroup, and those that the journal kept.
            let isOver = try !directory.isSlotHeld && directory.remains(after: .zero) == nil && trace?.left(slot: directory.slot) == nil
            guard !isOver else {
                if let exit = try directory.exit { return .exit(exit) }
                return .empty(inDoubt: try directory.doubt(trace) != nil)
            }
            try trace?.kill(slot: directory.slot)
            if let worker = try directory.worker, try worker.isAlive() {
                for pid in try Processes.descendants(of: worker.pid) {
                    try PIDFD(opening: ProcessIdentity.read(pid: pid)).signal(SIGKILL)
                }
                try PIDFD(opening: worker).signal(SIGKILL)
            }
            if let cgroup = try directory.cgroup { try Cgroup.kill(cgroup) }
            for identity in try Processes.holding(slot: directory.slot) {
                try PIDFD(opening: identity).signal(SIGKILL)
            }
        } catch {
            log.debug("looking at a lost launch", metadata: ["why": "\(error)"])
        }
        return .leftovers
    }

    // MARK: Small things

    func endAdoption() {
        guard let adoption else { return }
        self.adoption = nil
        adoption.done()
    }

    /// A latch in force that covers this worker, the tmpfs looked at afresh.
    private func forbiddingLatch() -> String? {
        agent.latches.lookBeforeLaunch()
        return agent.latches.book.forbidding(
            service: declaration.service, tier: declaration.tier, host: agent.host, emergencyKilled: declaration.spec.emergencyKilled)?.id
    }

    /// As read back from the kernel; kept for a while because reading it per report would cost more than it tells.
    func readAffinity(_ pid: Int32) {
        affinityAt = Clock.boottime()
        do { affinity = try Processes.affinity(of: pid).description } catch { affinity = "" }
    }
}

extension WorkerExit {
    init(_ exit: ShimExit) {
        let how: How =
            switch exit.how {
            case .exited(let code): .exited(code)
            case .signalled(let number, let core): .signalled(number, core: core)
            case .never, .failed, .unknown: .unknown
            }
        self.init(
            how: how, killedByLatch: exit.latch, notified: exit.notified.filter { WorkerExit.keeps($0.key) },
            saidStopping: exit.saidStopping, status: exit.notified["STATUS"] ?? "", tree: exit.tree, at: exit.exitedAt)
    }
}
