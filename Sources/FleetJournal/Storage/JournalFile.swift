import Glibc
import LinuxHost

/// The file of a journal, or its reserve: whole appends or none.
///
/// Owned by one thread at a time; not Sendable.
final class JournalFile {
    let path: String
    private let descriptor: Int32
    /// Where the next append goes; what lies beyond is not part of the journal.
    private(set) var length: Int

    /// Opens or makes it, with mode 0640; not `writable`: only opens it, for reading.
    init(path: String, writable: Bool = true) throws(LinuxError) {
        let descriptor = open(path, (writable ? O_RDWR | O_CREAT | O_NOFOLLOW : O_RDONLY) | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw LinuxError("open", path, errno: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = LinuxError("look at", path, errno: errno)
            close(descriptor)
            throw error
        }
        self.path = path
        self.descriptor = descriptor
        self.length = Int(status.st_size)
    }

    deinit { close(descriptor) }

    /// Up to `count` bytes from `offset`; fewer only at the end.
    func read(at offset: Int, count: Int) throws(LinuxError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var got = 0
        while got < count {
            let result = bytes.withUnsafeMutableBytes { buffer in
                let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[got...])
                return pread(descriptor, rest.baseAddress, rest.count, offset + got)
            }
            if result < 0 {
                if errno == EINTR { continue }
                throw LinuxError("read", path, errno: errno)
            }
            if result == 0 { break }
            got += result
        }
        return Array(bytes.prefix(got))
    }

    /// Appends and syncs all of it; after an error the file is cut back to what it was.
    func append(_ bytes: [UInt8]) throws(LinuxError) {
        do throws(LinuxError) {
            try write(bytes, at: length)
            try sync()
            length += bytes.count
        } catch {
            // Only bytes past `length` are cut. Should even this fail, the next append overwrites them, and a start
            // cuts a torn line aside.
            _ = ftruncate(descriptor, length)
            throw error
        }
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(LinuxError) {
        var done = 0
        while done < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in
                let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
                return pwrite(descriptor, rest.baseAddress, rest.count, offset + done)
            }
            if put < 0 {
                if errno == EINTR { continue }
                throw LinuxError("write", path, errno: errno)
            }
            if put == 0 { throw LinuxError("write", path, errno: ENOSPC) }
            done += put
        }
    }

    func sync() throws(LinuxError) {
        guard fdatasync(descriptor) == 0 else { throw LinuxError("sync", path, errno: errno) }
    }

    /// Drops everything from `length` on, for good.
    func cut(to length: Int) throws(LinuxError) {
        guard ftruncate(descriptor, length) == 0 else { throw LinuxError("cut", path, errno: errno) }
        try sync()
        self.length = length
    }

    /// Makes sure that `size` bytes are there to be overwritten on a full disk (posix_fallocate(3)).
    func reserve(_ size: Int) throws(LinuxError) {
        while true {
            let result = posix_fallocate(descriptor, 0, size)
            if result == 0 { return }
            if result != EINTR { throw LinuxError("reserve \(size) bytes for", path, errno: result) }
        }
    }
}
