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
                if let left = try directory.remains(after: bound) { return "launch \(directory.launch) of \(service) is not over: \(left)" }
                if let doubt = try directory.doubt { return "launch \(directory.launch) of \(service): \(doubt)" }
            }
            let slot = LaunchDirectory.slot(runDirectory: runDirectory, service: service)
            if let left = try Processes.holding(slot: slot).first { return "a process of \(service) is left (PID \(left.pid))" }
            return try FileLock.isHeld(path: slot) ? "the slot of \(service) is held: something of its process tree lives" : nil
        } catch {
            return "it can't be told whether \(service) has left anything: \(error)"
        }
    }
}
