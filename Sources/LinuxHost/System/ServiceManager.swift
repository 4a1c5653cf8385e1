internal import CLinux
internal import Glibc

/// The notify socket of a service manager, as sd_notify(3) has it: a datagram each, at a path or an abstract name.
///
/// Never blocks: a manager that doesn't read misses words.
package final class ServiceManager: Sendable {
    private let descriptor: Int32
    private let name: String

    /// `socket` as NOTIFY_SOCKET has it: an absolute path, or `@` and an abstract name.
    package init(socket name: String) throws(LinuxError) {
        guard name.hasPrefix("/") || (name.hasPrefix("@") && name.utf8.count > 1) else {
            throw LinuxError("use NOTIFY_SOCKET", name, errno: EINVAL)
        }
        descriptor = clinux_datagram_connect(name)
        guard descriptor >= 0 else { throw .last("connect to", name) }
        self.name = name
    }

    deinit { close(descriptor) }

    package func say(_ text: String) throws(LinuxError) {
        let bytes = Array(text.utf8)
        let put = uninterrupted { send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT)) }
        guard put == bytes.count else { throw .last("tell", name) }
    }
}
