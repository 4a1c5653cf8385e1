import Glibc

/// What there is one of on a machine (its huge pages, its interrupts) and a test changes: held against every other run of the tests until it
/// is let go.
package final class HostLock {
    private let descriptor: Int32

    /// Waits as long as another has it.
    package init(_ name: String) {
        descriptor = open("/tmp/trading-tests-\(name).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        while flock(descriptor, LOCK_EX) != 0, errno == EINTR {}
    }

    deinit { close(descriptor) }
}
