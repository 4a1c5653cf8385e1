internal import CLinux
internal import Glibc

/// An open file whose front may be given back to the filesystem while others go on appending to it.
///
/// Closed with its last use.
package struct SparseFile: ~Copyable {
    package struct About: Equatable, Sendable {
        package var device: UInt64
        package var inode: UInt64
        /// Bytes up to the end, holes included.
        package var size: Int64
        /// Bytes that it takes on the disk.
        package var allocated: Int64
        /// When it was last written to, in microseconds since 1970.
        package var modifiedUnixMicroseconds: Int64

        package init(device: UInt64, inode: UInt64, size: Int64, allocated: Int64, modifiedUnixMicroseconds: Int64) {
            self.device = device
            self.inode = inode
            self.size = size
            self.allocated = allocated
            self.modifiedUnixMicroseconds = modifiedUnixMicroseconds
        }
    }

    package let path: String
    package let descriptor: Int32

    /// A regular file that exists; nil where nothing is, or no regular file.
    package init?(existing path: String, writable: Bool = false) throws(LinuxError) {
        let flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
        let descriptor = open(path, flags)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .last("open", path)
        }
        var about = stat()
        guard fstat(descriptor, &about) == 0, about.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        self.path = path
        self.descriptor = descriptor
    }

    /// Takes an open file over.
    init(open descriptor: Int32, path: String) {
        self.path = path
        self.descriptor = descriptor
    }

    /// A new file; one of that name is an error.
    package init(creating path: String, mode: UInt32) throws(LinuxError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw .last("create", path) }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    package func about() throws(LinuxError) -> About {
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { throw .last("look at", path) }
        return About(
            device: UInt64(about.st_dev), inode: UInt64(about.st_ino), size: Int64(about.st_size), allocated: Int64(about.st_blocks) * 512,
            modifiedUnixMicroseconds: Int64(about.st_mtim.tv_sec) * 1_000_000 + Int64(about.st_mtim.tv_nsec) / 1_000)
    }

    /// As another file of that owner and those permissions.
    package func takeOwner(of other: borrowing SparseFile) throws(LinuxError) {
        var about = stat()
        guard fstat(other.descriptor, &about) == 0 else { throw .last("look at", other.path) }
        guard fchmod(descriptor, about.st_mode & 0o777) == 0 else { throw .last("set the mode of", path) }
        // Only root gives files away; to others both are their own.
        if geteuid() == 0, fchown(descriptor, about.st_uid, about.st_gid) != 0 { throw .last("give away", path) }
    }

    /// Up to `count` bytes from `offset`; fewer at the end, and holes read as zeros.
    package func read(at offset: Int64, _ count: Int) throws(LinuxError) -> [UInt8] {
        var problem: LinuxError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[filled...])
                let got = uninterrupted { pread(descriptor, rest.baseAddress, count - filled, off_t(offset) + off_t(filled)) }
                if got < 0 { problem = .last("read", path) }
                if got <= 0 { break }
                filled += got
            }
        }
        if let problem { throw problem }
        return bytes
    }

    package func write(_ bytes: [UInt8], at offset: Int64) throws(LinuxError) {
        var at = 0
        while at < bytes.count {
            let put = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[at...])
                return uninterrupted { pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset) + off_t(at)) }
            }
            guard put > 0 else { throw .last("write", path) }
            at += put
        }
    }

    package func sync() throws(LinuxError) {
        guard fsync(descriptor) == 0 else { throw .last("sync", path) }
    }

    /// Gives the whole blocks within the range back; the size stays (fallocate(2), FALLOC_FL_PUNCH_HOLE).
    ///
    /// EOPNOTSUPP where the filesystem can't.
    package func punch(_ range: Range<Int64>) throws(LinuxError) {
        guard clinux_punch_hole(descriptor, range.lowerBound, range.upperBound - range.lowerBound) == 0 else {
            throw .last("give back a part of", path)
        }
    }

    /// Writes the range's dirty pages out and waits, so that giving it back afterwards is quick.
    package func writeBack(_ range: Range<Int64>) throws(LinuxError) {
        guard clinux_write_back(descriptor, range.lowerBound, range.upperBound - range.lowerBound) == 0 else { throw .last("write out", path) }
    }

    /// Where data begin at or behind `offset`, as exact as the filesystem's blocks; nil: none follow.
    package func data(from offset: Int64) throws(LinuxError) -> Int64? {
        let found = clinux_seek_data(descriptor, offset)
        if found >= 0 { return found }
        if errno == ENXIO { return nil }
        throw .last("seek in", path)
    }

    /// The kernel may drop what it has cached of this file.
    package func forgetCached() { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
}

extension Files {
    /// All bytes of the filesystem that holds `path` (statvfs(3)).
    package static func totalBytes(_ path: String) throws(LinuxError) -> UInt64 {
        var status = statvfs()
        guard uninterrupted({ statvfs(path, &status) }) == 0 else { throw .last("look at the filesystem of", path) }
        return UInt64(status.f_blocks) * UInt64(status.f_frsize)
    }

    /// The paths that a pattern stands for (glob(7)), sorted, at most `count`; one without a wildcard is itself.
    package static func matching(_ pattern: String, count: Int) -> [String] {
        guard pattern.utf8.contains(where: { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "[") }) else { return [pattern] }
        var found = glob_t()
        defer { globfree(&found) }
        guard glob(pattern, 0, nil, &found) == 0, let paths = found.gl_pathv else { return [] }
        return (0..<min(Int(found.gl_pathc), count)).compactMap { paths[$0].map { String(cString: $0) } }
    }

    /// rename(2): replaces what is there.
    package static func move(_ path: String, to new: String) throws(LinuxError) {
        guard rename(path, new) == 0 else { throw .last("rename", path) }
    }

    /// Cuts a file to nothing and keeps its name.
    package static func empty(_ path: String) throws(LinuxError) {
        guard truncate(path, 0) == 0 else { throw .last("empty", path) }
    }

    /// Makes an empty file; one that is there stays as it is.
    package static func touch(_ path: String, mode: UInt32 = 0o640) throws(LinuxError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw .last("create", path) }
        close(descriptor)
    }
}
