package import FleetCore
internal import Glibc

/// Everything the shim needs to start one worker: the file `conf` of a launch directory (format: trading-shim/shim.h).
package struct LaunchConfiguration: Equatable, Sendable {
    package var service: String
    /// Unique for ever: 1 to 64 printable ASCII characters, no slash; also the launch directory's name.
    package var launch: String
    /// argv[0] is the path that is executed, without a search in PATH.
    package var argv: [String]
    /// The worker's whole environment, apart from NOTIFY_SOCKET and TRADING_LAUNCH, which the shim adds.
    package var env: [String: String]
    /// nil: `/`.
    package var workdir: String?
    /// nil: as the shim, on the housekeeping CPUs.
    package var cpus: CPUList?
    /// nil: the agent's own.
    ///
    /// A user needs a group beside it.
    package var user: UInt32?
    package var group: UInt32?
    /// Supplementary groups, when user or group is set.
    package var groups: [UInt32]
    /// Opened for appending, by the shim's user; nil: /dev/null.
    package var stdout: String?
    package var stderr: String?
    /// nil: `../slot`, as `LaunchDirectory.create` lays it out.
    package var slot: String?
    /// nil: the agent's own.
    package var umask: UInt32?
    /// How long the shim waits for `go` before it gives up with nothing run.
    ///
    /// At most an hour.
    package var goTimeout: Duration
    /// Whether the worker gets a NOTIFY_SOCKET.
    package var notify: Bool
    /// Scheduler, nice, OOM score, limits, capabilities and memory policy; its umask, if any, wins over `umask`.
    ///
    /// `cgroup`, `digest`, `writable` and `freeSpace` are the agent's to look at.
    package var execution = ExecutionSpec()
    /// A directory that doesn't exist yet, for a cgroup of its own (`Cgroup.Place`); nil: none.
    package var cgroup: String?
    /// How often WATCHDOG=1 must come; nil: no watchdog. At most an hour, and `notify` is needed.
    package var watchdog: Duration?
    /// Has a fence, which must be armed before `go`, and a PID namespace of its own where the kernel allows one.
    package var fence = false
    /// What the shim tells those that a main process leaves of its tree; 0: they are killed at once.
    package var treeSignal: Int32 = 0
    /// How long they have then, where nobody has ordered the end; at most an hour.
    package var treeGrace: Duration = .zero

    package init(
        service: String, launch: String, argv: [String], env: [String: String] = [:], workdir: String? = nil,
        cpus: CPUList? = nil, user: UInt32? = nil, group: UInt32? = nil, groups: [UInt32] = [], stdout: String? = nil,
        stderr: String? = nil, slot: String? = nil, umask: UInt32? = nil, goTimeout: Duration = .seconds(10),
        notify: Bool = true
    ) {
        self.service = service
        self.launch = launch
        self.argv = argv
        self.env = env
        self.workdir = workdir
        self.cpus = cpus
        self.user = user
        self.group = group
        self.groups = groups
        self.stdout = stdout
        self.stderr = stderr
        self.slot = slot
        self.umask = umask
        self.goTimeout = goTimeout
        self.notify = notify
    }

    /// The bytes of `conf`.
    ///
    /// What `refusal` names must not be encoded.
    package func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        for (key, value) in records {
            bytes += key.utf8
            bytes.append(UInt8(ascii: "="))
            bytes += value.utf8
            bytes.append(0)
        }
        return bytes
    }

    /// Why this can't be launched; nil: it can, as far as its text goes.
    package var refusal: String? {
        if argv.first?.isEmpty ?? true { return "it names no program" }
        if argv[0].utf8.first != UInt8(ascii: "/") { return "its program \(argv[0]) is no absolute path" }
        if launch.isEmpty || launch.utf8.count > 64 || !launch.utf8.allSatisfy({ (33...126).contains($0) && $0 != 47 }) {
            return "its launch id is not 1 to 64 printable characters"
        }
        if let bad = records.first(where: { $0.1.utf8.contains(0) }) { return "a zero byte in \(bad.0)" }
        if let bad = env.keys.first(where: { $0.isEmpty || $0.utf8.contains(UInt8(ascii: "=")) }) {
            return "\"\(bad)\" is no name of an environment variable"
        }
        if user != nil, group == nil { return "it has a user without a group" }
        if let cpus, cpus.isEmpty { return "its CPU list is empty" }
        if goTimeout < .zero || goTimeout > .seconds(3_600) { return "its time to wait for go is not within an hour" }
        if !(0...64).contains(treeSignal) || treeGrace < .zero || treeGrace > .seconds(3_600) {
            return "the signal or the grace of its tree is out of range"
        }
        if let watchdog, !notify || watchdog < .milliseconds(1) || watchdog > .seconds(3_600) {
            return "its watchdog is not within a millisecond and an hour, or it has no notify socket"
        }
        if let cgroup, cgroup.utf8.first != UInt8(ascii: "/") || cgroup.utf8.count > 447 {
            return "its cgroup is no absolute path of at most 447 bytes"
        }
        if argv.count > 1_024 || env.count > 1_024 { return "more than 1024 arguments or environment variables" }
        if encode().count > 256 * 1024 { return "arguments and environment are larger than 256 KiB" }
        return nil
    }

    private var records: [(String, String)] {
        var records = [("version", "3"), ("launch", launch), ("service", service), ("slot", slot ?? "../slot")]
        records += argv.map { ("arg", $0) }
        records += env.sorted { $0.key < $1.key }.map { ("env", "\($0.key)=\($0.value)") }
        func add(_ key: String, _ value: String?) {
            if let value { records.append((key, value)) }
        }
        add("cwd", workdir)
        add("cpus", cpus?.description)
        add("uid", user.map { "\($0)" })
        add("gid", group.map { "\($0)" })
        add("groups", groups.isEmpty ? nil : groups.map { "\($0)" }.joined(separator: ","))
        add("stdout", stdout)
        add("stderr", stderr)
        add("umask", (execution.umask ?? umask).map { String($0, radix: 8) })
        for (name, value) in execution.limits.sorted(by: { $0.key < $1.key }) {
            let text = value == ExecutionSpec.unlimited ? "unlimited" : "\(value)"
            records.append(("limit", "\(name):\(text):\(text)"))
        }
        add("nice", execution.nice.map { "\($0)" })
        add("scheduler", execution.scheduler?.word)
        add("oom", execution.oomScoreAdjustment.map { "\($0)" })
        add("memory", execution.memory?.word)
        records += execution.capabilities.map { ("capability", $0) }
        add("cgroup", cgroup)
        add("watchdog_ms", watchdog.map { "\($0.nanoseconds / 1_000_000)" })
        records += [("tree_signal", "\(treeSignal)"), ("tree_grace_ms", "\(treeGrace.nanoseconds / 1_000_000)")]
        if fence { records.append(("fence", "1")) }
        records.append(("go_timeout_ms", "\(goTimeout.nanoseconds / 1_000_000)"))
        if notify { records.append(("notify", "1")) }
        return records
    }
}

extension ExecutionSpec.Scheduler {
    /// As `conf` has it.
    fileprivate var word: String {
        switch self {
        case .other: "other"
        case .batch: "batch"
        case .idle: "idle"
        case .fifo(let priority): "fifo:\(priority)"
        case .roundRobin(let priority): "rr:\(priority)"
        }
    }
}

extension ExecutionSpec.MemoryPolicy {
    /// As `conf` has it.
    fileprivate var word: String {
        switch self {
        case .bind(let nodes): "bind:\(CPUList(nodes))"
        case .preferred(let node): "preferred:\(node)"
        case .interleave(let nodes): "interleave:\(CPUList(nodes))"
        case .local: "local"
        }
    }
}
