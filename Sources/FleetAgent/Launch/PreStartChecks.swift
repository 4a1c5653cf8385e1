internal import FleetCore
internal import Glibc
internal import LinuxHost

/// What must hold before anything of a worker is launched; blocking.
///
/// The first thing that doesn't ends it with a sentence; what is only doubtful becomes a warning. Nothing is changed but for
/// a stale PID file of the worker's own, which is removed and told.
struct PreStartChecks: Sendable {
    let service: String
    /// As it will be executed, programs as absolute paths; the wrapper's words first.
    let command: [String]
    let wrapperCount: Int
    let environment: [String: String]
    let workdir: String
    let execution: ExecutionSpec
    let release: ReleaseSpec
    let user: FileUser
    /// RUN/SERVICE.pid
    let pidFile: String
    /// Another worker of this host uses the same mount: what lies there may be that one's.
    let sharesMount: Bool
    /// Directory -> bytes that the host wants to keep free.
    let diskFreeMin: [String: UInt64]
    let digests: DigestCache
    /// Of /sys, for tests.
    var root = ""

    /// Why it was not launched, in the shape of a refusal: what, why with evidence, what to type.
    struct Problem: Error, Equatable, CustomStringConvertible {
        let slug: String
        let what: String
        let then: String

        var description: String { "\(what). \(then)" }
    }

    /// The warnings, one sentence each.
    func run() throws(Problem) -> [String] {
        try programs()
        try directories()
        try space()
        var warnings = try leftovers()
        try hugepages()
        warnings += lowDisk()
        if let warning = preload() { warnings.append(warning) }
        return warnings
    }

    var program: String { command[min(wrapperCount, command.count - 1)] }

    // MARK: Programs

    private func programs() throws(Problem) {
        for path in wrapperCount > 0 ? [command[0], program] : [program] {
            if let refusal = try told({ () throws(LinuxError) in try user.refusal(.execute, path) }) {
                throw Problem(
                    slug: "not-executable", what: "cannot run \(path): \(refusal)",
                    then: "Install it or correct its mode, then: trading start \(service)")
            }
            guard try told({ () throws(LinuxError) in try FileStatus.read(path) })?.kind == .file else {
                throw Problem(slug: "not-executable", what: "cannot run \(path): it is no file", then: "Correct the inventory")
            }
        }
        guard let wanted = execution.digest, !wanted.isEmpty else { return }
        let found: String
        do { found = try digests.digest(program) } catch {
            throw Problem(slug: "digest-unknown", what: "its program can't be compared with the inventory: \(error)", then: "Make it readable for the agent")
        }
        guard found == wanted.lowercased() else {
            let status = try told({ () throws(LinuxError) in try FileStatus.read(program) })
            let when = status.map { " (changed \(Self.time($0.modified)), owner \(Account.name(of: $0.user) ?? "\($0.user)"))" } ?? ""
            throw Problem(
                slug: "digest-mismatch",
                what: "\(program) is sha256 \(found.prefix(16))…, the inventory says \(wanted.lowercased().prefix(16))…\(when)",
                then: "Install the declared one again, or correct the inventory")
        }
    }

    // MARK: Directories and space

    private func directories() throws(Problem) {
        var wanted = [(workdir, "its working directory")]
        wanted += execution.writable.map { ($0, "its directory") }
        for (file, what) in [(release.markerFile, "its shutdown marker's"), (release.pidFile, "its PID file's")] {
            if let file { wanted.append((Self.parent(file), "\(what) directory")) }
        }
        wanted += release.lockFiles.map { (Self.parent($0), "its lock file's directory") }
        for (path, what) in wanted {
            guard let status = try told({ () throws(LinuxError) in try FileStatus.read(path) }) else {
                throw Problem(slug: "no-directory", what: "\(what) \(path) does not exist", then: "Make it, or correct the inventory")
            }
            guard status.kind == .directory else {
                throw Problem(slug: "no-directory", what: "\(what) \(path) is no directory", then: "Correct the inventory")
            }
            if let refusal = try told({ () throws(LinuxError) in try user.refusal(.write, path) }) {
                throw Problem(slug: "not-writable", what: "it can't write to \(what) \(path): \(refusal)", then: "Correct owner or mode, or the inventory")
            }
        }
    }

    private func space() throws(Problem) {
        for (path, wanted) in execution.freeSpace.sorted(by: { $0.key < $1.key }) {
            let free = try told { () throws(LinuxError) in try Files.freeBytes(path) }
            guard free >= wanted else {
                throw Problem(
                    slug: "disk-space",
                    what: "needs \(Self.bytes(wanted)) free in \(path), \(Self.bytes(free)) is",
                    then: "Make room there, or correct free: in the inventory")
            }
        }
    }

    /// What the host wants to keep free where this worker works; short of it nothing is refused.
    private func lowDisk() -> [String] {
        diskFreeMin.sorted { $0.key < $1.key }.compactMap { path, wanted in
            do {
                guard let there = try FileStatus.read(path), let here = try FileStatus.read(workdir), there.device == here.device else { return nil }
                let free = try Files.freeBytes(path)
                return free < wanted ? "\(Self.bytes(free)) is free in \(path), the host wants \(Self.bytes(wanted))" : nil
            } catch {
                return "how much is free in \(path) can't be told: \(error)"
            }
        }
    }

    // MARK: The loader

    /// ld.so(8), secure-execution mode: with set-id and with file capabilities LD_PRELOAD is ignored, with ambient ones it isn't.
    private func preload() -> String? {
        let isOnload = command.prefix(wrapperCount).contains { $0.split(separator: "/").last == "onload" }
        guard isOnload || environment["LD_PRELOAD"]?.isEmpty == false, user.user != 0 else { return nil }
        let why: String
        do {
            guard let status = try FileStatus.read(program) else { return nil }
            if status.isSetUser, status.user != user.user {
                why = "is set-user-ID"
            } else if status.isSetGroup, status.group != user.groups.first {
                why = "is set-group-ID"
            } else if try FileStatus.hasCapabilities(program) {
                why = "has file capabilities"
            } else {
                return nil
            }
        } catch {
            return "whether the loader would ignore LD_PRELOAD can't be told: \(error)"
        }
        let what = isOnload ? "onload would not take effect" : "LD_PRELOAD would be ignored"
        return "\(program) \(why), so the loader ignores LD_PRELOAD: \(what). Use capabilities: in the inventory, which are ambient, and setcap -r"
    }

    // MARK: Small things

    /// What can't be looked at is a refusal too: nothing is assumed to hold.
    func told<Value>(_ look: () throws(LinuxError) -> Value) throws(Problem) -> Value {
        do { return try look() } catch {
            throw Problem(slug: "unknown", what: "what it needs can't be looked at: \(error)", then: "See to that, then: trading start \(service)")
        }
    }

    static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    static func time(_ nanoseconds: Int64) -> String {
        String(Clock.rfc3339(unixMicroseconds: UInt64(max(0, nanoseconds) / 1_000)).prefix(19)) + "Z"
    }

    /// As in "3.2 GiB"; whole units where they are whole.
    static func bytes(_ count: UInt64) -> String {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] where count >= 1 << shift {
            let tenths = ((count >> (shift - 10)) * 10) >> 10
            return tenths % 10 == 0 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
        }
        return "\(count) bytes"
    }
}
