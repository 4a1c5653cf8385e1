package import FleetCore

/// How a launch ended, as its shim kept it (the file `exit` of the launch directory).
package struct ShimExit: Equatable, Sendable {
    package enum How: Equatable, Sendable {
        /// No `go` came, or it was called off: nothing ran.
        case never
        /// The exec or a step before it failed: nothing of the program ran.
        case failed(errno: Int32, step: String)
        case exited(code: Int32)
        case signalled(number: Int32, core: Bool)
        /// It ended as the child of another process of its tree (MAINPID=), which took its status.
        case unknown
    }

    /// What getrusage(2) tells.
    package struct Usage: Equatable, Sendable {
        package var userTime: Duration
        package var systemTime: Duration
        package var residentMaxKiB: UInt64
        package var minorFaults: UInt64
        package var majorFaults: UInt64
        package var voluntarySwitches: UInt64
        package var involuntarySwitches: UInt64

        init?(_ text: KeyedText, prefix: String) {
            func figure(_ key: String) -> UInt64? { text.number(prefix + key) }
            guard let user = figure("utime_us"), let system = figure("stime_us"), let resident = figure("maxrss_kb"),
                let minor = figure("minflt"), let major = figure("majflt"), let voluntary = figure("nvcsw"),
                let involuntary = figure("nivcsw")
            else { return nil }
            userTime = .microseconds(Int64(clamping: user))
            systemTime = .microseconds(Int64(clamping: system))
            residentMaxKiB = resident
            minorFaults = minor
            majorFaults = major
            voluntarySwitches = voluntary
            involuntarySwitches = involuntary
        }
    }

    package var launch: String
    package var how: How
    /// No process of the tree was left.
    ///
    /// False only while the shim is still killing them, or was lost doing so.
    package var treeEmpty: Bool
    /// What the main process left of its tree; nil: a shim, or an agent that launched it, from before version 3.
    package var tree: TreeEnd?
    /// SIGKILL was asked for through the shim.
    package var killed: Bool
    /// The emergency stop that killed it.
    package var latch: String?
    /// STOPPING=1 was received.
    package var saidStopping: Bool
    package var saidReady: Bool
    /// The last value of every key that the worker notified.
    package var notified: [String: String]
    /// The main process; nil: none was ever forked.
    package var worker: ProcessIdentity?
    /// Of the main process and the children that it waited for; nil: not known.
    package var usage: Usage?
    /// Of all processes that the shim has reaped, and those that they had waited for.
    package var treeUsage: Usage?
    /// The soft deadline of its fence passed while it ran.
    package var fencedSoft: Bool
    /// The cgroup that it had of its own, removed by now.
    package var cgroup: String?
    /// When the main process was reaped, and when its tree was empty.
    package var exitedAt: BootTime
    package var goneAt: BootTime

    package var succeeded: Bool { how == .exited(code: 0) }

    /// As in "exited with status 3" or "killed by SIGKILL".
    package var words: String {
        switch how {
        case .never: "was never started"
        case .failed(let errno, let step): "could not be started: \(step): \(LinuxError.text(errno))"
        case .exited(let code): "exited with status \(code)"
        case .signalled(let number, let core): "killed by \(Signals.name(number))\(core ? ", core dumped" : "")"
        case .unknown: "ended; another process of it took the status"
        }
    }

    /// nil: not a record of version 1 to 3, or one that a full run directory has cut.
    package init?(_ bytes: [UInt8]) {
        let text = KeyedText(bytes)
        guard ["1", "2", "3"].contains(text["version"]), let launch = text["launch"], let tree = text["tree"] else { return nil }
        let code: Int32 = text.number("code") ?? 0
        switch text["how"] {
        case "never": how = .never
        case "failed": how = .failed(errno: text.number("errno") ?? 0, step: text["step"] ?? "")
        case "exit": how = .exited(code: code)
        case "signal": how = .signalled(number: code, core: text["core"] == "1")
        case "unknown": how = .unknown
        default: return nil
        }
        self.launch = launch
        treeEmpty = tree == "empty"
        if let left: UInt64 = text.number("tree_left") {
            self.tree = TreeEnd(
                left: TreeEnd.bounded(left), killed: text.number("tree_killed").map(TreeEnd.bounded), untold: text.number("tree_untold").map(TreeEnd.bounded),
                isDeclared: text["tree_kill"] == "1")
        }
        killed = text["killed"] == "1"
        latch = text["latch"].flatMap { $0.isEmpty ? nil : $0 }
        saidStopping = text["stopping"] == "1"
        saidReady = text["ready"] == "1"
        if let pid: Int32 = text.number("pid"), pid > 0, let start: UInt64 = text.number("start"), let boot = text["boot"] {
            worker = ProcessIdentity(pid: pid, startTime: start, bootID: boot)
        }
        exitedAt = BootTime(nanoseconds: text.number("exited_ns") ?? 0)
        goneAt = BootTime(nanoseconds: text.number("gone_ns") ?? 0)
        usage = Usage(text, prefix: "")
        treeUsage = Usage(text, prefix: "tree_")
        fencedSoft = text["fence"] == "soft"
        cgroup = text["cgroup"].flatMap { $0.isEmpty ? nil : $0 }
        notified = [:]
        for (key, value) in text.values where key.hasPrefix("notify.") { notified[String(key.dropFirst(7))] = value }
    }
}
