internal import Glibc

/// A user of this host as the account files give it (getpwnam_r(3); a static program sees files only).
package struct Account: Equatable, Sendable {
    package let name: String
    package let user: UInt32
    /// The primary group.
    package let group: UInt32
    /// All groups, the primary one among them.
    package let groups: [UInt32]

    /// nil: there is no such user.
    package static func named(_ name: String) throws(LinuxError) -> Account? {
        var buffer = [CChar](repeating: 0, count: 16 * 1024)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        let error = getpwnam_r(name, &entry, &buffer, buffer.count, &found)
        guard error == 0 else { throw LinuxError("look up the user", name, errno: error) }
        guard found != nil else { return nil }
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        guard getgrouplist(name, entry.pw_gid, &groups, &count) >= 0 else {
            throw LinuxError("list the groups of", name, errno: E2BIG, detail: "more than 64 groups")
        }
        return Account(name: name, user: entry.pw_uid, group: entry.pw_gid, groups: Array(groups.prefix(Int(count))))
    }

    /// nil: there is no such group.
    package static func group(named name: String) throws(LinuxError) -> UInt32? {
        var buffer = [CChar](repeating: 0, count: 64 * 1024)
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        let error = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
        guard error == 0 else { throw LinuxError("look up the group", name, errno: error) }
        return found == nil ? nil : entry.gr_gid
    }

    /// Of this process: the effective group and the supplementary ones.
    package static func ownGroups() throws(LinuxError) -> [UInt32] {
        let count = getgroups(0, nil)
        var groups = [gid_t](repeating: 0, count: max(0, Int(count)))
        let got = getgroups(count, &groups)
        guard count >= 0, got >= 0 else { throw .last("list", "the agent's own groups") }
        return [getegid()] + groups.prefix(Int(got)).filter { $0 != getegid() }
    }

    /// nil: a number without a name.
    package static func name(of user: UInt32) -> String? {
        var buffer = [CChar](repeating: 0, count: 16 * 1024)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwuid_r(user, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name else { return nil }
        return String(cString: name)
    }

    /// As `name(of:)`, and nil too when it is not known within `bound`: a directory service that hangs (sssd, LDAP) holds nobody up.
    ///
    /// Blocks the calling thread for `bound` at most: not for an event loop.
    package static func name(of user: UInt32, within bound: Duration) -> String? { AccountLookup.name(of: user, within: bound) }

    /// nil: a number without a name.
    package static func name(ofGroup group: UInt32) -> String? {
        var buffer = [CChar](repeating: 0, count: 64 * 1024)
        var entry = Glibc.group()
        var found: UnsafeMutablePointer<Glibc.group>?
        guard getgrgid_r(group, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.gr_name else { return nil }
        return String(cString: name)
    }
}
