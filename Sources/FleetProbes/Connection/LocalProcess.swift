import Glibc

/// What /proc/PID/status says about a process right now, for display only (proc_pid_status(5)).
struct LocalProcess {
    let name: String
    /// Cpus_allowed_list; empty when the kernel doesn't say.
    let cpus: String

    /// nil when there is no such process.
    init?(pid: Int32) {
        let file = open("/proc/\(pid)/status", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var count = 0
        // The whole file is under 2 KiB and comes in one read.
        let bytes = [UInt8](unsafeUninitializedCapacity: 8_192) { space, used in
            repeat { count = read(file, space.baseAddress, 8_192) } while count < 0 && errno == EINTR
            used = max(0, count)
        }
        var values: [Substring: Substring] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            values[line[..<colon]] = line[line.index(after: colon)...].drop { $0 == "\t" || $0 == " " }
        }
        guard let name = values["Name"] else { return nil }
        self.name = String(name)
        cpus = values["Cpus_allowed_list"].map(String.init) ?? ""
    }
}
