import Glibc
import LinuxHost

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
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard Files.isDirectory(directory) else {
            throw FleetServerError("cannot bind \(path): there is no directory \(directory). Make it first, with mode 0750")
        }
        guard Files.exists(path) else { return }
        guard Files.isSocket(path) else {
            throw FleetServerError("cannot bind \(path): something that is not a socket is there. Move it away, or name another path")
        }
        guard !someoneListens(directory, name) else {
            throw FleetServerError("cannot bind \(path): another process listens there. Stop it first, or name another path")
        }
        try Files.remove(path)
    }

    static func setMode(_ path: String) throws {
        guard chmod(path, mode) == 0 else {
            throw FleetServerError("cannot set mode 0660 on \(path): \(String(cString: strerror(errno)))")
        }
    }

    private static func someoneListens(_ directory: String, _ name: String) -> Bool {
        do throws(LinuxError) {
            close(try UnixSocket.connect(in: directory, name: name))
            return true
        } catch {
            // Only a refusal proves that nobody listens; a full backlog (EAGAIN) or no permission means that somebody does.
            return error.errno != ECONNREFUSED
        }
    }
}
