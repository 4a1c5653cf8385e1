internal import FleetCore
internal import FleetWire
internal import LinuxHost

/// Everything blocking about a launch, up to a shim that waits for `go`: programs, accounts, secrets, directories, the spawn.
struct LaunchOrder: Sendable {
    let launch: LaunchID
    let declaration: WorkerDeclaration
    let paths: AgentPaths
    let programs: ProgramPolicy
    let shim: String
    let housekeeping: CPUList?

    struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    struct Ready: Sendable {
        let directory: LaunchDirectory
        /// Connected to the waiting shim; the caller owns it.
        let descriptor: Int32
    }

    /// A secret is a password or a key, not a file of data.
    private static let secretBytesMax = 64 << 10

    func prepare() throws -> Ready {
        let spec = declaration.spec
        guard !spec.run.isEmpty else { throw Fault(description: "the inventory gives it nothing to run") }
        var configuration = LaunchConfiguration(service: spec.service, launch: launch.raw, argv: try programs.command(spec.run))
        configuration.env = ["PATH": "/usr/local/bin:/usr/bin:/bin"].merging(spec.env) { $1 }
        for (name, path) in spec.secrets {
            let bytes = try Files.read(path, limit: Self.secretBytesMax)
            configuration.env[name] = String(decoding: bytes.last == 10 ? bytes.dropLast() : bytes[...], as: UTF8.self)
        }
        if !spec.cpus.isEmpty {
            guard let cpus = CPUList(spec.cpus) else { throw Fault(description: "\"\(spec.cpus)\" is not a list of CPUs; correct the inventory") }
            configuration.cpus = cpus
        }
        let runAs = try programs.runAs(user: spec.user, group: spec.group)
        configuration.user = runAs.user
        configuration.group = runAs.group
        configuration.groups = runAs.groups
        try Files.makeDirectory(paths.workerState(spec.service), mode: 0o750)
        guard Files.isDirectory(spec.workdir) else {
            throw Fault(description: "its working directory \(spec.workdir) does not exist. Make it, or correct the inventory")
        }
        configuration.workdir = spec.workdir
        configuration.stdout = paths.standardOutput(spec.service)
        configuration.stderr = paths.standardError(spec.service)
        try removeEnded()
        try ServiceNote(tier: spec.tier, emergencyKilled: spec.emergencyKilled).write(runDirectory: paths.run, service: spec.service)
        let directory = try LaunchDirectory.create(
            runDirectory: paths.run, service: spec.service, launch: launch.raw, configuration: configuration)
        do {
            try ShimLauncher.spawn(shim: shim, directory: directory, cpus: housekeeping)
            let descriptor = try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName)
            return Ready(directory: directory, descriptor: descriptor)
        } catch {
            // The shim that can't be reached gives up by itself when no `go` comes; nothing ran.
            throw Fault(description: "\(error)")
        }
    }

    /// Records of launches that are over: their exits are in the journal by now.
    ///
    /// Until here they served `verify`.
    private func removeEnded() throws {
        let old = try LaunchDirectory.all(runDirectory: paths.run, service: declaration.service.raw)
        guard let slot = old.first, try !slot.isSlotHeld else { return }
        for directory in old { try directory.remove() }
    }
}
