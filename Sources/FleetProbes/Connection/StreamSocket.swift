import Glibc

/// A connected TCP socket whose every call has a deadline. Closed when the last reference goes.
///
/// Not `Sendable`: one thread owns it. The descriptor is non-blocking; waiting is done by poll(2).
package final class StreamSocket {
    package let descriptor: Int32
    package let endpoint: Endpoint

    /// Connects. Never raises SIGPIPE afterwards (MSG_NOSIGNAL).
    package init(connectingTo endpoint: Endpoint, by deadline: Deadline) throws(ProbeError) {
        self.endpoint = endpoint
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(endpoint.family ?? AF_INET, type, 0)
        guard descriptor >= 0 else { throw ProbeError("open a socket for", "\(endpoint)", .system(errno)) }
        // Small requests and answers: Nagle and delayed ACK together would add 40 ms to each.
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        let file = descriptor
        guard endpoint.withSocketAddress({ Glibc.connect(file, $0, $1) }) != 0 else { return }
        guard errno == EINPROGRESS || errno == EINTR else {
            throw ProbeError("connect to", "\(endpoint)", .system(errno))
        }
        try wait(for: POLLOUT, operation: "connect to", by: deadline)
        var failure: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size)
        guard failure == 0 else { throw ProbeError("connect to", "\(endpoint)", .system(failure)) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Reads what is there, waiting for at least one byte; appends at most `limit` bytes to `buffer`.
    package func read(into buffer: inout [UInt8], limit: Int = 65_536, by deadline: Deadline) throws(ProbeError) {
        while try !readAvailable(into: &buffer, limit: limit) {
            try wait(for: POLLIN, operation: "read from", by: deadline)
        }
    }

    /// Appends what is there without waiting; false: nothing is there now. The end of the stream is an error.
    package func readAvailable(into buffer: inout [UInt8], limit: Int = 65_536) throws(ProbeError) -> Bool {
        let old = buffer.count
        var count = 0
        var failure: Int32 = 0
        let piece = [UInt8](unsafeUninitializedCapacity: limit) { space, used in
            repeat { count = recv(descriptor, space.baseAddress, limit, 0) } while count < 0 && errno == EINTR
            failure = errno
            used = max(0, count)
        }
        if count > 0 {
            buffer += piece
            precondition(buffer.count == old + count)
            return true
        }
        if count == 0 { throw ProbeError("read from", "\(endpoint)", .closed) }
        if failure == EAGAIN || failure == EWOULDBLOCK { return false }
        throw ProbeError("read from", "\(endpoint)", .system(failure))
    }

    /// Writes everything, or throws; after an error an unknown part of it may have been written.
    package func write(_ bytes: [UInt8], by deadline: Deadline) throws(ProbeError) {
        var written = 0
        while written < bytes.count {
            let count = try writeAvailable(bytes, from: written)
            written += count
            if count == 0 { try wait(for: POLLOUT, operation: "write to", by: deadline) }
        }
    }

    /// Writes what the socket takes without waiting, from `offset` on; returns how many bytes.
    package func writeAvailable(_ bytes: [UInt8], from offset: Int) throws(ProbeError) -> Int {
        guard offset < bytes.count else { return 0 }
        var count = 0
        var failure: Int32 = 0
        bytes.withUnsafeBytes { raw in
            let rest = UnsafeRawBufferPointer(rebasing: raw[offset...])
            repeat {
                count = send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            } while count < 0 && errno == EINTR
            failure = errno
        }
        if count >= 0 { return count }
        if failure == EAGAIN || failure == EWOULDBLOCK { return 0 }
        throw ProbeError(
            "write to", "\(endpoint)", failure == EPIPE || failure == ECONNRESET ? .closed : .system(failure))
    }

    private func wait(for events: Int32, operation: String, by deadline: Deadline) throws(ProbeError) {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        while true {
            let ready = poll(&entry, 1, deadline.pollMilliseconds)
            if ready > 0 { return }
            if ready < 0, errno != EINTR { throw ProbeError(operation, "\(endpoint)", .system(errno)) }
            if deadline.isPast { throw ProbeError(operation, "\(endpoint)", .timeout) }
        }
    }
}
