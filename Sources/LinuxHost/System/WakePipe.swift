internal import CLinux
internal import Glibc

/// Wakes a thread that waits in poll(2), from any other thread: never blocks, loses no wake-up, allocates nothing.
///
/// Many wake-ups before a `drain` are one.
package final class WakePipe: Sendable {
    /// Readable when woken.
    package let descriptor: Int32
    private let writing: Int32

    package init() throws(LinuxError) {
        var ends: [Int32] = [-1, -1]
        guard clinux_pipe(&ends) == 0 else { throw .last("make", "a pipe") }
        descriptor = ends[0]
        writing = ends[1]
    }

    deinit {
        close(descriptor)
        close(writing)
    }

    /// A full pipe is a wake-up that is waiting already.
    package func wake() {
        var byte: UInt8 = 1
        _ = uninterrupted { write(writing, &byte, 1) }
    }

    package func drain() {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        while uninterrupted({ read(descriptor, &bytes, MemoryLayout.size(ofValue: bytes)) }) > 0 {}
    }
}
