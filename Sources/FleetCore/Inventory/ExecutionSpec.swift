/// How a worker's process is set up before its program runs. nil or empty: as the agent's own.
package struct ExecutionSpec: Equatable, Sendable {
    package enum Scheduler: Equatable, Sendable {
        case other
        case batch
        case idle
        /// 1 to 99
        case fifo(Int)
        case roundRobin(Int)
    }

    /// set_mempolicy(2)
    package enum MemoryPolicy: Equatable, Sendable {
        case bind([Int])
        case preferred(Int)
        case interleave([Int])
        case local
    }

    package enum Cgroup: String, Sendable {
        case none
        /// A cgroup of its own without any controller: it knows every process and kills them at once.
        case killOnly = "kill-only"
    }

    package var scheduler: Scheduler?
    /// -20 to 19
    package var nice: Int?
    /// -1000 to 1000
    package var oomScoreAdjustment: Int?
    /// 0 to 0o777
    package var umask: UInt32?
    /// Name as in prlimit(1), lower case (nofile, memlock, core, rtprio, …) -> soft and hard limit alike.
    package var limits: [String: UInt64] = [:]
    /// Ambient, without `cap_`, lower case: net_raw, ipc_lock, sys_nice, …
    package var capabilities: [String] = []
    package var memory: MemoryPolicy?
    package var cgroup: Cgroup = .killOnly
    /// SHA-256 of the program behind the wrapper, lower-case hex.
    package var digest: String?
    /// Directories that the worker's user must be able to write to.
    package var writable: [String] = []
    /// Directory -> bytes that must be free there.
    package var freeSpace: [String: UInt64] = [:]

    /// RLIM_INFINITY
    package static let unlimited = UInt64.max

    package init() {}
}

/// What must be left of a worker after its end, and what must not.
package struct ReleaseSpec: Equatable, Sendable {
    package enum Sockets: String, Sendable {
        case kernel
        /// Kernel bypass: the kernel can't list them, so they are unknown, never closed.
        case onload
        case none
    }

    package enum CoreDump: String, Sendable {
        case wait
        case killDump = "kill-dump"
    }

    package var sockets: Sockets = .kernel
    /// Files that its end must have removed.
    package var lockFiles: [String] = []
    package var pidFile: String?
    /// A file that a clean end leaves; nil: STOPPING=1 on the notify socket is the marker.
    package var markerFile: String?
    package var hugepages: [HugepageCount] = []
    package var hugepageMount: String?
    /// Patterns (`*` and `?`) of file names below the mount that it leaves on purpose.
    package var hugepageKeeps: [String] = []
    /// What a stop does with a process that is dumping core.
    package var coreDump: CoreDump = .wait

    package init() {}
}

package struct HealthSpec: Equatable, Sendable {
    package enum How: Equatable, Sendable {
        /// Without a pointer: any 2xx.
        case http(HTTPProbeSpec)
        /// argv, as the worker's user; healthy at exit 0.
        case exec([String])
        /// `IP:PORT`
        case tcp(String)
    }

    package var how: How
    package var every: Duration = .seconds(5)
    package var timeout: Duration = .seconds(1)
    /// So many failures in a row make it unhealthy.
    package var failures = 3
    /// So many successes in a row make it healthy again.
    package var successes = 1

    package init(how: How) { self.how = how }
}

/// How much of a log is kept.
package struct LogRetentionSpec: Equatable, Sendable {
    package var keep: Duration?
    package var maxBytes: UInt64?

    package init(keep: Duration? = nil, maxBytes: UInt64? = nil) {
        self.keep = keep
        self.maxBytes = maxBytes
    }
}
