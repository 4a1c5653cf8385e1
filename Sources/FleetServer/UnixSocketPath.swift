import Glibc

/// The path of the API's Unix socket: made free before binding, given its mode after.
enum UnixSocketPath {
    /// sun_path of unix(7) holds 108 bytes with the final zero.
    private static let bytesMax = 107
    static let mode: mode_t = 0o660

    /// Removes a socket that nobody listens on any more.
    ///
    /// Refuses anything else that stands there.
    static func clear(_ path: String) throws {
        guard path.utf8.count <= bytesMax else {
            throw FleetServerError("cannot bind \(path): the path has \(path.utf8.count) bytes, a socket's may have \(bytesMax). Choose a shorter one")
        }
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        var about = stat()
        guard stat(directory, &about) == 0, about.st_mode & S_IFMT == S_IFDIR else {
            throw FleetServerError("cannot bind \(path): there is no directory \(directory). Make it first, with mode 0750")
        }
        guard lstat(path, &about) == 0 else { return }
        guard about.st_mode & S_IFMT == S_IFSOCK else {
            throw FleetServerError("cannot bind \(path): something that is not a socket is there. Move it away, or name another path")
        }
        guard try !someoneListens(path) else {
            throw FleetServerError("cannot bind \(path): another process listens there. Stop it first, or name another path")
        }
        guard unlink(path) == 0 else {
            throw FleetServerError("cannot remove the stale socket \(path): \(String(cString: strerror(errno)))")
        }
    }

    static func setMode(_ path: String) throws {
        guard chmod(path, mode) == 0 else {
            throw FleetServerError("cannot set mode 0660 on \(path): \(String(cString: strerror(errno)))")
        }
    }

    private static func someoneListens(_ path: String) throws -> Bool {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw FleetServerError("cannot make a socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        // Only a refusal proves that nobody listens; a full backlog (EAGAIN) or no permission means that somebody does.
        return result == 0 || errno != ECONNREFUSED
    }
}
