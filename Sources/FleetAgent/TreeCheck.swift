internal import FleetCore
internal import LinuxHost

/// Whether anything of a service's launches is left on this host. Blocking.
enum TreeCheck {
    /// Nil: nothing is left, by lock, by process identity and by exit record. A sentence otherwise, also when it can't be told.
    static func problem(runDirectory: String, service: String) -> String? {
        do {
            let slot = LaunchDirectory.slot(runDirectory: runDirectory, service: service)
            if try FileLock.isHeld(path: slot) { return "the slot of \(service) is held: something of its process tree lives" }
            for directory in try LaunchDirectory.all(runDirectory: runDirectory, service: service) {
                if let shim = try directory.identity, try shim.isAlive() { return "the shim of \(service) still runs (PID \(shim.pid))" }
                if let worker = try directory.worker, try worker.isAlive() { return "\(service) still runs (PID \(worker.pid))" }
                let left = try Processes.all(withEnvironment: "TRADING_LAUNCH=\(directory.launch)")
                if let pid = left.first { return "a process of \(service) is left (PID \(pid))" }
            }
            return nil
        } catch {
            return "it can't be told whether \(service) has left anything: \(error)"
        }
    }
}
