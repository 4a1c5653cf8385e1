internal import FleetCore
internal import FleetTrust
internal import Glibc
internal import LinuxHost

/// Digests of the files that a worker declares as its state.
///
/// Blocking.
enum StateFiles {
    private static let chunk = 1 << 18
    /// How long all files of a worker may take together; the coordinator waits longer (RunMachine.answerBound).
    static let bound: Duration = .seconds(20)

    /// Path to lower-case hex of SHA-256, or to `unreadable: …`.
    static func digests(_ paths: [String], within bound: Duration = bound) -> [String: String] {
        var digests: [String: String] = [:]
        let deadline = Clock.boottime() + bound
        for path in paths {
            do { digests[path] = try digest(path, until: deadline) } catch { digests[path] = "unreadable: \(error)" }
        }
        return digests
    }

    /// With a deadline throws ETIMEDOUT once it has passed and the file is not read to its end, and EBUSY where the file was written to
    /// meanwhile; without one it reads on, and whoever asks looks at that. A read that hangs in the kernel is not ended.
    static func digest(_ path: String, until deadline: BootTime? = nil) throws -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else { throw LinuxError("open", path, errno: errno) }
        defer { close(descriptor) }
        let about = try FileStatus.read(descriptor: descriptor, path)
        // A pipe has no content to record, and a device no end.
        guard about.kind == .file else { throw LinuxError("record", path, errno: EINVAL, detail: "it is no regular file") }
        let stream = SHA256Stream()
        var bytes = [UInt8](repeating: 0, count: chunk)
        var done: Int64 = 0
        while true {
            let got = Glibc.read(descriptor, &bytes, bytes.count)
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw LinuxError("read", path, errno: errno) }
            if got == 0 { break }
            stream.update(bytes[..<got])
            done += Int64(got)
            guard let deadline else { continue }
            guard done <= about.size else { throw changed(path) }
            if done < about.size, Clock.boottime() > deadline {
                throw LinuxError(
                    "read", path, errno: ETIMEDOUT, detail: "it has \(about.size) bytes, and the time for this worker's state files was over")
            }
        }
        guard deadline != nil else { return Digest.hex(stream.finish()) }
        // A digest of a file that is written to meanwhile need be of no state that it ever had.
        guard try FileStatus.read(descriptor: descriptor, path).version == about.version else { throw changed(path) }
        return Digest.hex(stream.finish())
    }

    private static func changed(_ path: String) -> LinuxError {
        LinuxError("record", path, errno: EBUSY, detail: "it was written to while it was read")
    }
}
