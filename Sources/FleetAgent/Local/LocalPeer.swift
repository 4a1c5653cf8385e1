internal import Glibc
internal import LinuxHost

/// Who is at the other end of the local socket, as the kernel saw it connect.
struct LocalPeer: Sendable {
    /// `struct ucred` of unix(7), which Swift's Glibc lacks.
    struct Credentials: Sendable {
        var pid: Int32 = 0
        var user: UInt32 = .max
        var group: UInt32 = .max

        /// Root, the agent's own user, or a member of the local group: by the groups it connected with, or by the host's group
        /// file.
        ///
        /// The kernel has judged the same by the socket's mode when it connected.
        func mayEnter(agentUser: UInt32, localGroup: UInt32?, groups: Groups) -> Bool {
            if user == 0 || user == agentUser { return true }
            guard let localGroup else { return false }
            if group == localGroup || groups.contains(localGroup) { return true }
            do {
                guard let name = Account.name(of: user) else { return false }
                return try Account.named(name)?.groups.contains(localGroup) ?? false
            } catch {
                return false
            }
        }
    }

    /// What SO_PEERGROUPS of unix(7) fills in: the supplementary groups, which may come from where a static program does not look
    /// (sssd, LDAP, setpriv). What it leaves is zero, so that membership of group 0 can't be told from it.
    struct Groups: Sendable {
        /// asm-generic/socket.h
        static let option = CInt(59)
        private var numbers = InlineArray<256, UInt32>(repeating: 0)

        func contains(_ group: UInt32) -> Bool { group != 0 && numbers.indices.contains { numbers[$0] == group } }
    }

    /// Filled in before the first request is read; touched on the channel's loop only.
    final class Holder: @unchecked Sendable {
        var peer: LocalPeer?
        /// Why nothing is answered; nil: it is, or the kernel has not said yet who this is.
        var refusal: String?
    }

    /// For the audit: `local:alice`, or the number of a user without a name.
    let origin: String

    init(_ credentials: Credentials) {
        origin = "local:" + (Account.name(of: credentials.user) ?? "\(credentials.user)")
    }
}
