internal import Glibc

/// The few fields of /proc/PID/stat (proc_pid_stat(5)) that identify a process.
package struct ProcessStat: Equatable, Sendable {
    package let pid: Int32
    /// As ps(1) shows it: `R`, `S`, `D`, `T` stopped, `Z` zombie, and so on.
    package let state: Character
    package let parent: Int32
    package let group: Int32
    /// Field 22: clock ticks since boot.
    package let startTime: UInt64
    /// PF_DUMPCORE of its kernel flags (field 9; include/linux/sched.h): its core is being written.
    package let isDumpingCore: Bool

    package var isZombie: Bool { state == "Z" || state == "X" }

    /// nil: no process has that number.
    package static func read(pid: Int32) throws(LinuxError) -> ProcessStat? {
        let path = "/proc/\(pid)/stat"
        let bytes: [UInt8]
        do {
            bytes = try Files.read(path, limit: 4_096)
        } catch  where error.errno == ENOENT || error.errno == ESRCH {
            return nil
        }
        // The name before the last parenthesis may hold spaces and parentheses itself.
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { throw LinuxError("understand", path, errno: EINVAL) }
        let fields = String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
        guard fields.count > 19, let state = fields[0].first, let parent = Int32(fields[1]), let group = Int32(fields[2]),
            let start = UInt64(fields[19]), let flags = UInt64(fields[6])
        else { throw LinuxError("understand", path, errno: EINVAL) }
        return ProcessStat(pid: pid, state: state, parent: parent, group: group, startTime: start, isDumpingCore: flags & 0x200 != 0)
    }
}
