internal import FleetTrust
internal import Glibc
internal import LinuxHost
internal import NIOConcurrencyHelpers

/// Digests of programs, kept as long as nothing about the file has changed: a restart doesn't hash 100 MB again.
///
/// What replaces a file changes its inode or its change time, which no user can set (inode(7)).
final class DigestCache: Sendable {
    private struct Key: Hashable {
        let path: String
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modified: Int64
        let changed: Int64

        init(_ path: String, _ status: FileStatus) {
            self.path = path
            device = status.device
            inode = status.inode
            size = status.size
            modified = status.modified
            changed = status.changed
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
