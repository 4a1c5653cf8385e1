internal import CLinux
package import FleetCore
internal import Glibc

/// This process's own threads.
package enum Threads {
    /// Puts all that exist now on `cpus`; what they start later inherits it. Returns how many the kernel refused.
    package static func pin(to cpus: CPUList) throws(LinuxError) -> Int {
        var mask = [UInt8](repeating: 0, count: Int(CLINUX_CPUS_MAX) / 8)
        for cpu in cpus.cpus where cpu < Int(CLINUX_CPUS_MAX) { mask[cpu / 8] |= 1 << UInt8(cpu % 8) }
        var refused = 0
        // Twice: a thread that was just being started by one not yet moved.
        for _ in 0..<2 {
            refused = 0
            for name in try Files.list("/proc/self/task") {
                guard let task = Int32(name), clinux_set_affinity(task, mask, mask.count) != 0, errno != ESRCH else { continue }
                refused += 1
            }
        }
        return refused
    }

    /// Puts the calling thread ahead of everything ordinary on its CPU, or with nil among it again.
    ///
    /// `priority` is SCHED_FIFO's, 1 to 99 (sched(7)). Throws where neither root nor CAP_SYS_NICE nor RLIMIT_RTPRIO allows it.
    package static func setRealtime(_ priority: Int32?) throws(LinuxError) {
        guard clinux_set_realtime(priority ?? 0) == 0 else { throw .last("give real-time priority to", "a thread") }
    }
}
