internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost

/// Everything blocking about a launch, up to a shim that waits for `go`, in two parts: what is looked at, and the spawn.
///
/// A look may take as long as a dead file server, a directory service or the hash of a large program: it is on no thread that
/// launches other workers. The rest touches the run directory alone.
struct LaunchOrder: Sendable {
    let launch: LaunchID
    let declaration: WorkerDeclaration
    let paths: AgentPaths
    let programs: ProgramPolicy
    let shim: String
    let housekeeping: CPUList?
    let cgroups: Cgroup.Place?
    let digests: DigestCache
    /// Another worker of this host uses the same hugepage mount.
    let sharesMount: Bool
    let diskFreeMin: [String: UInt64]

    struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    /// What was looked at, and was found in order.
    struct Checked: Sendable {
        fileprivate let configuration: LaunchConfiguration
        fileprivate let evidence: LaunchEvidence
        fileprivate let warnings: [String]
    }

    struct Ready: Sendable {
        let directory: LaunchDirectory
        /// Connected to the waiting shim; the caller owns it.
        let descriptor: Int32
        let evidence: LaunchEvidence
        /// What is doubtful about it, one sentence each.
        let warnings: [String]
    }

    /// A secret is a password or a key, not a file of data.
    private static let secretBytesMax = 64 << 10

    /// Programs, accounts, secrets, directories, the checks before a start; may block for as long as what it looks at does.
    func check() throws -> Checked {
        let spec = declaration.spec
        guard !declaration.program.isEmpty else { throw Fault(description: "the inventory gives it nothing to run") }
        let command = try programs.command(spec.run, wrapperCount: declaration.wrapper.count)
        let runAs = try runAs()
        let execution = declaration.execution
        if let refusal = programs.refusal(
            capabilities: execution.capabilities, realtime: execution.scheduler?.realtimePriority, realtimeLimit: execution.limits["rtprio"])
        {
            throw refusal
        }
        try makeState(runAs)
        let environment = Self.environment(declaration)
        let user = FileUser(user: runAs.user ?? geteuid(), groups: [runAs.group ?? getegid()] + (runAs.user == nil ? try Account.ownGroups() : runAs.groups))
        let checks = PreStartChecks(
            service: spec.service, command: command, wrapperCount: declaration.wrapper.count, environment: environment, workdir: spec.workdir,
            execution: execution, release: declaration.release, user: user, pidFile: paths.pidFile(spec.service), sharesMount: sharesMount,
            diskFreeMin: diskFreeMin, digests: digests)
        let warnings = try checks.run()
        var configuration = LaunchConfiguration(service: spec.service, launch: launch.raw, argv: command)
        configuration.env = environment
        for (name, path) in spec.secrets {
            let bytes = try Files.read(programs.secret(path), limit: Self.secretBytesMax)
            configuration.env[name] = String(decoding: bytes.last == 10 ? bytes.dropLast() : bytes[...], as: UTF8.self)
        }
        if !spec.cpus.isEmpty {
            guard let cpus = CPUList(spec.cpus) else { throw Fault(description: "\"\(spec.cpus)\" is not a list of CPUs; correct the inventory") }
            configuration.cpus = cpus
        }
        configuration.user = runAs.user
        configuration.group = runAs.group
        configuration.groups = runAs.groups
        configuration.workdir = spec.workdir
        configuration.stdout = paths.standardOutput(spec.service)
        configuration.stderr = paths.standardError(spec.service)
        configuration.execution = execution
        configuration.watchdog = declaration.watchdog
        let stop = declaration.policy.stop
        configuration.treeSignal = stop.tree == .kill ? 0 : Signals.number(named: stop.signal) ?? SIGTERM
        configuration.treeGrace = min(stop.grace, Self.treeGrace)
        if execution.cgroup == .killOnly { configuration.cgroup = cgroups?.directory(service: spec.service, launch: launch.raw) }
        return Checked(configuration: configuration, evidence: try checks.evidence(), warnings: warnings)
    }

    /// The launch's directory and its shim.
    func spawn(_ checked: Checked) throws -> Ready {
        let spec = declaration.spec
        try removeEnded()
        try ServiceNote(tier: spec.tier, emergencyKilled: spec.emergencyKilled).write(runDirectory: paths.run, service: spec.service)
        let directory = try LaunchDirectory.create(
            runDirectory: paths.run, service: spec.service, launch: launch.raw, configuration: checked.configuration)
        do {
            try checked.evidence.write(directory)
            try ShimLauncher.spawn(shim: shim, directory: directory, cpus: housekeeping)
            let descriptor = try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName)
            return Ready(directory: directory, descriptor: descriptor, evidence: checked.evidence, warnings: checked.warnings)
        } catch {
            // The shim that can't be reached gives up by itself when no `go` comes; nothing ran.
            throw Fault(description: "\(error)")
        }
    }

    /// What a main process that ended by itself leaves has this long, and no longer than the grace: what comes next waits for it.
    private static let treeGrace: Duration = .seconds(2)

    /// Without secrets.
    static func environment(_ declaration: WorkerDeclaration) -> [String: String] {
        ["PATH": "/usr/local/bin:/usr/bin:/bin"].merging(declaration.spec.env) { $1 }
    }

    private func runAs() throws -> ProgramPolicy.RunAs {
        var runAs = try programs.runAs(user: declaration.spec.user, group: declaration.spec.group)
        // A user without a group would keep the agent's.
        if runAs.user != nil, runAs.group == nil { runAs.group = getegid() }
        return runAs
    }

    /// The directory that the agent gives it to work in is the worker's own, whoever it runs as; and it can be got to.
    private func makeState(_ runAs: ProgramPolicy.RunAs) throws {
        let path = paths.workerState(declaration.service.raw)
        try Files.makeDirectory(path, mode: 0o750)
        if runAs.user != nil { try openTheWay() }
        guard let status = try FileStatus.read(path), let user = runAs.user, status.user == geteuid(), status.user != user else { return }
        try Files.give(path, user: user, group: runAs.group ?? status.group)
    }

    /// What was made before this agent, or by systemd, may be closed to others.
    private func openTheWay() throws {
        for path in [paths.state, paths.workers] {
            guard let status = try FileStatus.read(path), status.mode & 0o001 == 0 else { continue }
            try Files.setMode(path, status.mode & 0o7777 | 0o001)
        }
    }

    /// Records of launches that are over: their exits are in the journal by now.
    ///
    /// Until here they served `verify`.
    private func removeEnded() throws {
        let old = try LaunchDirectory.all(runDirectory: paths.run, service: declaration.service.raw)
        guard let slot = old.first, try !slot.isSlotHeld else { return }
        for directory in old {
            // It alone tells a local emergency stop, and an agent that has lost its journal, that something of it may live.
            if try directory.doubt != nil { continue }
            // A shim that was killed can't remove its own; one that isn't empty stays.
            if let cgroup = try directory.cgroup { Cgroup.remove(cgroup) }
            try directory.remove()
        }
    }
}

extension ExecutionSpec.Scheduler {
    var realtimePriority: Int? {
        switch self {
        case .fifo(let priority), .roundRobin(let priority): priority
        case .other, .batch, .idle: nil
        }
    }
}
