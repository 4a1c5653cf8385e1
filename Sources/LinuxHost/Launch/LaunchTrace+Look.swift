package import FleetCore
internal import Glibc

/// What lives of a launch whose directory is gone.
extension LaunchTrace {
    /// Returns a clause naming what still lives, or nil when shim, main process, cgroup and holders of the slot file are all gone.
    ///
    /// Blocks: reads the descriptors of all processes.
    package func left(slot path: String) throws(LinuxError) -> String? {
        if let own = try remains() { return own }
        if let other = try living(slot: path).first { return "a process of it still runs (PID \(other.pid))" }
        return nil
    }

    /// The same by identities and cgroup alone: the slot may be held by a later launch.
    package func remains() throws(LinuxError) -> String? {
        let boot = try BootID.read()
        if let shim, try ProcessIdentity(shim, boot).isAlive() { return "its shim still runs (PID \(shim.pid))" }
        if let worker, try ProcessIdentity(worker, boot).isAlive() { return "it still runs (PID \(worker.pid))" }
        if !cgroup.isEmpty, try !Cgroup.isEmpty(cgroup) { return "its cgroup \(cgroup) is not empty" }
        return nil
    }

    /// Every process of it that can be found, but its shim; zombies are none. Blocks like `left`.
    package func living(slot path: String) throws(LinuxError) -> [ProcessIdentity] {
        let boot = try BootID.read()
        var found: Set<ProcessIdentity> = []
        if let worker, try ProcessIdentity(worker, boot).isAlive() { found.insert(ProcessIdentity(worker, boot)) }
        for parent in [shim, worker].compactMap(\.self).map({ ProcessIdentity($0, boot) }) where try parent.isAlive() {
            found.formUnion(try Processes.livingDescendants(of: parent))
        }
        found.formUnion(try holders(path).filter { $0.pid != shim?.pid })
        if !cgroup.isEmpty { found.formUnion(try Cgroup.processes(cgroup).filter { $0.pid != shim?.pid }) }
        return found.sorted { $0.pid < $1.pid }
    }

    /// SIGKILL to everything that `living` finds. The shim ends by itself then; what was forked meanwhile is the next call's.
    package func kill(slot path: String) throws(LinuxError) {
        if !cgroup.isEmpty { try Cgroup.kill(cgroup) }
        for identity in try living(slot: path) {
            do { try PIDFD(opening: identity).signal(SIGKILL) } catch { continue }
        }
    }

    /// The oldest process of the launch that can be found: where it was never seen to run, its main one. Nil: there is none.
    package func oldest(slot path: String) throws(LinuxError) -> Process? {
        try living(slot: path).min { $0.startTime < $1.startTime }.map { Process(pid: $0.pid, startTicks: $0.startTime) }
    }

    private func holders(_ path: String) throws(LinuxError) -> [ProcessIdentity] {
        if let slot { return try Processes.holding(lost: slot, of: path) }
        return try Processes.holding(removedSlot: path)
    }
}

extension LaunchTrace.Slot {
    /// Nil: there is no such file.
    package static func read(_ path: String) throws(LinuxError) -> Self? {
        try FileStatus.read(path).map { Self(device: $0.device, inode: $0.inode) }
    }
}

extension ProcessIdentity {
    package init(_ process: LaunchTrace.Process, _ bootID: String) {
        self.init(pid: process.pid, startTime: process.startTicks, bootID: bootID)
    }
}
