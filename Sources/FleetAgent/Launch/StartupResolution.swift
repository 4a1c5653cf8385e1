internal import FleetCore
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Finds out what became of every launch of the agent before, from locks and directories, before anything else may happen.
///
/// Live launches are adopted first; only then are the ended ones told to their machines, whose restart policy may act.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class StartupResolution: @unchecked Sendable {
    /// How long shims may take to say what they run; a shim answers in microseconds, a stopped one never.
    static let bound: Duration = .seconds(3)

    private let agent: Agent
    private let bootID: String
    private let rebooted: Bool
    private var left = 0
    private var ended: [(WorkerShell, WorkerExit)] = []
    private var done: (() -> Void)?
    private var finished = false

    private struct Found: Sendable {
        let directory: LaunchDirectory
        let exit: ShimExit?
        let isLive: Bool
        let descriptor: Int32?
        let note: ServiceNote?
        var isInDoubt = false
    }

    /// A launch whose end is not on record and that has no directory.
    private struct Missing: Sendable {
        let service: String
        let launch: LaunchID
        /// Where no agent has seen its process, with the oldest one that holds the slot.
        let trace: LaunchTrace
        /// What lives of it; nil: nothing.
        let left: Result<String?, LinuxError>
    }

    init(agent: Agent, bootID: String, rebooted: Bool) {
        self.agent = agent
        self.bootID = bootID
        self.rebooted = rebooted
    }

    func run(then: @escaping () -> Void) {
        done = then
        let accepted = agent.files.submit { [self] in
            let found = scan()
            let missing = rebooted ? [] : missing(beside: found)
            agent.loop.execute { self.resolve(found, missing) }
        }
        precondition(accepted, "the files thread is new and its queue is full")
    }

    /// Blocking.
    private func scan() -> [Found] {
        var found: [Found] = []
        do {
            for directory in try LaunchDirectory.all(runDirectory: agent.paths.run) {
                do {
                    var launch = try look(directory)
                    launch.isInDoubt = try !launch.isLive && directory.doubt != nil
                    found.append(launch)
                } catch {
                    agent.log.error("a launch of the agent before can't be read", metadata: ["directory": "\(directory.path)", "error": "\(error)"])
                }
            }
        } catch {
            agent.log.error("launches of the agent before can't be listed", metadata: ["error": "\(error)"])
        }
        return found
    }

    /// Blocking. A run directory may have been removed under its workers: logind does that to /run/user/UID at the last logout.
    private func missing(beside found: [Found]) -> [Missing] {
        agent.fold.workers.filter { service, folded in
            folded.open && !found.contains { $0.directory.service == service && $0.directory.launch == folded.launch }
        }.sorted { $0.key < $1.key }.map { service, folded in
            let slot = LaunchDirectory.slot(runDirectory: agent.paths.run, service: service)
            var trace = folded.trace ?? LaunchTrace(worker: nil)
            let left = Result { () throws(LinuxError) in
                // A worker may have closed the slot; its shim names the launch in its arguments.
                if trace.shim == nil { trace.shim = try Processes.shim(ofLaunch: folded.launch, of: service) }
                if trace.worker == nil { trace.worker = try trace.oldest(slot: slot) }
                return try trace.left(slot: slot)
            }
            return Missing(service: service, launch: LaunchID(folded.launch), trace: trace, left: left)
        }
    }

    private func look(_ directory: LaunchDirectory) throws -> Found {
        let note = try ServiceNote.read(runDirectory: agent.paths.run, service: directory.service)
        let exit = try directory.exit
        if let exit, exit.treeEmpty {
            return Found(directory: directory, exit: exit, isLive: false, descriptor: nil, note: note)
        }
        // Without its own records the directory is as good as none: what the journal kept tells.
        guard let boot = try (directory.worker ?? directory.identity)?.bootID else {
            return Found(directory: directory, exit: exit, isLive: try isAlive(directory), descriptor: nil, note: note)
        }
        guard boot == bootID, try directory.isSlotHeld || isAlive(directory) else {
            return Found(directory: directory, exit: exit, isLive: false, descriptor: nil, note: note)
        }
        do {
            let descriptor = try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName)
            return Found(directory: directory, exit: nil, isLive: true, descriptor: descriptor, note: note)
        } catch {
            // The slot may be held by another launch of the service; this one is live if its own processes are.
            return Found(directory: directory, exit: exit, isLive: try isAlive(directory), descriptor: nil, note: note)
        }
    }

    /// Whether something of a launch lives by the identities that it or the journal kept: a worker may have closed the slot.
    private func isAlive(_ directory: LaunchDirectory) throws -> Bool {
        if try directory.identity?.isAlive() == true || directory.worker?.isAlive() == true { return true }
        guard let folded = agent.fold.workers[directory.service], folded.open, folded.launch == directory.launch, let trace = folded.trace else { return false }
        return try trace.left(slot: directory.slot) != nil
    }

    private func resolve(_ found: [Found], _ missing: [Missing]) {
        // Its own hold: an adoption that is over at once must not end this before all are looked at.
        left += 1
        for launch in found where launch.isLive {
            let service = launch.directory.service
            let shell =
                agent.shell(service)
                ?? agent.addUndeclared(
                    service, tier: launch.note?.tier ?? "", emergencyKilled: launch.note?.emergencyKilled ?? true)
            let folded = agent.fold.workers[service]
            let isLast = folded?.launch == launch.directory.launch
            left += 1
            shell.adoption = WorkerShell.Adoption(
                ready: isLast && folded?.ready == true, stopping: isLast && folded?.stopping == true,
                quiesced: isLast && folded?.quiesced == true, directory: launch.directory, done: { [self] in adopted() })
            shell.adopt(launch.directory, descriptor: launch.descriptor)
        }
        for launch in found where launch.isInDoubt {
            let service = launch.directory.service
            let shell =
                agent.shell(service)
                ?? agent.addUndeclared(service, tier: launch.note?.tier ?? "", emergencyKilled: launch.note?.emergencyKilled ?? true)
            shell.handle(.foundInDoubt(LaunchID(launch.directory.launch)))
        }
        // What nobody declares any more is in doubt all the same.
        for (service, folded) in agent.fold.workers.sorted(by: { $0.key < $1.key }) where folded.strayed != nil && !rebooted && agent.shell(service) == nil {
            _ = agent.addUndeclared(service, tier: "", emergencyKilled: true)
        }
        var handled: Set<String> = []
        for launch in missing where adopt(launch) { handled.insert(launch.service) }
        for (service, folded) in agent.fold.workers where folded.open && !handled.contains(service) {
            guard let shell = agent.shell(service), shell.adoption == nil else { continue }
            let record = found.first { $0.directory.service == service && $0.directory.launch == folded.launch }
            let exit: WorkerExit
            if let kept = record?.exit {
                switch kept.how {
                case .never, .failed:
                    shell.handle(.foundNever(LaunchID(folded.launch)))
                    continue
                case .exited, .signalled, .unknown: exit = WorkerExit(kept)
                }
            } else if record != nil || rebooted || folded.wasSeen {
                // Its shim was lost with it, or its directory, or the whole host was.
                var unknown = WorkerExit(how: .unknown, at: Clock.boottime())
                unknown.isTreeInDoubt = record?.isInDoubt ?? false
                exit = unknown
            } else {
                // The intent got no further than the journal.
                shell.handle(.foundNever(LaunchID(folded.launch)))
                continue
            }
            ended.append((shell, exit))
        }
        agent.loop.scheduleTask(in: .nanoseconds(WorkerShell.shimBound.nanoseconds)) { [self] in
            for shell in agent.shells where shell.adoption != nil { shell.continueSilentShim() }
        }
        agent.loop.scheduleTask(in: .nanoseconds(Self.bound.nanoseconds)) { [self] in
            let silent = agent.shells.filter { $0.adoption != nil }
            if !silent.isEmpty { agent.log.error("shims of the agent before don't answer", metadata: ["count": "\(silent.count)"]) }
            // What lives is not stopped because nobody answers for it.
            for shell in silent { shell.adoptUnanswered() }
            finish()
        }
        adopted()
    }

    /// Whether something of a launch without a directory lives, or may: it is then known by its processes alone.
    private func adopt(_ launch: Missing) -> Bool {
        let folded = agent.fold.workers[launch.service]
        switch launch.left {
        case .success(nil): return false
        case .success(let left?): agent.log.error("a launch has no directory and is not over", metadata: ["worker": "\(launch.service)", "left": "\(left)"])
        case .failure(let error):
            agent.log.error("it can't be told what lives of a launch without a directory", metadata: ["worker": "\(launch.service)", "why": "\(error)"])
        }
        let shell = agent.shell(launch.service) ?? agent.addUndeclared(launch.service, tier: "", emergencyKilled: true)
        guard shell.adoption == nil else { return true }
        left += 1
        shell.adoption = WorkerShell.Adoption(
            ready: folded?.ready == true, stopping: folded?.stopping == true, quiesced: folded?.quiesced == true, directory: nil, done: { [self] in adopted() })
        shell.adoptLost(launch.launch, launch.trace)
        return true
    }

    private func adopted() {
        left -= 1
        if left == 0 { finish() }
    }

    private func finish() {
        guard !finished else { return }
        finished = true
        for (shell, exit) in ended {
            let folded = agent.fold.workers[shell.service]
            let stopping = folded?.stopping ?? false
            // After a reboot nothing restarts by policy: only what the inventory starts after boot does.
            shell.handle(.foundGone(LaunchID(folded?.launch ?? ""), exit, wasStopping: stopping || rebooted))
        }
        let then = done
        done = nil
        then?()
    }
}
