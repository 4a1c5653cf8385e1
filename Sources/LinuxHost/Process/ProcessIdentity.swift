internal import Glibc

/// What tells one process from every other that ever had or will have its number; an exec keeps all three.
package struct ProcessIdentity: Hashable, Sendable, CustomStringConvertible {
    package let pid: Int32
    /// Field 22 of /proc/PID/stat: clock ticks since boot (proc_pid_stat(5)).
    package let startTime: UInt64
    package let bootID: String

    package init(pid: Int32, startTime: UInt64, bootID: String) {
        self.pid = pid
        self.startTime = startTime
        self.bootID = bootID
    }

    /// Throws ESRCH when no process has that number.
    package static func read(pid: Int32) throws(LinuxError) -> ProcessIdentity {
        guard let stat = try ProcessStat.read(pid: pid) else { throw LinuxError("identify", "process \(pid)", errno: ESRCH) }
        return ProcessIdentity(pid: pid, startTime: stat.startTime, bootID: try BootID.read())
    }

    /// Still running, also after waiting `patience` for its end; false once every thread has ended, reaped or not.
    package func isAlive(after patience: Duration = .zero) throws(LinuxError) -> Bool {
        do {
            // A zombie in /proc may have live threads: only the pidfd knows.
            return try !PIDFD(opening: self).isGone(within: patience)
        } catch let error as LinuxError {
            throw error
        } catch PIDFD.Failure.system(let error) {
            throw error
        } catch {
            return false
        }
    }

    package var description: String { "process \(pid), started at tick \(startTime)" }
}
