internal import Glibc
internal import LinuxHost

/// What the host's own settings let an inventory run here (law 10).
struct ProgramPolicy: Equatable, Sendable {
    let programDirectories: [String]
    let allowedDirectories: [String]
    let allowedUsers: [String]

    /// Who a worker runs as; empty: the agent's own.
    struct RunAs: Equatable, Sendable {
        var user: UInt32?
        var group: UInt32?
        var groups: [UInt32] = []
    }

    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// The absolute path of a program, or why it may not run.
    ///
    /// Symbolic links are followed before the directory is judged.
    func program(_ name: String) throws(Refusal) -> String {
        if !name.contains("/") {
            for directory in programDirectories {
                let path = directory + "/" + name
                guard access(path, X_OK) == 0 else { continue }
                return path
            }
            let places = programDirectories.isEmpty ? "there is no --program-dir" : "looked in \(programDirectories.joined(separator: ", "))"
            throw Refusal(description: "no program \"\(name)\" on this host (\(places)). Install it, or add its directory to the agent's settings")
        }
        guard name.hasPrefix("/") else {
            throw Refusal(description: "the program \"\(name)\" is a relative path; the inventory must give a bare name or an absolute path")
        }
        guard let real = Self.realPath(name) else {
            throw Refusal(description: "cannot run \(name): \(String(cString: strerror(errno))). Install it, or correct the inventory")
        }
        let allowed = allowedDirectories.contains { directory in
            guard let base = Self.realPath(directory) else { return false }
            return real.hasPrefix(base == "/" ? "/" : base + "/")
        }
        guard allowed else {
            throw Refusal(
                description:
                    "\(real) lies outside what this host lets run (\(allowedDirectories.joined(separator: ", "))). Add --allow-dir to the agent's settings, or correct the inventory"
            )
        }
        guard access(real, X_OK) == 0 else {
            throw Refusal(description: "cannot run \(real): \(String(cString: strerror(errno))). Check its mode")
        }
        return name
    }

    /// User and group as numbers, or why the worker may not run as them.
    ///
    /// Names come from the host's own files.
    func runAs(user: String, group: String) throws -> RunAs {
        var runAs = RunAs()
        let own = geteuid()
        if !user.isEmpty {
            guard let account = try Account.named(user) else {
                throw Refusal(description: "there is no user \"\(user)\" on this host. Create it, or correct the inventory")
            }
            if account.user != own {
                guard own == 0 else {
                    throw Refusal(description: "the agent runs as uid \(own) and can't start workers as \(user). Run it as root, or drop `user`")
                }
                guard allowedUsers.contains(user) else {
                    throw Refusal(description: "this host doesn't let workers run as \(user). Add --allow-user \(user) to the agent's settings")
                }
                runAs.user = account.user
                runAs.group = account.group
                runAs.groups = account.groups
            }
        }
        if !group.isEmpty {
            guard let number = try Account.group(named: group) else {
                throw Refusal(description: "there is no group \"\(group)\" on this host. Create it, or correct the inventory")
            }
            runAs.group = number
        }
        return runAs
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
