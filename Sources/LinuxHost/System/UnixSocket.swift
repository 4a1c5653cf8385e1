internal import CLinux
internal import Glibc

/// Unix stream sockets at paths of any length (a socket address itself holds 107 bytes, unix(7)).
package enum UnixSocket {
    /// Sends what fits at once and never waits or raises SIGPIPE; false when not all of it went.
    package static func sendNow(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) == bytes.count
    }

    package struct Peer: Equatable, Sendable {
        package let pid: Int32
        package let user: UInt32
        package let group: UInt32
    }

    /// A connected, non-blocking, close-on-exec descriptor that the caller owns.
    ///
    /// ECONNREFUSED: nobody listens; EAGAIN: its backlog is full.
    package static func connect(in directory: String, name: String) throws(LinuxError) -> Int32 {
        try reach(directory, name, operation: "connect to") { clinux_unix_connect($0) }
    }

    /// A listening, non-blocking, close-on-exec descriptor that the caller owns.
    ///
    /// A socket file that nobody listens on any more is replaced; one that answers is EADDRINUSE. The caller makes sure
    /// by a lock that only one listens.
    package static func listen(path: String, mode: UInt32 = 0o660, backlog: Int32 = 128) throws(LinuxError) -> Int32 {
        let (directory, name) = Files.split(path)
        do throws(LinuxError) {
            return try reach(directory, name, operation: "listen on") { clinux_unix_listen($0, mode, backlog) }
        } catch  where error.errno == EADDRINUSE {
            do throws(LinuxError) {
                close(try connect(in: directory, name: name))
                throw error
            } catch let refusal where refusal.errno == ECONNREFUSED {
                try Files.remove(path)
            }
            return try reach(directory, name, operation: "listen on") { clinux_unix_listen($0, mode, backlog) }
        }
    }

    /// Who connected, as the kernel saw it at connect time (SO_PEERCRED).
    package static func peerCredentials(_ descriptor: Int32) throws(LinuxError) -> Peer {
        var pid: pid_t = 0
        var user: uid_t = 0
        var group: gid_t = 0
        guard clinux_peer_credentials(descriptor, &pid, &user, &group) == 0 else {
            throw .last("ask who is at the other end of", "a socket")
        }
        return Peer(pid: pid, user: user, group: group)
    }

    private static func reach(
        _ directory: String, _ name: String, operation: String, _ call: (String) -> Int32
    ) throws(LinuxError) -> Int32 {
        let path = "\(directory)/\(name)"
        let direct = call(path)
        if direct >= 0 { return direct }
        guard errno == ENAMETOOLONG else { throw .last(operation, path) }
        let descriptor = clinux_open_directory_path(directory)
        guard descriptor >= 0 else { throw .last("open", directory) }
        defer { close(descriptor) }
        let short = call("/proc/self/fd/\(descriptor)/\(name)")
        guard short >= 0 else { throw .last(operation, path) }
        return short
    }
}
