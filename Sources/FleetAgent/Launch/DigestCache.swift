internal import FleetTrust
internal import Glibc
internal import LinuxHost
internal import NIOConcurrencyHelpers

/// Digests of programs, kept as long as nothing about the file has changed: a restart doesn't hash 100 MB again.
final class DigestCache: Sendable {
    private struct Key: Hashable {
        let path: String
        let version: FileStatus.Version

        init(_ path: String, _ status: FileStatus) {
            self.path = path
            version = status.version
        }
    }

    /// More programs than one host runs.
    private static let bound = 1_024

    private let kept = NIOLockedValueBox<[Key: String]>([:])
    private let reads = NIOLockedValueBox(0)

    /// How many files have been read to the end so far.
    var filesRead: Int { reads.withLockedValue { $0 } }

    /// Lower-case hex of SHA-256; blocking.
    func digest(_ path: String) throws -> String {
        guard let status = try FileStatus.read(path) else { throw LinuxError("open", path, errno: ENOENT) }
        let key = Key(path, status)
        if let known = kept.withLockedValue({ $0[key] }) { return known }
        let digest = try StateFiles.digest(path)
        reads.withLockedValue { $0 += 1 }
        // Written to while it was read: what was hashed is no state of the file.
        guard let after = try FileStatus.read(path), Key(path, after) == key else { return digest }
        kept.withLockedValue { kept in
            if kept.count >= Self.bound { kept = [:] }
            kept[key] = digest
        }
        return digest
    }
}
