internal import CLinux
package import FleetCore
internal import Glibc

/// What /proc says about running processes.
package enum Processes {
    /// As read back from the kernel, of the main thread (sched_getaffinity(2)).
    ///
    /// Throws ESRCH without one.
    package static func affinity(of pid: Int32) throws(LinuxError) -> CPUList {
        var mask = [UInt8](repeating: 0, count: CPUList.limit / 8)
        guard clinux_get_affinity(pid, &mask, mask.count) >= 0 else { throw .last("read the CPUs of", "process \(pid)") }
        return CPUList((0..<CPUList.limit).filter { cpu in mask[cpu / 8] & (UInt8(1) << UInt8(cpu % 8)) != 0 })
    }

    /// Lets every thread of this process run on these CPUs only, and what they start from now on (sched_setaffinity(2)).
    package static func confine(to cpus: CPUList) throws(LinuxError) {
        var mask = [UInt8](repeating: 0, count: CPUList.limit / 8)
        for cpu in cpus.cpus where cpu < CPUList.limit { mask[cpu / 8] |= UInt8(1) << UInt8(cpu % 8) }
        for tid in try Files.list("/proc/self/task").compactMap({ Int32($0) }) {
            guard clinux_set_affinity(tid, mask, mask.count) == 0 || errno == ESRCH else { throw .last("stay on the CPUs", "\(cpus)") }
        }
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

    /// Children, their children and so on, without zombies.
    package static func livingDescendants(of parent: ProcessIdentity) throws(LinuxError) -> [ProcessIdentity] {
        var found: [ProcessIdentity] = []
        for pid in try descendants(of: parent.pid) {
            guard let stat = try ProcessStat.read(pid: pid), !stat.isZombie else { continue }
            found.append(ProcessIdentity(pid: pid, startTime: stat.startTime, bootID: parent.bootID))
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

    /// Every process that has inherited this slot file from a worker's launch, as far as this user may look: the worker,
    /// what it has forked, what has outlived it; not the shim.
    ///
    /// Reads descriptor links alone: nothing that takes a hot process's mmap lock. What has closed the descriptor is not
    /// found this way; while its shim lives that one knows it, and its cgroup if it has one.
    package static func holding(slot path: String) throws(LinuxError) -> [ProcessIdentity] {
        guard let slot = try LaunchTrace.Slot.read(path) else { return [] }
        return try holding(slot, of: path) { _ in true }
    }

    /// The same of a slot file that may have lost its path, `RUN/w/SERVICE/slot`: removed, or unmounted lazily.
    ///
    /// Its numbers may be another agent's slot by now, on a filesystem that gives inodes again: the link must be that path too, or, once
    /// it is unmounted, its end.
    package static func holding(lost slot: LaunchTrace.Slot, of path: String) throws(LinuxError) -> [ProcessIdentity] {
        try holding(slot, of: path) { link in path.hasSuffix(link) }
    }

    private static func holding(_ slot: LaunchTrace.Slot, of path: String, where isItsPath: (Substring) -> Bool) throws(LinuxError) -> [ProcessIdentity] {
        let own = path.split(separator: "/").suffix(2).map { "/\($0)" }.joined()
        // Workers inherit the slot without close-on-exec; those who only look at its lock, an agent with a hundred descriptors
        // too, open it close-on-exec.
        return try holding { pid, number, target in
            // By its link first: to look behind it may wait for a server, if it is a file on a network.
            let link = target.hasSuffix(" (deleted)") ? target.dropLast(" (deleted)".count) : target[...]
            guard link.hasSuffix(own), isItsPath(link) else { return false }
            var file = stat()
            guard stat("/proc/\(pid)/fd/\(number)", &file) == 0, UInt64(file.st_ino) == slot.inode, UInt64(file.st_dev) == slot.device else { return false }
            return !closesOnExec(pid: pid, number)
        }
    }

    /// The same of a slot file that was removed and whose numbers are not known: by its path alone.
    package static func holding(removedSlot path: String) throws(LinuxError) -> [ProcessIdentity] {
        try holding { _, _, target in target == "\(path) (deleted)" }
    }

    /// Every other process with such a descriptor, by its process, its number and what it points to.
    private static func holding(_ isSlot: (Int32, Int32, String) -> Bool) throws(LinuxError) -> [ProcessIdentity] {
        try every { pid in holds(pid: pid, isSlot) ? true : nil }.map(\.identity)
    }

    /// Every other process of which `look` finds something, with that.
    static func every<Fact: Equatable>(_ look: (Int32) -> Fact?) throws(LinuxError) -> [(fact: Fact, identity: ProcessIdentity)] {
        let bootID = try BootID.read()
        var found: [(fact: Fact, identity: ProcessIdentity)] = []
        for name in try Files.list("/proc") {
            guard let pid = Int32(name), pid != getpid(), let fact = look(pid), let stat = try ProcessStat.read(pid: pid) else { continue }
            // Identified, then looked at again: both times it must have been the same one.
            if look(pid) == fact { found.append((fact, ProcessIdentity(pid: pid, startTime: stat.startTime, bootID: bootID))) }
        }
        return found
    }

    /// Workers inherit the slot as the number 100 or a higher one: no lower ones are looked at.
    static func holds(pid: Int32, _ isSlot: (Int32, Int32, String) -> Bool) -> Bool {
        let directory = "/proc/\(pid)/fd"
        guard let stream = opendir(directory) else { return false }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            guard let number = Int32(Files.name(of: entry)), number >= 100 else { continue }
            let target: String
            do { target = try Files.link("\(directory)/\(number)") } catch { continue }
            if isSlot(pid, number, target) { return true }
        }
        return false
    }

    /// proc_pid_fdinfo(5)
    static func closesOnExec(pid: Int32, _ number: Int32) -> Bool {
        let bytes: [UInt8]
        do { bytes = try Files.read("/proc/\(pid)/fdinfo/\(number)", limit: 64 * 1024) } catch { return true }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where line.hasPrefix("flags:") {
            let flags = Int32(line.dropFirst(6).drop { $0 == " " || $0 == "\t" }, radix: 8) ?? 0
            return flags & O_CLOEXEC != 0
        }
        return true
    }
}
