package import FleetCore
internal import Glibc

/// The record of one launch, `RUN/w/SERVICE/LAUNCH`: made by the agent, then written by the shim and the worker's own
/// process, readable by whoever comes later.
///
/// It outlives all three until somebody removes it.
package struct LaunchDirectory: Hashable, Sendable {
    package let path: String
    package let service: String
    package let launch: String

    package init(runDirectory: String, service: String, launch: String) {
        self.service = service
        self.launch = launch
        path = "\(Self.services(runDirectory))/\(service)/\(launch)"
    }

    /// Makes the directory and writes `conf`; throws EEXIST when the launch id was used before.
    package static func create(
        runDirectory: String, service: String, launch: String, configuration: LaunchConfiguration
    ) throws(LinuxError) -> LaunchDirectory {
        let directory = LaunchDirectory(runDirectory: runDirectory, service: service, launch: launch)
        var configuration = configuration
        configuration.service = service
        configuration.launch = launch
        if let refusal = configuration.refusal {
            throw LinuxError("launch", service, errno: EINVAL, detail: refusal)
        }
        try Files.makeDirectory(directory.parent, mode: 0o750)
        guard mkdir(directory.path, 0o750) == 0 else { throw .last("make the directory", directory.path) }
        // It may hold secrets from the environment.
        try Files.writeAtomically("\(directory.path)/conf", configuration.encode(), mode: 0o600, sync: false)
        return directory
    }

    /// Every launch of every service that has left a directory, by service, then launch id.
    package static func all(runDirectory: String) throws(LinuxError) -> [LaunchDirectory] {
        var found: [LaunchDirectory] = []
        for service in try Files.listIfPresent(services(runDirectory)) {
            found += try all(runDirectory: runDirectory, service: service)
        }
        return found
    }

    package static func all(runDirectory: String, service: String) throws(LinuxError) -> [LaunchDirectory] {
        try Files.listIfPresent("\(services(runDirectory))/\(service)")
            .filter { $0 != "slot" && $0 != "spec" && !$0.hasPrefix(".") }
            .map { LaunchDirectory(runDirectory: runDirectory, service: service, launch: $0) }
            .filter { Files.isDirectory($0.path) }
    }

    /// Where every service has its launches.
    package static func services(_ runDirectory: String) -> String { "\(runDirectory)/w" }

    package static func slot(runDirectory: String, service: String) -> String {
        "\(services(runDirectory))/\(service)/slot"
    }

    /// Makes the service's slot file if there is none and returns its numbers, which tell it apart when its path is gone. Takes no lock: a
    /// launch's shim does that.
    package static func makeSlot(runDirectory: String, service: String) throws(LinuxError) -> LaunchTrace.Slot {
        let path = slot(runDirectory: runDirectory, service: service)
        try Files.makeDirectory(Files.split(path).directory, mode: 0o750)
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw .last("make the slot", path) }
        defer { close(descriptor) }
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { throw .last("look at", path) }
        return LaunchTrace.Slot(device: UInt64(about.st_dev), inode: UInt64(about.st_ino))
    }

    /// The shim; nil: it never listened.
    package var identity: ProcessIdentity? {
        get throws(LinuxError) { try readIdentity("identity") }
    }

    /// The main process; nil: none was forked.
    package var worker: ProcessIdentity? {
        get throws(LinuxError) { try readIdentity("worker") }
    }

    /// nil: not ended, or the shim was lost before it could say so.
    package var exit: ShimExit? {
        get throws(LinuxError) {
            guard let bytes = try Files.readIfPresent("\(path)/exit", limit: 1 << 20) else { return nil }
            guard let exit = ShimExit(bytes) else { throw LinuxError("understand", "\(path)/exit", errno: EINVAL) }
            return exit
        }
    }

    /// The cgroup of its own that its shim makes at `go`; nil: none.
    package var cgroup: String? {
        get throws(LinuxError) {
            guard let bytes = try Files.readIfPresent("\(path)/identity", limit: 8_192) else { return nil }
            return KeyedText(bytes)["cgroup"]
        }
    }

    /// The fence as last armed; it stays behind when its hard deadline has killed the shim.
    package var fence: FenceRecord? {
        get throws(LinuxError) {
            guard let bytes = try Files.readIfPresent("\(path)/fence", limit: 4_096) else { return nil }
            guard let fence = FenceRecord(bytes) else { throw LinuxError("understand", "\(path)/fence", errno: EINVAL) }
            return fence
        }
    }

    /// Its hard deadline has passed, nobody has kept an exit status and nothing of the tree holds the slot: the kernel
    /// has killed shim and worker, as armed.
    package var wasFencedHard: Bool {
        get throws(LinuxError) {
            guard let fence = try fence, try BootID.read() == fence.bootID, fence.hard <= Clock.boottime() else { return false }
            if let exit = try exit, exit.treeEmpty { return false }
            if let shim = try identity, try shim.isAlive() { return false }
            return try !isSlotHeld
        }
    }

    /// What lives of this launch by the identities that it recorded and its cgroup, in a clause: "its shim still runs (PID 8)"; nil:
    /// nothing.
    ///
    /// Waits up to `bound` for a shim that is just ending. A zombie counts as gone. What only holds the slot is not looked at.
    package func remains(after bound: Duration) throws(LinuxError) -> String? {
        if let shim = try identity, try shim.isAlive(after: bound) { return "its shim still runs (PID \(shim.pid))" }
        if let worker = try worker, try worker.isAlive() { return "it still runs (PID \(worker.pid))" }
        guard let cgroup = try cgroup, try !Cgroup.isEmpty(cgroup) else { return nil }
        let pids = try Cgroup.processes(cgroup).map { "\($0.pid)" }.joined(separator: ", ")
        return "its cgroup \(cgroup) is not empty\(pids.isEmpty ? "" : " (PID \(pids))")"
    }

    /// Why it can't be told that nothing of this launch lives where nothing of it is found; nil: its shim has said that its tree was empty, or
    /// an empty cgroup shows it, or nothing of it has ever run.
    ///
    /// `trace`: what the journal kept of it, if the directory is gone.
    package func doubt(_ trace: LaunchTrace?) throws(LinuxError) -> String? {
        if let exit = try exit, exit.treeEmpty { return nil }
        let (known, group) = (try worker, try cgroup)
        guard trace?.worker != nil || known != nil else { return nil }
        return (group ?? trace?.cgroup ?? "").isEmpty ? Self.lostWithoutCgroup : nil
    }

    /// The same of a launch of this boot whose shim no longer lives; nil of any other.
    package var doubt: String? {
        get throws(LinuxError) {
            guard let worker = try worker, try worker.bootID == BootID.read(), try identity?.isAlive() != true else { return nil }
            return try doubt(nil)
        }
    }

    private static let lostWithoutCgroup =
        "its shim was lost, and it had no cgroup of its own: a process that has left its tree is not found. Until the host boots anew it is not known whether one lives"

    /// Whether a shim or a worker of this service lives, of this launch or another.
    package var isSlotHeld: Bool {
        get throws(LinuxError) { try FileLock.isHeld(path: "\(parent)/slot") }
    }

    package var slot: String { "\(parent)/slot" }
    package var socketDirectory: String { path }
    package static let socketName = "s"

    /// For the record of a launch that is over, and its cgroup, which a shim that was killed has left behind.
    package func remove() throws(LinuxError) {
        if let cgroup = try cgroup { Cgroup.remove(cgroup) }
        try Files.removeTree(path)
    }

    private var parent: String { Files.split(path).directory }

    private func readIdentity(_ name: String) throws(LinuxError) -> ProcessIdentity? {
        guard let bytes = try Files.readIfPresent("\(path)/\(name)", limit: 8_192) else { return nil }
        let text = KeyedText(bytes)
        guard let pid: Int32 = text.number("pid"), pid > 0, let start: UInt64 = text.number("start"), start > 0,
            let boot = text["boot"], !boot.isEmpty, text["launch"] == launch
        else { throw LinuxError("understand", "\(path)/\(name)", errno: EINVAL) }
        return ProcessIdentity(pid: pid, startTime: start, bootID: boot)
    }
}
