internal import CLinux
package import FleetCore
internal import Glibc

/// Where a process's threads may run, and how they are scheduled.
///
/// From task/*/stat and sched_getaffinity(2) alone: neither takes the process's memory map lock.
package enum ThreadPlacements {
    /// By thread number; those that end meanwhile are left out.
    ///
    /// ESRCH: no such process.
    package static func read(pid: Int32) throws(LinuxError) -> [ThreadReading] {
        let names: [String]
        do throws(LinuxError) {
            names = try Files.list("/proc/\(pid)/task")
        } catch {
            guard error.errno == ENOENT else { throw error }
            throw LinuxError("list the threads of", "process \(pid)", errno: ESRCH)
        }
        var threads: [ThreadReading] = []
        for tid in names.compactMap({ Int32($0) }).sorted() {
            let bytes: [UInt8]
            do throws(LinuxError) {
                bytes = try Files.read("/proc/\(pid)/task/\(tid)/stat", limit: 4_096)
            } catch {
                if error.errno == ENOENT || error.errno == ESRCH { continue }
                throw error
            }
            guard var thread = parse(bytes) else { throw LinuxError("understand", "/proc/\(pid)/task/\(tid)/stat", errno: EINVAL) }
            thread.cpus = try affinity(tid)
            threads.append(thread)
        }
        return threads
    }

    /// nil: it has ended.
    static func affinity(_ tid: Int32) throws(LinuxError) -> CPUList? {
        var mask = [UInt8](repeating: 0, count: Int(CLINUX_CPUS_MAX) / 8)
        let got = clinux_get_affinity(tid, &mask, mask.count)
        guard got >= 0 else {
            if errno == ESRCH { return nil }
            throw .last("read the affinity of", "thread \(tid)")
        }
        return CPUList((0..<Int(got) * 8).filter { mask[$0 / 8] & (1 << ($0 % 8)) != 0 })
    }

    /// proc_pid_stat(5); the name may hold anything, parentheses included. `cpus` is left nil.
    static func parse(_ bytes: [UInt8]) -> ThreadReading? {
        guard let open = bytes.firstIndex(of: UInt8(ascii: "(")), let close = bytes.lastIndex(of: UInt8(ascii: ")")), open < close,
            let tid = Int32(String(decoding: bytes[..<open], as: UTF8.self).prefix { $0 != " " })
        else { return nil }
        // The first of these is field 3.
        let fields = bytes[(close + 1)...].split { $0 == 32 || $0 == 10 }
        func field(_ number: Int) -> Int64? {
            number - 3 < fields.count ? Int64(String(decoding: fields[number - 3], as: UTF8.self)) : nil
        }
        guard let user = field(14), let system = field(15), let nice = field(19), let processor = field(39), let priority = field(40),
            let policy = field(41)
        else { return nil }
        let ticks = Int64(max(1, sysconf(Int32(_SC_CLK_TCK))))
        return ThreadReading(
            tid: tid, name: String(decoding: bytes[(open + 1)..<close], as: UTF8.self), cpus: nil,
            policy: Self.policy(Int(policy), priority: priority, nice: nice), lastCPU: Int(processor),
            cpuTime: .nanoseconds((user + system) * (1_000_000_000 / ticks)))
    }

    /// sched(7)
    private static func policy(_ number: Int, priority: Int64, nice: Int64) -> String {
        let name =
            switch number {
            case 0: "other"
            case 1: "fifo \(priority)"
            case 2: "rr \(priority)"
            case 3: "batch"
            case 5: "idle"
            case 6: "deadline"
            case 7: "ext"
            default: "policy \(number)"
            }
        return nice != 0 && [0, 3].contains(number) ? "\(name) nice \(nice)" : name
    }
}
