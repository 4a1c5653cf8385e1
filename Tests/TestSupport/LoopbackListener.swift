internal import Glibc
internal import LinuxHost
internal import Synchronization

/// A listening loopback socket.
package final class LoopbackListener: Sendable {
    package let descriptor: Int32
    package let port: UInt16
    private let isClosed = Mutex(false)

    package init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let file = descriptor
        let failed = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(file, $0, length) != 0 || listen(file, 64) != 0 || getsockname(file, $0, &length) != 0
            }
        }
        guard !failed else { throw LinuxError("listen on", "loopback", errno: errno) }
        port = UInt16(bigEndian: address.sin_port)
    }

    package func close() {
        isClosed.withLock { isClosed in
            if !isClosed { Glibc.close(descriptor) }
            isClosed = true
        }
    }

    deinit { close() }
}
