internal import Glibc

/// What a process does with signals (proc_pid_status(5)).
package enum SignalMask {
    /// The signals that don't end it: its main thread catches them, ignores them, or has them blocked, as programs do that take them by sigwait(3)
    /// or signalfd(2). Nil: no such process.
    package static func handled(by pid: Int32) throws(LinuxError) -> Set<Int32>? {
        guard let bytes = try Files.readIfPresent("/proc/\(pid)/status", limit: 64 << 10) else { return nil }
        var mask: UInt64 = 0
        for line in bytes.split(separator: 10) {
            let text = String(decoding: line, as: UTF8.self)
            guard text.hasPrefix("SigCgt:") || text.hasPrefix("SigIgn:") || text.hasPrefix("SigBlk:") else { continue }
            mask |= UInt64(text.dropFirst(7).drop { $0 == " " || $0 == "\t" }, radix: 16) ?? 0
        }
        return Set((1...64).filter { mask & (1 << UInt64($0 - 1)) != 0 })
    }
}
