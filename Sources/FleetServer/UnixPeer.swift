import Glibc
import LinuxHost
import NIOCore
import NIOPosix

/// Who is on the other end of a Unix socket, by the kernel's word (unix(7), SO_PEERCRED).
enum UnixPeer {
    /// `struct ucred` of unix(7), which Swift's Glibc lacks.
    private struct Credentials: Sendable {
        var pid: Int32 = 0
        var uid: UInt32 = .max
        var gid: UInt32 = .max
    }

    struct Unreadable: Error {}

    /// `local:alice`, or `local:uid 1000` for a user without a name here.
    static func name(of channel: any Channel) -> EventLoopFuture<String> {
        guard let options = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(Unreadable())
        }
        let credentials: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED))
        // An emergency stop on this socket must not wait for a directory service, nor its event loop.
        return credentials.flatMap { credentials in
            NIOThreadPool.singleton.runIfActive(eventLoop: channel.eventLoop) {
                "local:\(Account.name(of: credentials.uid, within: nameBound) ?? "uid \(credentials.uid)")"
            }
        }
    }

    private static let nameBound: Duration = .milliseconds(500)
}
