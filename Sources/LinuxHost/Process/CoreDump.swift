internal import Glibc

/// Whether a process is writing its core, and how much of it.
///
/// For processes that are dying or being stopped: /proc/PID/status is read, which a hot process is not asked for.
package struct CoreDump: Equatable, Sendable {
    /// CoreDumping of proc_pid_status(5).
    package let isDumping: Bool
    /// wchar of proc_pid_io(5): everything it ever wrote, its core among it; 0: not to be read.
    package let written: UInt64

    /// nil: no process has that number any more.
    package static func read(pid: Int32) throws(LinuxError) -> CoreDump? {
        do {
            guard let status = try value("CoreDumping:", "/proc/\(pid)/status") else { return CoreDump(isDumping: false, written: 0) }
            var written: UInt64 = 0
            do { written = try value("wchar:", "/proc/\(pid)/io") ?? 0 } catch  where error.errno == EACCES || error.errno == EPERM {}
            return CoreDump(isDumping: status == 1, written: written)
        } catch  where error.errno == ENOENT || error.errno == ESRCH {
            return nil
        }
    }

    private static func value(_ key: String, _ path: String) throws(LinuxError) -> UInt64? {
        let text = String(decoding: try Files.read(path, limit: 64 * 1024), as: UTF8.self)
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(key) }) else { return nil }
        return UInt64(line.dropFirst(key.utf8.count).drop { $0 == " " || $0 == "\t" })
    }
}
