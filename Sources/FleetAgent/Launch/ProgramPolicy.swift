internal import Glibc
internal import LinuxHost

/// What the host's own settings let an inventory run here (law 10).
struct ProgramPolicy: Equatable, Sendable {
    let programDirectories: [String]
    let allowedDirectories: [String]
    let allowedUsers: [String]
    var allowedSecretDirectories: [String] = []
    var allowedGroups: [String] = []
    var allowedCapabilities: [String] = []
    var realtimeMax = 0
    /// Named in refusals; empty: flags alone.
    var settingsFile = ""

    /// Who a worker runs as; empty: the agent's own.
    struct RunAs: Equatable, Sendable {
        var user: UInt32?
        var group: UInt32?
        var groups: [UInt32] = []
    }

    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// The argument vector with every program in it judged and bare names replaced by paths, or why it may not run.
    ///
    /// Judged is what is executed, what stands at `wrapperCount`, where the declared wrapper ends, and what wrappers that this
    /// agent knows execute in turn (`WrapperCommand` says which, and what that leaves open).
    func command(_ arguments: [String], wrapperCount: Int = 0) throws(Refusal) -> [String] {
        var command = arguments
        let found: WrapperCommand
        do { found = try WrapperCommand(arguments) } catch { throw Refusal(description: error.description) }
        for index in Set(found.programs + [min(wrapperCount, arguments.count - 1)]) where index >= 0 {
            command[index] = try program(arguments[index])
        }
        return command
    }

    /// The absolute path of a program, or why it may not run.
    ///
    /// Symbolic links are followed before the directory is judged. Between this and the exec whoever may write the
    /// directories can change what lies there: they must be root's.
    func program(_ name: String) throws(Refusal) -> String {
        let path = try located(name)
        guard let real = Self.realPath(path) else {
            throw Refusal(description: "cannot run \(path): \(String(cString: strerror(errno))). Install it, or correct the inventory")
        }
        // A bare name is one of the host's own programs: the directories it is looked up in are allowed by that.
        let directories = name.contains("/") ? allowedDirectories : programDirectories + allowedDirectories
        guard Self.base(of: real, in: directories) != nil else {
            throw Refusal(
                description:
                    "\(real) lies outside what this host lets run (\(directories.joined(separator: ", "))). \(add("allow-dir", Self.directory(of: real))), or correct the inventory"
            )
        }
        guard Files.isExecutable(real) else {
            throw Refusal(description: "cannot run \(real): it is no program, or its mode forbids it. Check it, or correct the inventory")
        }
        return path
    }

    /// The file that a secret is read from, links followed, or why this host hands it to no worker.
    ///
    /// Whoever may write the allowed directories can change what lies there: they must be root's.
    func secret(_ path: String) throws(Refusal) -> String {
        guard let real = Self.realPath(path) else {
            throw Refusal(description: "cannot read the secret \(path): \(String(cString: strerror(errno))). Put it there, or correct the inventory")
        }
        guard Self.base(of: real, in: allowedSecretDirectories) != nil else {
            throw Refusal(
                description:
                    "the secret \(path) lies outside of what this host hands to workers (\(allowedSecretDirectories.joined(separator: ", "))). \(add("allow-secret-dir", Self.directory(of: real))), or correct the inventory"
            )
        }
        return real
    }

    /// The path of a bare name in the first program directory that has it; an absolute path as it is.
    private func located(_ name: String) throws(Refusal) -> String {
        if name.contains("/") {
            guard name.hasPrefix("/") else {
                throw Refusal(description: "the program \"\(name)\" is a relative path; the inventory must give a bare name or an absolute path")
            }
            return name
        }
        for directory in programDirectories {
            let path = directory + "/" + name
            if Files.isExecutable(path) { return path }
        }
        let places = programDirectories.isEmpty ? "there is no --program-dir" : "looked in \(programDirectories.joined(separator: ", "))"
        throw Refusal(description: "no program \"\(name)\" on this host (\(places)). Install it, or add its directory to the agent's settings")
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
                    throw Refusal(description: "this host doesn't let workers run as \(user). \(add("allow-user", user)), or correct the inventory")
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
            let theirs = runAs.user == nil ? try Account.ownGroups() : runAs.groups
            guard theirs.contains(number) || allowedGroups.contains(group) else {
                throw Refusal(
                    description:
                        "its user is not in the group \(group), and this host doesn't let workers run in it. \(add("allow-group", group)), or correct the inventory"
                )
            }
            if number != runAs.group ?? getegid() {
                guard own == 0 else {
                    throw Refusal(description: "the agent runs as uid \(own) and can't start workers in the group \(group). Run it as root, or drop `group`")
                }
            }
            runAs.group = number
            if runAs.user == nil { runAs.groups = theirs }
        }
        return runAs
    }

    /// Why a worker may not be scheduled or privileged as declared; the first reason.
    func refusal(capabilities: [String], realtime: Int?, realtimeLimit: UInt64?) -> Refusal? {
        for capability in capabilities where !allowedCapabilities.contains(capability) {
            return Refusal(
                description:
                    "this host doesn't let workers have the capability \(capability). \(add("allow-capability", capability)), or correct the inventory")
        }
        let limit = realtimeMax == 0 ? "no real-time priority" : "real-time priorities up to \(realtimeMax) only"
        if let realtime, realtime > realtimeMax {
            return Refusal(
                description:
                    "it asks for the real-time priority \(realtime), this host lets workers have \(limit). \(add("allow-realtime", "\(realtime)")), or correct the inventory"
            )
        }
        if let realtimeLimit, realtimeLimit > UInt64(realtimeMax) {
            let asked = realtimeLimit == .max ? "unlimited" : "\(realtimeLimit)"
            return Refusal(
                description:
                    "its limit rtprio is \(asked), this host lets workers have \(limit). \(add("allow-realtime", "\(min(99, realtimeLimit))")), or correct the inventory"
            )
        }
        return nil
    }

    private func add(_ setting: String, _ value: String) -> String { Self.adding(setting, value, to: settingsFile) }

    /// What the host's administrator would write, and where; no file: as a flag.
    static func adding(_ setting: String, _ value: String, to settingsFile: String) -> String {
        settingsFile.isEmpty ? "Add --\(setting) \(value) to the agent's flags" : "Add `\(setting) = \(value)` to \(settingsFile)"
    }

    private static func directory(of real: String) -> String { real.lastIndex(of: "/").map { String(real[..<$0]) } ?? real }

    /// The first of these directories, links followed, that a real path lies below; nil: none.
    static func base(of real: String, in directories: [String]) -> String? {
        directories.lazy.compactMap { realPath($0) }.first { real.hasPrefix($0 == "/" ? "/" : $0 + "/") }
    }

    static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
