import Glibc

/// Reading and writing the small files that hold certificates, keys and lists.
package enum CredentialFile {
    /// No certificate, key or revocation list here comes near this; a larger file is a mistake.
    package static let bytesMax = 16 << 20

    package static func read(_ path: String) throws(TrustError) -> [UInt8] {
        // A pipe that nobody writes to must hang nobody.
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw TrustError("read", path, errno: errno) }
        defer { close(fd) }
        var about = stat()
        guard fstat(fd, &about) == 0 else { throw TrustError("read", path, errno: errno) }
        guard about.st_mode & S_IFMT == S_IFREG else { throw TrustError("read", path, "it is no regular file", advice: "check what is there") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(fd, &chunk, chunk.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw TrustError("read", path, errno: errno)
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= bytesMax else {
                throw TrustError("read", path, "it is larger than \(bytesMax >> 20) MiB", advice: "check which file it is")
            }
        }
    }

    /// Whether others than its owner may read or write it, as a private key's file must not let them.
    package static func isOpenToOthers(_ path: String) -> Bool {
        var about = stat()
        return stat(path, &about) == 0 && about.st_mode & 0o077 != 0
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// True if nothing is there; false if something is, be it a link to nowhere, or if whether it is can't be told.
    package static func isAbsent(_ path: String) -> Bool {
        var about = stat()
        return lstat(path, &about) != 0 && errno == ENOENT
    }

    /// Makes one file, whole; throws where anything is there already, which stays as it is.
    package static func create(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(TrustError) {
        let directory = try madeDirectory(of: path)
        let temporary = "\(path).\(Random.hex(4)).new"
        defer { unlink(temporary) }
        try writeNew(temporary, bytes, mode: mode)
        guard link(temporary, path) == 0 else { throw TrustError("make", path, errno: errno) }
        try syncDirectory(directory)
    }

    /// The directory of a file, made if it isn't there.
    private static func madeDirectory(of path: String) throws(TrustError) -> String {
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try makeDirectory(directory)
        return directory
    }

    static func makeDirectory(_ path: String) throws(TrustError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += part
            if mkdir(prefix, 0o700) != 0, errno != EEXIST, errno != EISDIR {
                throw TrustError("make the directory", prefix, errno: errno)
            }
            prefix += "/"
        }
    }

    /// Replaces one file, whole.
    package static func replace(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(TrustError) {
        let directory = try madeDirectory(of: path)
        try write([Content(path: path, bytes: bytes, mode: mode)], in: directory)
    }

    struct Content {
        let path: String
        let bytes: [UInt8]
        let mode: mode_t
    }

    /// Writes every file or, when one can't be written, none: all go to temporary names, are synced, and only then
    /// renamed into place.
    ///
    /// A crash between two renames leaves some of them new; each single file is old or new, whole.
    static func write(_ contents: [Content], in directory: String) throws(TrustError) {
        var written: [(temporary: String, final: String)] = []
        func discard() { for file in written { unlink(file.temporary) } }
        for content in contents {
            let temporary = "\(content.path).\(Random.hex(4)).new"
            written.append((temporary, content.path))
            do {
                try writeNew(temporary, content.bytes, mode: content.mode)
            } catch {
                discard()
                throw error
            }
        }
        for file in written where rename(file.temporary, file.final) != 0 {
            let code = errno
            discard()
            throw TrustError("replace", file.final, errno: code)
        }
        try syncDirectory(directory)
    }

    private static func syncDirectory(_ directory: String) throws(TrustError) {
        let fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { throw TrustError("sync the directory", directory, errno: errno) }
        defer { close(fd) }
        guard fsync(fd) == 0 else { throw TrustError("sync the directory", directory, errno: errno) }
    }

    private static func writeNew(_ path: String, _ bytes: [UInt8], mode: mode_t) throws(TrustError) {
        let fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard fd >= 0 else { throw TrustError("write", path, errno: errno) }
        defer { close(fd) }
        // The umask may have taken bits away; a key must never get more than it asked for.
        guard fchmod(fd, mode) == 0 else { throw TrustError("set the mode of", path, errno: errno) }
        var offset = 0
        while offset < bytes.count {
            let count = bytes[offset...].withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw TrustError("write", path, errno: errno)
            }
            offset += count
        }
        guard fsync(fd) == 0 else { throw TrustError("sync", path, errno: errno) }
    }

    /// Runs `body` while no other process holds `path` locked (flock(2)); waits for it.
    static func locked<R>(_ path: String, _ body: () throws(TrustError) -> R) throws(TrustError) -> R {
        let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw TrustError("lock", path, errno: errno) }
        defer { close(fd) }
        while flock(fd, LOCK_EX) != 0 {
            if errno != EINTR { throw TrustError("lock", path, errno: errno) }
        }
        return try body()
    }
}
