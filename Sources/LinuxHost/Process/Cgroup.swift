internal import CLinux
internal import Glibc

/// Cgroups of version 2 without a controller: each knows the processes of one launch and kills them at once (cgroups(7)).
package enum Cgroup {
    /// A cgroup below which launches get theirs.
    package struct Place: Equatable, Sendable {
        package let path: String

        /// `path` is not looked at; `Cgroup.place` does that.
        package init(path: String) { self.path = path }

        /// Where the cgroup of one launch goes; the shim makes it and removes it.
        package func directory(service: String, launch: String) -> String { "\(path)/\(service).\(launch)" }
    }

    /// The place for this process's launches: the `declared` one, else its own cgroup where that was delegated to it, otherwise `trading` at the
    /// top; tried by making a cgroup there.
    ///
    /// Throws where version 2 isn't mounted, can't be written to, or has no `cgroup.kill` (Linux before 5.14).
    package static func place(at declared: String? = nil) throws(LinuxError) -> Place {
        guard let mount = try mountPoints().first else { throw LinuxError("find", "a cgroup2 filesystem", errno: ENOENT) }
        let own = "\(mount)\(try ownPath())"
        let base = declared ?? (isDelegated(own) ? own : "\(mount)/trading")
        if mkdir(base, 0o755) != 0, errno != EEXIST { throw .last("make the cgroup", base) }
        let probe = "\(base)/probe.\(getpid())"
        guard mkdir(probe, 0o755) == 0 else { throw .last("make the cgroup", probe) }
        defer { rmdir(probe) }
        guard access("\(probe)/cgroup.kill", W_OK) == 0 else { throw .last("write to", "\(probe)/cgroup.kill") }
        return Place(path: base)
    }

    /// SIGKILL to all in it and below.
    package static func kill(_ path: String) throws(LinuxError) {
        let file = "\(path)/cgroup.kill"
        let descriptor = open(file, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return }  // removed: it was empty
            throw .last("open", file)
        }
        defer { close(descriptor) }
        guard uninterrupted({ write(descriptor, "1", 1) }) == 1 || errno == ENODEV else { throw .last("write to", file) }
    }

    /// No process in it or below, zombies aside; also when there is no such cgroup.
    package static func isEmpty(_ path: String) throws(LinuxError) -> Bool {
        do {
            guard let bytes = try Files.readIfPresent("\(path)/cgroup.events", limit: 4_096) else {
                try demandVisible(path)
                return true
            }
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains("populated 0")
        } catch {
            if error.errno == ENODEV { return true }
            throw error
        }
    }

    /// The processes in it, not those of cgroups below.
    package static func processes(_ path: String) throws(LinuxError) -> [ProcessIdentity] {
        var found: [ProcessIdentity] = []
        for pid in try numbers(path) {
            guard let stat = try ProcessStat.read(pid: pid) else { continue }
            found.append(ProcessIdentity(pid: pid, startTime: stat.startTime, bootID: try BootID.read()))
        }
        // Identified, then looked at again: a number that was another's by then is not in it.
        let still = Set(try numbers(path))
        return found.filter { still.contains($0.pid) }
    }

    private static func numbers(_ path: String) throws(LinuxError) -> [Int32] {
        do {
            guard let bytes = try Files.readIfPresent("\(path)/cgroup.procs", limit: 1 << 20) else {
                try demandVisible(path)
                return []
            }
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { Int32($0) }
        } catch {
            if error.errno == ENODEV { return [] }
            throw error
        }
    }

    /// A cgroup that is not there was empty and was removed, where its filesystem is there: what isn't mounted shows nothing.
    private static func demandVisible(_ path: String) throws(LinuxError) {
        guard try mountPoints().contains(where: { path.hasPrefix($0) }) else {
            throw LinuxError("look at the cgroup", path, errno: ENOENT, detail: "no cgroup2 filesystem is mounted there: what is in it can't be seen")
        }
    }

    /// Removes an empty one; one that isn't stays.
    package static func remove(_ path: String) { rmdir(path) }

    /// Marked so by systemd (Delegate=yes), or an ordinary user's to write to; never a login session that root's agent was
    /// started from by hand.
    private static func isDelegated(_ path: String) -> Bool {
        if clinux_attribute_is_set(path, "trusted.delegate") || clinux_attribute_is_set(path, "user.delegate") { return true }
        return geteuid() != 0 && access("\(path)/cgroup.procs", W_OK) == 0
    }

    /// Of version 2, in the order of proc_mounts(5): device, mount point, type.
    private static func mountPoints() throws(LinuxError) -> [String] {
        let text = String(decoding: try Files.read("/proc/self/mounts", limit: 4 << 20), as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count > 2 && words[2] == "cgroup2" ? String(words[1]) : nil
        }
    }

    /// The line of version 2 in /proc/self/cgroup (cgroups(7)).
    private static func ownPath() throws(LinuxError) -> String {
        let text = String(decoding: try Files.read("/proc/self/cgroup", limit: 64 * 1024), as: UTF8.self)
        return text.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) } ?? "/"
    }
}
