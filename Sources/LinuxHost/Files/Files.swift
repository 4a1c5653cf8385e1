package import Glibc

/// Whole files and directories, synchronously.
package enum Files {
    /// The whole file.
    ///
    /// One larger than `limit` bytes is EFBIG, never a part of it.
    package static func read(_ path: String, limit: Int) throws(LinuxError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        // One more than the limit, to see that there is more; files in /proc say their size is 0, so sizes are not asked.
        var chunk = [UInt8](repeating: 0, count: min(limit + 1, 64 * 1024))
        while true {
            let got = uninterrupted { Glibc.read(descriptor, &chunk, chunk.count) }
            if got < 0 { throw .last("read", path) }
            if got == 0 { return bytes }
            bytes += chunk[..<got]
            if bytes.count > limit { throw LinuxError("read", path, errno: EFBIG) }
        }
    }

    /// nil when there is no such file.
    package static func readIfPresent(_ path: String, limit: Int) throws(LinuxError) -> [UInt8]? {
        do {
            return try read(path, limit: limit)
        } catch  where error.errno == ENOENT {
            return nil
        }
    }

    /// Writes beside `path` and renames: a reader sees the old bytes or the new ones.
    ///
    /// With `sync` both the bytes and the name survive a loss of power. After an error the old file stands.
    package static func writeAtomically(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o640, sync: Bool) throws(LinuxError) {
        let (directory, name) = split(path)
        let temporary = "\(directory)/.\(name).\(getpid()).\(unique())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw .last("create", temporary) }
        do throws(LinuxError) {
            defer { close(descriptor) }
            try write(bytes, to: descriptor, path: temporary)
            // The umask has been at it; a mode asked for is a mode meant.
            guard fchmod(descriptor, mode) == 0 else { throw LinuxError.last("set the mode of", temporary) }
            if sync, fsync(descriptor) != 0 { throw LinuxError.last("sync", temporary) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let error = LinuxError.last("replace", path)
            unlink(temporary)
            throw error
        }
        if sync { try syncDirectory(directory) }
    }

    /// Writes a file that must not be there yet, synced: whole under its name, or absent. Throws EEXIST where there is one.
    package static func writeNew(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(LinuxError) {
        let (directory, name) = split(path)
        let temporary = "\(directory)/.\(name).\(unique())"
        try writeAtomically(temporary, bytes, mode: mode, sync: true)
        // link(2) refuses a name that is taken, which rename(2) would replace.
        let linked = Glibc.link(temporary, path) == 0
        let failure = errno
        try remove(temporary)
        guard linked else { throw LinuxError("write", path, errno: failure) }
        try syncDirectory(directory)
    }

    package static func syncDirectory(_ path: String) throws(LinuxError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .last("sync", path) }
    }

    /// With parents, which get the same mode.
    ///
    /// One that exists keeps its own.
    package static func makeDirectory(_ path: String, mode: UInt32 = 0o750) throws(LinuxError) {
        if mkdir(path, mode) == 0 { return }
        switch errno {
        case EEXIST:
            guard isDirectory(path) else { throw LinuxError("make the directory", path, errno: ENOTDIR) }
        case ENOENT:
            let (parent, _) = split(path)
            guard parent != path, parent != "." else { throw LinuxError("make the directory", path, errno: ENOENT) }
            try makeDirectory(parent, mode: mode)
            guard mkdir(path, mode) == 0 || errno == EEXIST else { throw .last("make the directory", path) }
        default: throw .last("make the directory", path)
        }
    }

    /// flock(2) exclusively, without waiting; nil: another holds it.
    package static func lock(_ path: String) throws(LinuxError) -> FileLock? { try FileLock(path: path) }

    /// A path as the kernel names what lies there, but for its last part, which may be a link itself or not be there. Unchanged where its parent
    /// can't be resolved.
    package static func resolvingParent(_ path: String) -> String {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), let name = parts.last else { return path }
        let parent = "/" + parts.dropLast().joined(separator: "/")
        guard let resolved = realpath(parent, nil) else { return (parent == "/" ? "" : parent) + "/" + name }
        defer { free(resolved) }
        let text = String(cString: resolved)
        return (text == "/" ? "" : text) + "/" + name
    }

    /// Names without `.` and `..`, sorted.
    package static func list(_ directory: String) throws(LinuxError) -> [String] {
        guard let stream = opendir(directory) else { throw .last("list", directory) }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = name(of: entry)
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw .last("list", directory) }
        return names.sorted()
    }

    /// The name in an entry of readdir(3), read where it lies.
    ///
    /// An entry ends with its name, and the last one of a full buffer where the buffer's memory may end: a copy of the whole `dirent`, or
    /// of its 256 bytes for the name, reads past that.
    package static func name(of entry: UnsafeMutablePointer<dirent>) -> String {
        withUnsafePointer(to: &entry.pointee.d_name) { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) }
    }

    /// An empty list when there is no such directory.
    package static func listIfPresent(_ directory: String) throws(LinuxError) -> [String] {
        do {
            return try list(directory)
        } catch  where error.errno == ENOENT {
            return []
        }
    }

    /// A file; one that is not there is no error.
    package static func remove(_ path: String) throws(LinuxError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    }

    /// A directory with everything in it; symbolic links are removed, not followed.
    ///
    /// One that is not there is no error.
    package static func removeTree(_ path: String) throws(LinuxError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw .last("look at", path)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try remove(path) }
        for name in try list(path) { try removeTree("\(path)/\(name)") }
        guard rmdir(path) == 0 || errno == ENOENT else { throw .last("remove", path) }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The size in bytes of a regular file; nil for anything else, and where nothing is.
    package static func regularSize(_ path: String) -> Int64? {
        var about = stat()
        guard stat(path, &about) == 0, about.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int64(about.st_size)
    }

    /// The permission bits; nil where nothing is.
    package static func mode(of path: String) -> UInt32? {
        var about = stat()
        return stat(path, &about) == 0 ? about.st_mode & 0o7777 : nil
    }

    /// When it was last changed, in nanoseconds since 1970; nil where nothing is. Two changes within a tick of the kernel's
    /// clock (up to 10 ms) may show the same.
    package static func changed(_ path: String) -> Int64? {
        var about = stat()
        guard stat(path, &about) == 0 else { return nil }
        return Int64(about.st_mtim.tv_sec) * 1_000_000_000 + Int64(about.st_mtim.tv_nsec)
    }

    /// The group that a file belongs to; nil where nothing is.
    package static func group(of path: String) -> UInt32? {
        var about = stat()
        return stat(path, &about) == 0 ? about.st_gid : nil
    }

    /// Whether a socket stands there, not one that a link points to.
    package static func isSocket(_ path: String) -> Bool {
        var about = stat()
        return lstat(path, &about) == 0 && about.st_mode & S_IFMT == S_IFSOCK
    }

    package static func isExecutable(_ path: String) -> Bool { !isDirectory(path) && access(path, X_OK) == 0 }

    /// Bytes that an unprivileged user may still write on the filesystem that holds `path` (statvfs(3)).
    package static func freeBytes(_ path: String) throws(LinuxError) -> UInt64 {
        var status = statvfs()
        guard uninterrupted({ statvfs(path, &status) }) == 0 else { throw .last("look at the filesystem of", path) }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    /// The block size of the filesystem that holds `path`; of a hugetlbfs the page size.
    package static func blockBytes(_ path: String) throws(LinuxError) -> UInt64 {
        var status = statvfs()
        guard uninterrupted({ statvfs(path, &status) }) == 0 else { throw .last("look at the filesystem of", path) }
        return UInt64(status.f_bsize)
    }

    /// Gives a file or directory to a user and a group (chown(2)).
    package static func give(_ path: String, user: UInt32, group: UInt32) throws(LinuxError) {
        guard chown(path, user, group) == 0 else { throw .last("give away", path) }
    }

    package static func setMode(_ path: String, _ mode: UInt32) throws(LinuxError) {
        guard chmod(path, mode) == 0 else { throw .last("set the mode of", path) }
    }

    static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let name = String(path[path.index(after: slash)...])
        return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
    }

    private static func unique() -> String { String(UInt64.random(in: 0 ... .max), radix: 36) }

    private static func write(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(LinuxError) {
        var at = 0
        while at < bytes.count {
            let put = bytes.withUnsafeBytes { bytes in
                let rest = bytes[at...]
                return uninterrupted { Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count) }
            }
            guard put > 0 else { throw .last("write", path) }
            at += put
        }
    }
}
