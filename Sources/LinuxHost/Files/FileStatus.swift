internal import CLinux
internal import Glibc

/// What stat(2) says of a file.
package struct FileStatus: Equatable, Sendable {
    package enum Kind: Equatable, Sendable { case file, directory, other }

    package let kind: Kind
    package let device: UInt64
    package let inode: UInt64
    /// Bytes.
    package let size: Int64
    /// Bytes that are allocated.
    package let allocated: Int64
    /// Permission bits, set-id and sticky ones among them.
    package let mode: UInt32
    package let user: UInt32
    package let group: UInt32
    /// Nanoseconds since 1970.
    package let modified: Int64
    package let changed: Int64

    /// What replaces or changes a file's content changes one of these: no user can set the change time (inode(7)).
    package struct Version: Hashable, Sendable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let modified: Int64
        let changed: Int64
    }

    package var version: Version { Version(device: device, inode: inode, size: size, modified: modified, changed: changed) }

    package var isSetUser: Bool { mode & 0o4000 != 0 }
    /// Without group execution the bit means mandatory locking (inode(7)).
    package var isSetGroup: Bool { mode & 0o2010 == 0o2010 }

    /// nil where nothing is. A symbolic link is followed, or with `followLinks` false is of the kind `other`.
    package static func read(_ path: String, followLinks: Bool = true) throws(LinuxError) -> FileStatus? {
        var about = stat()
        guard (followLinks ? stat(path, &about) : lstat(path, &about)) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw .last("look at", path)
        }
        return FileStatus(about)
    }

    /// Of an open file; `path` is for the error.
    package static func read(descriptor: Int32, _ path: String) throws(LinuxError) -> FileStatus {
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { throw .last("look at", path) }
        return FileStatus(about)
    }

    private init(_ about: stat) {
        kind =
            switch about.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .directory
            default: .other
            }
        device = UInt64(about.st_dev)
        inode = UInt64(about.st_ino)
        size = Int64(about.st_size)
        allocated = Int64(about.st_blocks) * 512
        mode = about.st_mode & 0o7777
        user = about.st_uid
        group = about.st_gid
        modified = Int64(about.st_mtim.tv_sec) * 1_000_000_000 + Int64(about.st_mtim.tv_nsec)
        changed = Int64(about.st_ctim.tv_sec) * 1_000_000_000 + Int64(about.st_ctim.tv_nsec)
    }

    /// Whether the file has capabilities of its own (capabilities(7)).
    package static func hasCapabilities(_ path: String) throws(LinuxError) -> Bool {
        let found = clinux_has_attribute(path, "security.capability")
        guard found >= 0 else { throw .last("look at the capabilities of", path) }
        return found == 1
    }
}

/// A user as the kernel would judge its access: by mode bits (path_resolution(7)).
package struct FileUser: Equatable, Sendable {
    package let user: UInt32
    /// The primary group among them.
    package let groups: [UInt32]

    package enum Access: UInt32, Sendable {
        case read = 4
        case write = 2
        case execute = 1

        var word: String {
            switch self {
            case .read: "read"
            case .write: "write"
            case .execute: "execute"
            }
        }
    }

    package init(user: UInt32, groups: [UInt32]) {
        self.user = user
        self.groups = groups
    }

    /// Why this user may not; nil: it may, as far as modes tell.
    ///
    /// Where a file has an access control list, only the kernel knows: it counts as allowed. Of the way there each directory must
    /// be searchable.
    package func refusal(_ access: Access, _ path: String) throws(LinuxError) -> String? {
        guard let status = try FileStatus.read(path) else { return "\(path) does not exist" }
        var directory = ""
        for part in path.split(separator: "/").dropLast() {
            directory += "/\(part)"
            guard let status = try FileStatus.read(directory) else { continue }
            if !allows(.execute, status), try !Self.hasList(directory) {
                return "\(name) may not search \(directory) (\(Self.words(status)))"
            }
        }
        if access == .write, try Self.isReadOnly(path) { return "\(path) lies on a filesystem that is mounted read-only" }
        if allows(access, status) { return nil }
        if try Self.hasList(path) { return nil }
        return "\(name) may not \(access.word) \(path) (\(Self.words(status)))"
    }

    /// CAP_DAC_OVERRIDE lets root do all but execute what nobody may.
    private func allows(_ access: Access, _ status: FileStatus) -> Bool {
        if user == 0 { return access != .execute || status.kind == .directory || status.mode & 0o111 != 0 }
        let shift: UInt32 = status.user == user ? 6 : groups.contains(status.group) ? 3 : 0
        return (status.mode >> shift) & access.rawValue != 0
    }

    private var name: String {
        let found = Account.name(of: user)
        return found.map { "user \($0)" } ?? "uid \(user)"
    }

    private static func words(_ status: FileStatus) -> String {
        let owner = Account.name(of: status.user) ?? "\(status.user)"
        let group = Account.name(ofGroup: status.group) ?? "\(status.group)"
        let digits = String(status.mode, radix: 8)
        return "mode \(String(repeating: "0", count: max(0, 4 - digits.count)))\(digits), owner \(owner):\(group)"
    }

    private static func hasList(_ path: String) throws(LinuxError) -> Bool {
        let found = clinux_has_attribute(path, "system.posix_acl_access")
        guard found >= 0 else { throw .last("look at the access control list of", path) }
        return found == 1
    }

    private static func isReadOnly(_ path: String) throws(LinuxError) -> Bool {
        var status = statvfs()
        guard uninterrupted({ statvfs(path, &status) }) == 0 else { throw .last("look at the filesystem of", path) }
        return status.f_flag & UInt(ST_RDONLY) != 0
    }
}
