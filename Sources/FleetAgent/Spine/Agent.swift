internal import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import Glibc
internal import LinuxHost
package import Logging
internal import NIOCore
package import NIOPosix

/// One host's agent: one loop that owns the machines of its workers, and the threads that do what may block.
///
/// Duties:
/// 1. It alone decides about its workers; coordinators and people order, it refuses what is stale or forbidden.
/// 2. Its own end, its restart and the loss of every coordinator stop no worker (law 4).
/// 3. A latch, from wherever it is learned, kills before anything is written (law 7).
///
/// `@unchecked Sendable`: everything mutable is touched on `loop` only, but for `start`, which runs before the loop has
/// been given anything.
package final class Agent: @unchecked Sendable {
    package static let version = Version.number

    /// Sessions are open by then, and the first facts and layout have been read.
    private static let settledAfter: TimeAmount = .seconds(15)
    /// How often changes are reported at most.
    static let reportEvery: Duration = .milliseconds(50)

    let settings: AgentSettings
    let paths: AgentPaths
    let host: HostName
    let fleet: FleetName
    let loop: any EventLoop
    let group: MultiThreadedEventLoopGroup
    let log: Logger
    /// Random, one per agent process.
    let instance = Random.hex(16)
    let programs: ProgramPolicy

    let emergency: EmergencyThread
    /// Directories, shims, log files: what ends soon, for launches wait for it.
    let files = WorkThread(name: "files")
    /// Once a second: counters, dependencies, streams.
    let probing = PeerThreads(name: "probes")
    /// What a command asks and waits for: gates, calls, sinks.
    let queries = PeerThreads(name: "queries")
    /// Rotation, searches in logs, facts, layout: what may take long and must keep nothing else waiting.
    let housework = PeerThreads(name: "housework")
    /// What is looked at before a launch: as slow as a file server or a directory service, a lane for each service.
    let checking = PeerThreads(name: "start checks")

    let digests = DigestCache()
    /// Where launches get cgroups of their own; nil: they get none.
    let cgroups: Cgroup.Place?
    private(set) var stopChecks: StopChecks!

    let journal: AgentJournal
    private(set) var latches: LatchKeeper!
    private(set) var prober: Prober!
    private(set) var logs: LogService!
    private(set) var layout: LayoutService!
    private(set) var localRuns: LocalRuns!
    private(set) var localServer: LocalServer!
    var operations = OperationMemory()
    /// In the order of the part; what is no longer declared but still runs comes last.
    private(set) var shells: [WorkerShell] = []
    private(set) var part = WireHostPart()
    let fold: AgentJournalFold
    /// Since the agent before wrote its journal.
    private var rebooted = false
    /// Where all threads were put.
    private var housekeeping: CPUList?
    /// What is known of workers that were taken out of the part while this agent ran.
    private var retired: [String: WorkerMachine.Past] = [:]
    let trust: TLSTrust?

    var sessions: [AgentSession] = []
    /// Whose orders are taken.
    var book: CoordinatorBook
    private var dialers: [WireDialer] = []
    /// Held until `stop`.
    private var locks: [FileLock]
    private var nextReport: (due: BootTime, task: Scheduled<Void>)?
    private var reportSequence: UInt64 = 0
    private var lastReport = BootTime.zero
    private var ticking: RepeatedTask?
    private var pinging: RepeatedTask?
    private let manager: AgentNotify
    private let startProblems: [String]

    /// A sentence for the terminal: why there is no agent.
    package struct StartFault: Error, CustomStringConvertible {
        package let description: String
    }

    /// Takes the directories, opens the journal and reads what an earlier agent left.
    ///
    /// Blocks; touches no worker.
    package init(settings: AgentSettings, group: MultiThreadedEventLoopGroup, log: Logger) throws {
        self.settings = settings
        self.group = group
        loop = group.next()
        var log = log
        log[metadataKey: "host"] = "\(settings.host)"
        self.log = log
        paths = AgentPaths(state: settings.stateDirectory, run: Files.resolvingParent(settings.runDirectory))
        host = HostName(settings.host)
        fleet = FleetName(settings.fleet)
        programs = ProgramPolicy(
            programDirectories: settings.programDirectories, allowedDirectories: settings.allowedDirectories,
            allowedUsers: settings.allowedUsers, allowedSecretDirectories: settings.allowedSecretDirectories, allowedGroups: settings.allowedGroups,
            allowedCapabilities: settings.allowedCapabilities, realtimeMax: settings.realtimeMax, settingsFile: settings.file)
        try Files.makeDirectory(paths.state, mode: 0o711)
        try Files.makeDirectory(paths.workers, mode: 0o711)
        try Files.makeDirectory(paths.run, mode: 0o750)
        if let fault = Self.distrust(run: paths.run) { throw StartFault(description: fault) }
        // An emergency stop without an agent takes its absence for a removal.
        try Files.makeDirectory(LaunchDirectory.services(paths.run), mode: 0o750)
        try Files.makeDirectory(paths.logs, mode: 0o750)
        locks = try [paths.stateLock, paths.runLock].map { path in
            guard let lock = try Files.lock(path) else {
                throw StartFault(
                    description:
                        "another trading-agent holds \(path): one agent per state and run directory. End it first, or give this one directories of its own")
            }
            return lock
        }
        emergency = try EmergencyThread()
        guard Files.isExecutable(settings.shim) else {
            throw StartFault(description: "there is no shim at \(settings.shim): install trading-shim there, or give its path as --shim")
        }
        cgroups = Self.cgroups(settings, log)
        manager = AgentNotify(log: log)
        var problems: [String] = []
        let opened = try Journal.open(path: paths.journal)
        problems += [opened.repair, opened.warning].compactMap { $0 }
        journal = AgentJournal(opened.journal, host: settings.host, loop: loop, log: log)
        fold = AgentJournalFold(opened.records, newID: Self.newLaunchID().raw) { opened.hash(of: $0) }
        if settings.coordinators.isEmpty {
            trust = nil
        } else {
            trust = try TLSTrust(
                paths: TLSPaths(cert: settings.certificate, key: settings.key, ca: settings.authority, crl: settings.revocations),
                fleet: fleet, lists: .kept(paths.revocations), log: log)
        }
        do {
            book = try PinStore.load(paths, partFrom: fold.partFrom)
        } catch {
            problems.append("\(error)")
            book = CoordinatorBook(unusable: "\(error)")
        }
        do {
            if let part = try PartStore.load(paths.part) {
                try PartStore.check(part, fleet: settings.fleet, host: settings.host)
                self.part = part
            }
        } catch {
            problems.append("the part of the inventory kept in \(paths.part) is unusable (\(error)); waiting for a coordinator's")
        }
        startProblems = problems
        latches = LatchKeeper(agent: self)
        stopChecks = StopChecks(agent: self)
        prober = Prober(agent: self)
        logs = LogService(agent: self)
        layout = LayoutService(agent: self)
        localRuns = LocalRuns(agent: self, after: fold.lastRun)
        localServer = LocalServer(agent: self)
    }

    /// Resolves what an earlier agent left, then opens the local socket and dials the coordinators.
    ///
    /// Returns at once.
    package func start() throws {
        for problem in startProblems { log.warning("at start", metadata: ["problem": "\(problem)"]) }
        latches.load()
        emergency.start { [log] error in
            log.notice("emergency stops are sent at ordinary priority", metadata: ["why": "\(error)"])
        }
        files.start()
        stopChecks.start()
        let bootID = try BootID.read()
        rebooted = fold.bootID.map { $0 != bootID } ?? false
        loop.execute { [self] in
            journal.note(
                .agentStart,
                [
                    WorkerMachine.Field("version", Self.version), WorkerMachine.Field("boot_id", bootID),
                    WorkerMachine.Field("instance", instance), WorkerMachine.Field("rebooted", rebooted), WorkerMachine.Field("journal", fold.id),
                ])
            adoptShells(from: part)
            StartupResolution(agent: self, bootID: bootID, rebooted: rebooted).run { [self] in opened(rebooted: rebooted) }
        }
    }

    private func opened(rebooted: Bool) {
        log.notice("agent ready", metadata: ["workers": "\(shells.count)", "part": "\(part.digest.prefix(12))"])
        localServer.open()
        for shell in shells { shell.resume() }
        manager.say("READY=1\nSTATUS=\(managerStatus)")
        if let every = manager.watchdogEvery {
            // From the loop: a loop that hangs is what the manager is to notice.
            pinging = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .nanoseconds(every.nanoseconds)) { [self] _ in
                manager.say("WATCHDOG=1\nSTATUS=\(managerStatus)")
            }
        }
        ticking = loop.scheduleRepeatedTask(initialDelay: .milliseconds(10), delay: .seconds(1)) { [self] _ in tick() }
        if rebooted { startAfterBoot() }
        loop.scheduleTask(in: Self.settledAfter) { [self] in releaseStart() }
        guard let trust else { return }
        for address in settings.coordinators {
            do {
                let dialer = WireDialer(
                    group: group, address: try WireAddress.parse(address), trust: trust,
                    hello: { [self] in hello() }, heartbeat: { [self] in heartbeat() }, looksItself: false, delegate: self, log: log)
                dialers.append(dialer)
                dialer.start()
            } catch {
                log.error("cannot dial", metadata: ["coordinator": "\(address)", "error": "\(error)"])
            }
        }
    }

    /// A third of the code in memory was there for the start alone: reading, resolving, the first handshake.
    private func releaseStart() {
        do throws(LinuxError) { try ProgramCode.release() } catch {
            log.info("what the start took stays in memory", metadata: ["why": "\(error)"])
        }
    }

    /// What the inventory declares with `after_boot: start`, in order, as a local run of this agent's own.
    private func startAfterBoot() {
        var request = APIRunRequest()
        request.reason = "after_boot: start"
        request.scope.services = shells.filter { $0.isDeclared && $0.declaration.spec.startAfterBoot && $0.machine.latch == nil }.map(\.service)
        guard !request.scope.services.isEmpty else { return }
        do {
            let accepted = try localRuns.order(kind: "start", request, by: "agent")
            log.notice("starting after boot", metadata: ["run": "\(accepted.run)", "workers": "\(request.scope.services.count)"])
        } catch {
            log.error("not started after boot", metadata: ["why": "\(error.what)"])
        }
    }

    /// Ends the agent and nothing else: workers, shims and launches stay as they are (law 4).
    ///
    /// Blocks; not for the loop.
    package func stop() {
        let ended = loop.submit { [self] in
            manager.say("STOPPING=1\nSTATUS=ends; workers go on")
            ticking?.cancel()
            pinging?.cancel()
            for dialer in dialers { dialer.stop() }
            for session in sessions { session.wire.close(why: "the agent ends") }
            logs.end()
            localServer.close()
            for shell in shells { shell.detach() }
        }
        do { try ended.wait() } catch { log.error("not all was closed", metadata: ["error": "\(error)"]) }
        emergency.end()
        files.end()
        stopChecks.end()
        for threads in [probing, queries, housework, checking] { threads.end() }
        journal.close()
        locks = []
    }

    /// New certificates and revocation list, without a restart (law 11).
    package func reload() {
        guard let trust else { return }
        manager.say("RELOADING=1\nMONOTONIC_USEC=\(Clock.monotonicMicroseconds())")
        files.submit { [self] in
            defer { manager.say("READY=1") }
            do {
                try trust.reload()
                log.notice("certificates and revocation list reloaded")
                // The other side goes on judging this agent by the chain that the session began with.
                loop.execute {
                    for session in self.sessions where session.wire.isRestricted {
                        session.wire.close(why: "certificates were reloaded: it dials in with the new ones")
                    }
                }
            } catch {
                log.error("certificates not reloaded; the old ones stay in use", metadata: ["error": "\(error)"])
            }
        }
    }

    /// For `systemctl status`.
    private var managerStatus: String {
        let running = shells.count { $0.machine.pid != nil }
        return "\(running) of \(shells.count) workers running, \(sessions.count) of \(settings.coordinators.count) coordinators connected"
    }

    /// All threads of the agent go where its host keeps house.
    private func keepHouse() {
        guard let cpus = CPUList(part.housekeepingCpus), !cpus.isEmpty, cpus != housekeeping else { return }
        housekeeping = cpus
        files.submit { [log] in
            do {
                let refused = try Threads.pin(to: cpus)
                if refused > 0 { log.warning("some threads are not on the housekeeping CPUs", metadata: ["count": "\(refused)", "cpus": "\(cpus)"]) }
            } catch {
                log.warning("the agent is not on the housekeeping CPUs", metadata: ["cpus": "\(cpus)", "error": "\(error)"])
            }
        }
    }

    /// Why this host's run directory can't be relied on: whoever else can write there could put a launch, a shim's socket or a
    /// latch in the place of ours. Nil: nobody else can.
    private static func distrust(run path: String) -> String? {
        do {
            guard let status = try FileStatus.read(path, followLinks: false) else { return nil }
            if status.kind != .directory { return "the run directory \(path) is a link, or no directory: name the directory itself as --run-dir" }
            if status.user != geteuid() {
                return
                    "the run directory \(path) belongs to \(Account.name(of: status.user) ?? "\(status.user)"), not to this agent: chown it, or name another as --run-dir"
            }
            if status.mode & 0o022 != 0 { return "the run directory \(path) can be written by others: chmod go-w \(path)" }
            return nil
        } catch {
            return "the run directory can't be judged: \(error)"
        }
    }

    /// Coordinators that would like to order here and may not.
    private var strangers: [String] {
        sessions.compactMap { session in session.strange.map { "\(session.name) is not followed: \($0)" } }
    }

    private static func cgroups(_ settings: AgentSettings, _ log: Logger) -> Cgroup.Place? {
        guard settings.cgroupRoot != "none" else { return nil }
        do {
            return try Cgroup.place(at: settings.cgroupRoot.isEmpty ? nil : settings.cgroupRoot)
        } catch {
            log.notice("workers get no cgroup of their own: their shims keep their trees together", metadata: ["why": "\(error)"])
            return nil
        }
    }

    /// Whether a launch that is over was of a boot before this one.
    func isOfEarlierBoot(_ launch: LaunchID, of service: String) -> Bool {
        rebooted && fold.workers[service].map { $0.launch == launch.raw } ?? false
    }

    static func newLaunchID() -> LaunchID { LaunchID(Random.hex(8)) }

    // MARK: Workers

    func shell(_ service: String) -> WorkerShell? { shells.first { $0.service == service } }

    /// Takes a part over: new workers get a machine, known ones the new policy, undeclared ones stay while they run.
    func adoptShells(from part: WireHostPart) {
        self.part = part
        var next: [WorkerShell] = []
        for spec in part.workers {
            let declaration = WorkerDeclaration(spec, paths: paths)
            if let known = shell(spec.service) {
                known.redeclare(declaration)
                next.append(known)
            } else {
                next.append(WorkerShell(agent: self, declaration: declaration, past: past(of: spec.service)))
            }
        }
        for leftover in shells where !next.contains(where: { $0 === leftover }) {
            leftover.isDeclared = false
            if leftover.machine.launch != nil || leftover.machine.slot != nil || leftover.machine.strayed != nil {
                next.append(leftover)
            } else {
                retired[leftover.service] = leftover.machine.past
            }
        }
        shells = next
        for shell in shells { shell.applyLatches() }
        let prepared = shells.map { ($0.service, $0.declaration.tier.raw, $0.declaration.spec.emergencyKilled) }
        files.submit { [paths, log] in
            for (service, tier, killed) in prepared {
                do {
                    try ServiceNote(tier: tier, emergencyKilled: killed).write(runDirectory: paths.run, service: service)
                    try Files.makeDirectory(paths.workerState(service), mode: 0o750)
                } catch {
                    log.error("cannot prepare the worker's directories", metadata: ["worker": "\(service)", "error": "\(error)"])
                }
            }
        }
        keepHouse()
        changed()
    }

    /// What is known of a worker that this agent has no machine of: from one that was taken out of the part and comes back
    /// into it, else from the journal.
    private func past(of service: String) -> WorkerMachine.Past {
        var past =
            retired.removeValue(forKey: service)
            ?? fold.past(of: service, rebooted: rebooted, unixNow: Clock.unixMicroseconds(), bootNow: Clock.boottime())
        // What comes back into the part later starts by an order.
        if ticking != nil { past.restartPending = false }
        return past
    }

    /// A launch that no part declares any more, found at start.
    func addUndeclared(_ service: String, tier: String, emergencyKilled: Bool) -> WorkerShell {
        var spec = WireWorkerSpec()
        spec.service = service
        spec.tier = tier
        spec.emergencyKilled = emergencyKilled
        spec.stop.graceNs = 10_000_000_000
        spec.stop.extendToNs = 30_000_000_000
        // Nobody has said what it is: a person decides past the grace.
        spec.stop.hold = true
        let shell = WorkerShell(agent: self, declaration: WorkerDeclaration(spec, paths: paths), past: past(of: service))
        shell.isDeclared = false
        shells.append(shell)
        return shell
    }

    // MARK: Time and reports

    private func tick() {
        latches.scan()
        prober.tick()
        logs.tick(now: Clock.boottime())
        layout.tick(now: Clock.boottime())
        for shell in shells { shell.lookWhetherDying() }
        for dialer in dialers { dialer.look() }
        // What was just asked is answered by then as a rule: one report a second, not two. With nothing asked it goes out with
        // this very wake-up.
        if prober.isAsking { changed(in: Self.reportEvery) } else { broadcastReport() }
    }

    /// Something that a report shows has changed: one goes out within `reportEvery`.
    ///
    /// With a `delay` what comes meanwhile goes along, and what may not wait brings it forward.
    func changed(in delay: Duration = .zero) {
        let now = Clock.boottime()
        let due = max(now + delay, lastReport + Self.reportEvery)
        if let scheduled = nextReport {
            guard due < scheduled.due else { return }
            scheduled.task.cancel()
        }
        let task = loop.scheduleTask(in: .nanoseconds((due - now).nanoseconds)) { [self] in broadcastReport() }
        nextReport = (due, task)
    }

    /// At once, for what a coordinator waits for.
    func broadcastReport() {
        nextReport?.task.cancel()
        nextReport = nil
        lastReport = Clock.boottime()
        guard !sessions.isEmpty else { return }
        var envelope = WireEnvelope()
        envelope.report = report()
        broadcast(envelope)
    }

    func report() -> WireHostReport {
        let now = Clock.boottime()
        reportSequence += 1
        var report = WireHostReport()
        report.host = host.raw
        report.boottimeNs = now.nanoseconds
        report.partDigest = part.digest
        report.workers = shells.map { ReportBuilder.worker($0, now: now) }
        report.dependencies = prober.dependencies
        report.streams = prober.streams
        if let facts = prober.facts { report.facts = facts }
        // Where the inventory says whom to ask for the time, that word counts.
        if let time = layout.time { report.facts.time = WireTimeState(time.reading, at: time.at) }
        report.latchesInForce = latches.book.inForce.map(\.id)
        if let pin = book.pin { report.pin = WireCoordinatorPin(pin) }
        report.journalHead = journal.head
        report.agentVersion = Self.version
        report.warnings = warnings
        report.sequence = reportSequence
        report.drift = layout.drift
        return report
    }

    var warnings: [String] {
        var warnings =
            startProblems + (trust?.problems ?? []) + strangers + prober.unreadable + logs.warnings + layout.warnings + latches.unreadable
        if let problem = journal.problem {
            warnings.append(
                "the journal can't be written (\(problem)); \(journal.lost) records are missing so far. Starts are refused; make room in \(paths.state)")
        }
        if let free = prober.diskFree, free < DiskSpace.bytesLow { warnings.append(DiskSpace.warning(free, paths.state)) }
        if part.digest.isEmpty { warnings.append("this agent has no part of the inventory yet: no coordinator has sent one") }
        return warnings
    }
}
