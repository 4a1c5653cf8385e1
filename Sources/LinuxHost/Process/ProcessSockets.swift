internal import CLinux
internal import Glibc

/// The kernel's sockets of processes: which they are while these live, and which are left when they are gone.
///
/// Kernel bypass, packet and raw sockets are in none of the four tables read here.
package enum ProcessSockets {
    package struct Capture: Equatable, Sendable {
        /// Of this network namespace, by transport and address.
        package var tuples: [SocketTuple] = []
        /// Why more of them may exist than could be seen; empty: these are all.
        package var problems: [String] = []

        package init() {}
    }

    /// What `pids` hold open now; one that has ended holds nothing.
    package static func capture(_ pids: [Int32]) -> Capture {
        var capture = Capture()
        var inodes: Set<UInt64> = []
        for pid in pids {
            do throws(LinuxError) {
                let sockets = try OpenFiles.read(pid: pid, limit: 0).socketInodes
                guard !sockets.isEmpty else { continue }
                // Those that it brought along are in our tables all the same: inodes are the whole kernel's.
                inodes.formUnion(sockets)
                if try !isHere(pid) {
                    capture.problems.append("process \(pid) has a network of its own: sockets in it can't be seen from here")
                }
            } catch {
                if error.errno == ESRCH || error.errno == ENOENT { continue }
                capture.problems.append("the sockets of process \(pid): \(error)")
            }
        }
        guard !inodes.isEmpty else { return capture }
        do throws(LinuxError) {
            capture.tuples = owned(inodes, in: try listed())
        } catch {
            capture.problems.append("\(error)")
        }
        return capture
    }

    /// Those of a table that was read once for many.
    package static func owned(_ inodes: Set<UInt64>, in table: [SocketTuple]) -> [SocketTuple] {
        table.filter { $0.inode != 0 && inodes.contains($0.inode) }
    }

    /// Which of these are there still, as they are now; TIME-WAIT is the kernel's own and left out.
    ///
    /// By inode, which a socket keeps as long as a process holds it; once nobody does, by its addresses. A socket of the
    /// same addresses that another process holds is another socket.
    package static func stillListed(_ tuples: [SocketTuple], in table: [SocketTuple]) -> [SocketTuple] {
        guard !tuples.isEmpty else { return [] }
        struct Ends: Hashable {
            let transport: SocketTuple.Transport
            let local: String
            let remote: String
            init(_ tuple: SocketTuple) { (transport, local, remote) = (tuple.transport, tuple.local, tuple.remote) }
        }
        let inodes = Set(tuples.map(\.inode)).subtracting([0])
        let ends = Set(tuples.map(Ends.init))
        return table.filter { row in
            row.state != .timeWait && (row.inode == 0 ? ends.contains(Ends(row)) : inodes.contains(row.inode))
        }
    }

    /// The tables are read once for all of them.
    package static func stillListed(_ tuples: [SocketTuple]) throws(LinuxError) -> [SocketTuple] {
        tuples.isEmpty ? [] : stillListed(tuples, in: try listed())
    }

    /// Every listening TCP socket of this network namespace, without a walk through its connections: some microseconds where
    /// `listed` takes milliseconds. A process's TCP connections are its `OpenFiles.tcpInodes` but for these.
    package static func listening() throws(LinuxError) -> Set<UInt64> {
        var inodes = [UInt32](repeating: 0, count: 65_536)
        let count = clinux_listening_sockets(&inodes, Int32(inodes.count))
        guard count >= 0 else { throw .last("list", "listening sockets (sock_diag)") }
        return Set(inodes[..<Int(count)].map(UInt64.init))
    }

    /// The four tables of this network namespace; without IPv6 there are two. TIME-WAIT is left out: nobody holds it, and of a host with
    /// many short connections it is most of a table.
    package static func listed(root: String = "") throws(LinuxError) -> [SocketTuple] {
        var found: [SocketTuple] = []
        for transport in SocketTuple.Transport.allCases {
            let path = "\(root)/proc/self/net/\(transport.rawValue)"
            guard let bytes = try Files.readIfPresent(path, limit: tableMax) else {
                if transport == .tcp6 || transport == .udp6 { continue }
                throw LinuxError("read", path, errno: ENOENT)
            }
            guard let tuples = SocketTuple.parse(String(decoding: SocketTuple.withoutTimeWait(bytes), as: UTF8.self), transport) else {
                throw LinuxError("understand", path, errno: EINVAL)
            }
            found += tuples
        }
        return found
    }

    /// 400,000 sockets at 150 bytes.
    private static let tableMax = 64 << 20

    /// Whether it is in this network namespace.
    package static func isHere(_ pid: Int32) throws(LinuxError) -> Bool {
        try Files.link("/proc/\(pid)/ns/net") == Files.link("/proc/self/ns/net")
    }
}
