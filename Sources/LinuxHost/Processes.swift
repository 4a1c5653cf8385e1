package import FleetCore
internal import Glibc

/// What /proc says about running processes.
package enum Processes {
    /// As read back from the kernel, of the main thread (Cpus_allowed_list, proc_pid_status(5)).
    ///
    /// Throws ESRCH without one.
    package static func affinity(of pid: Int32, root: String = "") throws(LinuxError) -> CPUList {
        let path = "\(root)/proc/\(pid)/status"
        let text = String(decoding: try Files.read(path, limit: 64 * 1024), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("Cpus_allowed_list:") {
            let list = line.dropFirst("Cpus_allowed_list:".count).drop { $0 == " " || $0 == "\t" }
            if let cpus = CPUList(String(list)) { return cpus }
        }
        throw LinuxError("understand", path, errno: EINVAL)
    }

    /// Numbers of all children of all threads, at one moment for each thread (proc_pid_children(5)): what is forked
    /// meanwhile may be missing.
    ///
    /// Empty for a process that has ended.
    package static func children(of pid: Int32) throws(LinuxError) -> [Int32] {
        var found: [Int32] = []
        do {
            for task in try Files.list("/proc/\(pid)/task") {
                let path = "/proc/\(pid)/task/\(task)/children"
                guard let bytes = try Files.readIfPresent(path, limit: 1 << 20) else { continue }
                found += bytes.split(separator: 32).compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
            }
        } catch  where error.errno == ENOENT || error.errno == ESRCH {
            return found
        }
        return found
    }

    /// Children, their children and so on, parents first, zombies included, `pid` itself not.
    package static func descendants(of pid: Int32) throws(LinuxError) -> [Int32] {
        var found: [Int32] = []
        var seen: Set<Int32> = [pid]
        var front = [pid]
        while let next = front.popLast() {
            for child in try children(of: next) where seen.insert(child).inserted {
                found.append(child)
                front.append(child)
            }
        }
        return found
    }

    /// How long it has run; nil when it has ended, or its number is another's now.
    package static func uptime(of identity: ProcessIdentity, now: BootTime) throws(LinuxError) -> Duration? {
        guard try BootID.read() == identity.bootID, let stat = try ProcessStat.read(pid: identity.pid),
            stat.startTime == identity.startTime
        else { return nil }
        let ticks = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
        return now - BootTime(nanoseconds: stat.startTime * (1_000_000_000 / ticks))
    }

    /// Every process whose environment was given `entry` (`NAME=VALUE`) at its exec, as far as this user may look.
    package static func all(withEnvironment entry: String) throws(LinuxError) -> [Int32] {
        let wanted = Array(entry.utf8)
        var found: [Int32] = []
        for name in try Files.list("/proc") {
            guard let pid = Int32(name), try hasEnvironment(pid: pid, wanted) else { continue }
            found.append(pid)
        }
        return found
    }

    static func hasEnvironment(pid: Int32, _ wanted: [UInt8]) throws(LinuxError) -> Bool {
        do {
            let bytes = try Files.read("/proc/\(pid)/environ", limit: 4 << 20)
            return bytes.split(separator: 0).contains { $0.elementsEqual(wanted) }
        } catch  where [ENOENT, ESRCH, EACCES, EPERM, EFBIG].contains(error.errno) {
            return false
        }
    }
}
