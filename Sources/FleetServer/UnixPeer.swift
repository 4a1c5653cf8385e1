import Glibc
import NIOCore

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
        return credentials.map { "local:\(userName($0.uid))" }
    }

    static func userName(_ uid: UInt32) -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        let name = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer -> String? in
            guard let start = buffer.baseAddress, getpwuid_r(uid, &entry, start, buffer.count, &found) == 0, found != nil else { return nil }
            return String(cString: entry.pw_name)
        }
        return name ?? "uid \(uid)"
    }
}
