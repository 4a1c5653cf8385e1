internal import CLinux
internal import Glibc

/// An exclusive flock(2), held until this is released or its process ends.
///
/// A child never inherits it.
package final class FileLock: Sendable {
    package let path: String
    private let descriptor: Int32

    /// nil: another holds it.
    init?(path: String) throws(LinuxError) {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard descriptor >= 0 else { throw .last("open", path) }
        guard uninterrupted({ clinux_flock(descriptor, LOCK_EX | LOCK_NB) }) == 0 else {
            let error = LinuxError.last("lock", path)
            close(descriptor)
            guard error.errno == EWOULDBLOCK else { throw error }
            return nil
        }
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Looks by a shared lock of an instant, so two who only look don't disturb each other.
    ///
    /// A missing file is not locked.
    package static func isHeld(path: String) throws(LinuxError) -> Bool {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return false }
            throw .last("open", path)
        }
        defer { close(descriptor) }
        if uninterrupted({ clinux_flock(descriptor, LOCK_SH | LOCK_NB) }) == 0 { return false }
        guard errno == EWOULDBLOCK else { throw .last("lock", path) }
        return true
    }
}
