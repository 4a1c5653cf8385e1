import FleetCore
import FleetProbes
import Glibc

/// What a producer leaves behind, outside the stream, when it has stopped cleanly: how many ticks, and the last id.
struct ShutdownMarker: Sendable {
    let key: String
    let file: String?

    /// Removes the marker of an earlier stop, so that a crash doesn't pass for one.
    func clear(by publisher: TickPublisher) throws(ProbeError) {
        _ = try publisher.demand(["DEL", key])
        guard let file, unlink(file) != 0, errno != ENOENT else { return }
        throw ProbeError("remove", file, .system(errno))
    }

    func write(produced: UInt64, lastID: String, by publisher: TickPublisher) throws(ProbeError) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let document = JSON.object([
            .init("produced", .int(produced)), .init("last_id", .string(lastID)),
            .init("unix_us", .int(Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)),
        ])
        _ = try publisher.demand(["SET", key, document.text])
        if let file { try Self.replace(file, with: Array((document.text + "\n").utf8)) }
    }

    /// Written beside it, synced and renamed: the file is there whole or not at all.
    private static func replace(_ path: String, with bytes: [UInt8]) throws(ProbeError) {
        let draft = "\(path).\(getpid()).new"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ProbeError("create", draft, .system(errno)) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let number = errno
                close(descriptor)
                throw ProbeError("write", draft, .system(number))
            }
            written += count
        }
        let synced = fsync(descriptor)
        let number = errno
        close(descriptor)
        guard synced == 0 else { throw ProbeError("sync", draft, .system(number)) }
        guard rename(draft, path) == 0 else { throw ProbeError("rename", draft, .system(errno)) }
    }
}
