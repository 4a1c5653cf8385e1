internal import Glibc

extension SparseFile {
    /// Who must be allowed to read a file for it to be opened, whoever opens it.
    package struct Reader: Equatable, Sendable {
        package let user: UInt32
        package let groups: [UInt32]

        package init(user: UInt32, groups: [UInt32]) {
            self.user = user
            self.groups = groups
        }

        /// By the permission bits (path_resolution(7)): `right` is 4 to read, 1 to search a directory.
        fileprivate func may(_ right: UInt32, _ about: stat) -> Bool {
            if user == 0 { return true }
            let bits = about.st_uid == user ? about.st_mode >> 6 : groups.contains(about.st_gid) ? about.st_mode >> 3 : about.st_mode
            return bits & right == right
        }
    }

    /// O_PATH of open(2), which Swift's Glibc leaves out: to search a directory is enough to pass it.
    private static var pathOnly: Int32 { 0o10_000_000 }

    /// A regular file below `directory`, reached without a symbolic link and without leaving it, whatever is moved or
    /// exchanged meanwhile; both paths are as realpath(3) gives them.
    ///
    /// nil where nothing is, no regular file, or a link by now. EACCES where `reader` may not search a directory on the way or
    /// read the file, nil being no question.
    package init?(existing real: String, below directory: String, readableBy reader: Reader?) throws(LinuxError) {
        let prefix = directory == "/" ? "/" : directory + "/"
        let names = real.hasPrefix(prefix) ? real.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false).map(String.init) : []
        guard let file = names.last, !names.contains(where: { ["", ".", ".."].contains($0) }) else {
            throw LinuxError("open", real, errno: EXDEV, detail: "it does not lie below \(directory)")
        }
        let passing = Self.pathOnly | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        var place = open(directory, passing)
        guard place >= 0 else { throw .last("open", directory) }
        defer { close(place) }
        for name in names.dropLast() {
            let next = openat(place, name, passing)
            guard next >= 0 else {
                if errno == ENOENT || errno == ENOTDIR || errno == ELOOP { return nil }
                throw .last("open", real)
            }
            close(place)
            place = next
            var about = stat()
            guard fstat(place, &about) == 0 else { throw .last("look at", real) }
            if let reader, !reader.may(1, about) { throw LinuxError("open", real, errno: EACCES) }
        }
        var about = stat()
        // Looked at before it is opened: to open a device can be to act on it.
        guard fstatat(place, file, &about, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT { return nil }
            throw .last("look at", real)
        }
        guard about.st_mode & S_IFMT == S_IFREG else { return nil }
        let descriptor = openat(place, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ELOOP { return nil }
            throw .last("open", real)
        }
        guard fstat(descriptor, &about) == 0, about.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        if let reader, !reader.may(4, about) {
            close(descriptor)
            throw LinuxError("open", real, errno: EACCES)
        }
        self.init(open: descriptor, path: real)
    }
}
