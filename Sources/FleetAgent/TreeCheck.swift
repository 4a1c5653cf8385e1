internal import FleetCore
internal import LinuxHost

/// Whether anything of a service's launches is left on this host.
///
/// Blocking, up to `bound` for each launch.
enum TreeCheck {
    /// A shim says `gone` and then ends by itself; that takes it less than a millisecond on an idle host.
    private static let bound: Duration = .seconds(1)

    /// Nil: nothing is left, by process identity, by cgroup and by the slot and its lock.
    ///
    /// A sentence otherwise, also when it can't be told.
    static func problem(runDirectory: String, service: String) -> String? {
        do {
            for directory in try LaunchDirectory.all(runDirectory: runDirectory, service: service) {
                if let shim = try directory.identity, try shim.isAlive(after: bound) { return "the shim of \(service) still runs (PID \(shim.pid))" }
                if let worker = try directory.worker, try worker.isAlive() { return "\(service) still runs (PID \(worker.pid))" }
                if let cgroup = try directory.cgroup, try !Cgroup.isEmpty(cgroup) {
                    let pid = try Cgroup.processes(cgroup).first?.pid
                    return "a process of \(service) is left in its cgroup" + (pid.map { " (PID \($0))" } ?? "")
                }
            }
            let slot = LaunchDirectory.slot(runDirectory: runDirectory, service: service)
            if let left = try Processes.holding(slot: slot).first { return "a process of \(service) is left (PID \(left.pid))" }
            return try FileLock.isHeld(path: slot) ? "the slot of \(service) is held: something of its process tree lives" : nil
        } catch {
            return "it can't be told whether \(service) has left anything: \(error)"
        }
    }
}
