internal import FleetCore
internal import Glibc

/// A client of one shim for those who have no event loop: a local emergency stop, a test.
///
/// Not for several threads.
package final class ShimConnection {
    package let descriptor: Int32
    /// The other end has closed.
    package private(set) var ended = false
    private var buffer: [UInt8] = []
    /// Arrived, but after what somebody waited for.
    private var unread: [ShimMessage] = []
    private var chunk = [UInt8](repeating: 0, count: 4_096)

    private static let noWait = Int32(MSG_DONTWAIT)
    private static let noSignal = Int32(MSG_NOSIGNAL)

    package init(to directory: LaunchDirectory) throws(LinuxError) {
        descriptor = try UnixSocket.connect(in: directory.socketDirectory, name: LaunchDirectory.socketName)
    }

    deinit { close(descriptor) }

    package func send(_ requests: ShimRequest...) throws(LinuxError) { try send(bytes: requests.flatMap(\.bytes)) }

    /// All at once or EAGAIN: a shim that doesn't read is not waited for.
    package func send(bytes: [UInt8]) throws(LinuxError) {
        let put = uninterrupted { Glibc.send(descriptor, bytes, bytes.count, Self.noSignal | Self.noWait) }
        guard put == bytes.count else {
            throw put < 0 ? .last("write to", "the shim") : LinuxError("write to", "the shim", errno: EAGAIN)
        }
    }

    /// What has arrived, without waiting.
    ///
    /// Lines that are no message are left out.
    package func arrived() throws(LinuxError) -> [ShimMessage] {
        while !ended {
            let got = uninterrupted { recv(descriptor, &chunk, chunk.count, Self.noWait) }
            if got < 0, errno == EAGAIN { break }
            if got < 0, errno != ECONNRESET { throw .last("read from", "the shim") }
            if got <= 0 { ended = true } else { buffer += chunk[..<got] }
            if got < chunk.count, !ended { break }
        }
        var messages = unread
        unread = []
        if let last = buffer.lastIndex(of: 10) {
            messages += buffer[..<last].split(separator: 10).compactMap { ShimMessage.parse($0) }
            buffer.removeFirst(last + 1)
        }
        return messages
    }

    /// The messages up to the one wanted, what follows it left for the next call; nil at the deadline or when the shim has closed before it.
    package func messages(
        until wanted: (ShimMessage) -> Bool, within: Duration
    ) throws(LinuxError) -> [ShimMessage]? {
        let deadline = Clock.boottime() + within
        var all: [ShimMessage] = []
        while true {
            let new = try arrived()
            if let index = new.firstIndex(where: wanted) {
                unread = Array(new[(index + 1)...])
                return all + new[...index]
            }
            all += new
            if ended { return nil }
            var polled = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
            if try Descriptors.wait(&polled, until: deadline) == 0 { return nil }
        }
    }
}
