package import FleetCore

/// Shims, by what they were started with.
extension Processes {
    /// Every shim with the launch directory that it was started with, which stays in its arguments wherever the directory has gone.
    static func shims() throws(LinuxError) -> [(directory: String, identity: ProcessIdentity)] {
        try every(shimDirectory).map { (directory: $0.fact, identity: $0.identity) }
    }

    /// The shim of one launch, which must be of this boot. Launch ids are random: no other agent's is called so.
    package static func shim(ofLaunch launch: String, of service: String) throws(LinuxError) -> LaunchTrace.Process? {
        guard !launch.isEmpty else { return nil }
        return try shims().first { $0.directory.hasSuffix("/w/\(service)/\(launch)") }.map {
            LaunchTrace.Process(pid: $0.identity.pid, startTicks: $0.identity.startTime)
        }
    }

    /// `trading-shim DIRECTORY [CPUS]`; nil: it is none, or has ended.
    ///
    /// Reading it takes the mmap lock of that process (proc_pid_cmdline(5)), which is why only a shim's is read: no worker waits for it.
    private static func shimDirectory(_ pid: Int32) -> String? {
        do {
            guard String(decoding: try Files.read("/proc/\(pid)/comm", limit: 64), as: UTF8.self) == "trading-shim\n" else { return nil }
            let arguments = try Files.read("/proc/\(pid)/cmdline", limit: 64 << 10).split(separator: 0)
            return arguments.count > 1 ? String(decoding: arguments[1], as: UTF8.self) : nil
        } catch { return nil }
    }
}
