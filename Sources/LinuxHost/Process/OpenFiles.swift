internal import CLinux
internal import Glibc

/// What a process has open, by the links in /proc/PID/fd (proc_pid_fd(5)).
package struct OpenFiles: Equatable, Sendable {
    package let count: Int
    /// `/path`, `socket:[1234]`, `anon_inode:[eventpoll]`; at most as many as asked for, by descriptor.
    package let targets: [String]
    /// Of all sockets but those that are known to be neither TCP nor UDP.
    package let socketInodes: Set<UInt64>
    /// Of those that are TCP.
    package let tcpInodes: Set<UInt64>

    /// ESRCH: no such process; EACCES: it belongs to another user.
    package static func read(pid: Int32, limit: Int = 64) throws(LinuxError) -> OpenFiles {
        let directory = "/proc/\(pid)/fd"
        let descriptors = try entries(directory, pid).sorted()
        var targets: [String] = []
        var inodes: Set<UInt64> = []
        var tcp: Set<UInt64> = []
        var gone = 0
        for descriptor in descriptors {
            let target: String
            do throws(LinuxError) {
                target = try Files.link("\(directory)/\(descriptor)")
            } catch {
                // Closed meanwhile.
                guard error.errno == ENOENT || error.errno == ESRCH else { throw error }
                gone += 1
                continue
            }
            if targets.count < limit { targets.append(target) }
            guard let inode = inode(ofSocket: target) else { continue }
            // Unix, netlink and packet sockets are in none of the tables that TCP and UDP are looked for in.
            let kind = transport("\(directory)/\(descriptor)")
            if kind != .other { inodes.insert(inode) }
            if kind == .tcp { tcp.insert(inode) }
        }
        return OpenFiles(count: descriptors.count - gone, targets: targets, socketInodes: inodes, tcpInodes: tcp)
    }

    /// Without looking at any of them.
    package static func count(pid: Int32) throws(LinuxError) -> Int { try entries("/proc/\(pid)/fd", pid).count }

    private static func entries(_ directory: String, _ pid: Int32) throws(LinuxError) -> [Int32] {
        do throws(LinuxError) {
            return try Files.list(directory).compactMap { Int32($0) }
        } catch {
            guard error.errno == ENOENT else { throw error }
            throw LinuxError("list what is open in", "process \(pid)", errno: ESRCH)
        }
    }

    private enum Transport { case tcp, udp, other, unknown }

    private static func transport(_ path: String) -> Transport {
        var buffer = [CChar](repeating: 0, count: 32)
        let length = clinux_socket_protocol(path, &buffer, buffer.count)
        guard length > 0 else { return .unknown }
        let name = String(decoding: buffer[..<length].map(UInt8.init(bitPattern:)).prefix { $0 != 0 }, as: UTF8.self)
        if name.hasPrefix("TCP") || name.hasPrefix("MPTCP") { return .tcp }
        return name.hasPrefix("UDP") ? .udp : .other
    }

    /// `socket:[1234]`
    static func inode(ofSocket target: String) -> UInt64? {
        guard target.hasPrefix("socket:["), target.hasSuffix("]") else { return nil }
        return UInt64(target.dropFirst("socket:[".count).dropLast())
    }
}
