internal import Glibc
internal import LinuxHost

/// Who is at the other end of the local socket, as the kernel saw it connect.
struct LocalPeer: Sendable {
    /// `struct ucred` of unix(7), which Swift's Glibc lacks.
    struct Credentials: Sendable {
        var pid: Int32 = 0
        var user: UInt32 = .max
        var group: UInt32 = .max

        /// Root, the agent's own user, or the socket's group.
        ///
        /// Supplementary groups were checked by the kernel against the socket's mode; here they are looked up again.
        func mayEnter(agentUser: UInt32, socketGroup: UInt32) -> Bool {
            if user == 0 || user == agentUser || group == socketGroup { return true }
            do {
                guard let name = Account.name(of: user) else { return false }
                return try Account.named(name)?.groups.contains(socketGroup) ?? false
            } catch {
                return false
            }
        }
    }

    /// Filled in before the first request is read; touched on the channel's loop only.
    final class Holder: @unchecked Sendable {
        var peer: LocalPeer?
    }

    /// For the audit: `local:alice`, or the number of a user without a name.
    let origin: String

    init(_ credentials: Credentials) {
        origin = "local:" + (Account.name(of: credentials.user) ?? "\(credentials.user)")
    }
}
