/// One declared service with every default worked in. `$host` in argv, env, paths and URLs is not yet substituted where it
/// differs per host: `substituted(for:)` does that.
package struct ServiceSpec: Equatable, Sendable {
    package var name: ServiceName
    package var tier: TierName
    /// Executed in front of `run`.
    package var wrapper: [String]
    package var run: [String]
    package var hosts: [HostName]
    /// Services that must be running before this one starts and that stop after it.
    package var needs: [ServiceName]
    package var cpus: CPUPlacement
    package var env: [String: String]
    /// Environment name -> file that the agent's host holds.
    package var secrets: [String: String]
    package var workdir: String?
    package var user: String?
    package var group: String?
    package var ready: ReadySpec
    package var stop: StopSpec
    package var quiesce: ActionSpec?
    package var resume: ActionSpec?
    /// Asked before this service's tier may stop; by name.
    package var gates: [GateSpec]
    package var counters: [CounterSpec]
    package var restart: RestartSpec
    package var stateFiles: [String]
    package var aliases: [String]
    package var logFiles: [String]
    package var startAfterBoot: Bool
    package var holdNote: String?
    /// The alert receiver that a hold pages, beside those that want every hold.
    package var holdPage: String?
    package var execution = ExecutionSpec()
    package var release = ReleaseSpec()
    /// WATCHDOG=1 at least this often (sd_watchdog_enabled(3)).
    package var watchdog: Duration?
    package var health: [HealthSpec] = []
    package var standardOutput = LogRetentionSpec()
    package var standardError = LogRetentionSpec()
    /// What this service is on hosts where `on.HOST` overrides its run, wrapper, env, secrets, workdir or cpus.
    package var onHost: [HostName: ServiceSpec] = [:]

    package init(
        name: ServiceName, tier: TierName, run: [String], wrapper: [String] = [], hosts: [HostName],
        needs: [ServiceName] = [], cpus: CPUPlacement = CPUPlacement(), env: [String: String] = [:],
        secrets: [String: String] = [:], workdir: String? = nil, user: String? = nil, group: String? = nil,
        ready: ReadySpec = .undeclared, stop: StopSpec = StopSpec(), quiesce: ActionSpec? = nil,
        resume: ActionSpec? = nil, gates: [GateSpec] = [], counters: [CounterSpec] = [],
        restart: RestartSpec = RestartSpec(), stateFiles: [String] = [], aliases: [String] = [], logFiles: [String] = [],
        startAfterBoot: Bool = false, holdNote: String? = nil
    ) {
        self.name = name
        self.tier = tier
        self.run = run
        self.wrapper = wrapper
        self.hosts = hosts
        self.needs = needs
        self.cpus = cpus
        self.env = env
        self.secrets = secrets
        self.workdir = workdir
        self.user = user
        self.group = group
        self.ready = ready
        self.stop = stop
        self.quiesce = quiesce
        self.resume = resume
        self.gates = gates
        self.counters = counters
        self.restart = restart
        self.stateFiles = stateFiles
        self.aliases = aliases
        self.logFiles = logFiles
        self.startAfterBoot = startAfterBoot
        self.holdNote = holdNote
    }
}

package struct CPUPlacement: Equatable, Sendable {
    /// CPUs that no other service on the host may claim.
    package var exclusive: CPUList?
    /// Also runs on the host's shared pool.
    package var helpers: Bool
    /// The NUMA node that the exclusive CPUs must lie on.
    package var node: Int?
    /// Thread name, or `*` for every other -> where the worker itself puts it; verified, never set.
    package var threads: [String: ThreadPlacement] = [:]

    package enum ThreadPlacement: Hashable, Sendable {
        case cpus(CPUList)
        case helpers
    }

    package init(exclusive: CPUList? = nil, helpers: Bool = false) {
        self.exclusive = exclusive
        self.helpers = helpers
    }
}

package enum ReadySpec: Equatable, Sendable {
    /// sd_notify READY=1, within this long.
    case notify(within: Duration)
    /// Counts as ready once it has run this long.
    case delay(Duration)

    /// A program that dies as it begins, for want of a module or a file, is not ready.
    package static let undeclared = ReadySpec.delay(.seconds(1))
}

package struct StopSpec: Equatable, Sendable {
    package enum Then: String, Sendable { case kill, hold }
    /// What becomes of the processes that a main process leaves.
    package enum Tree: String, Sendable {
        /// They are told the stop signal, and have the rest of the grace.
        case signal
        /// They are killed at once.
        case kill
    }

    /// A signal's name without SIG.
    package var signal: String
    package var grace: Duration
    /// How far the worker may stretch its grace (EXTEND_TIMEOUT_USEC), from the first signal.
    package var extendTo: Duration
    package var then: Then
    package var tree: Tree
    /// How a stop may end beside exit 0, by the stop signal itself, and by 128 plus its number, as a shell and Java pass it on.
    package var cleanExit: [CleanExit]

    package enum CleanExit: Equatable, Sendable {
        case code(Int32)
        /// A signal's name without SIG.
        case signal(String)

        package var text: String {
            switch self {
            case .code(let code): "\(code)"
            case .signal(let name): name
            }
        }
    }

    package init(
        signal: String = "TERM", grace: Duration = .seconds(10), extendTo: Duration = .seconds(30), then: Then = .kill, tree: Tree = .signal,
        cleanExit: [CleanExit] = []
    ) {
        self.signal = signal
        self.grace = grace
        self.extendTo = extendTo
        self.then = then
        self.tree = tree
        self.cleanExit = cleanExit
    }

    /// Whether a worker that was told to stop ended as it should. Without a list: exit 0, and the stop signal's own result.
    package func isClean(_ exit: WorkerExit) -> Bool {
        let own: [CleanExit] = [.code(0), .signal(signal)] + (Signals.number(named: signal).map { [.code(128 + $0)] } ?? [])
        return (cleanExit.isEmpty ? own : cleanExit).contains { clean in
            switch (clean, exit.how) {
            case (.code(let code), .exited(let status)): code == status
            case (.signal(let name), .signalled(let number, _)): Signals.number(named: name) == number
            default: false
            }
        }
    }
}

/// quiesce or resume: how it is asked for and how it shows.
package struct ActionSpec: Equatable, Sendable {
    package enum How: Equatable, Sendable {
        case signal(String)
        case http(method: String, url: String)
        /// argv, as the worker's user.
        case exec([String])
    }

    package enum Done: Equatable, Sendable {
        /// `KEY=VALUE` as the worker says it to its notify socket.
        case notify(String)
        case http(HTTPProbeSpec)
    }

    package var how: How
    /// nil: done when the call has answered 2xx or the signal has gone out.
    package var done: Done?
    package var within: Duration

    package init(how: How, done: Done?, within: Duration) {
        self.how = how
        self.done = done
        self.within = within
    }
}

/// One value of a JSON document behind a loopback URL.
package struct HTTPProbeSpec: Equatable, Sendable {
    package var url: String
    /// RFC 6901
    package var pointer: String
    /// JSON text that the value must equal; empty where only the value is wanted.
    package var equals: String
    package var maxAge: Duration

    package init(url: String, pointer: String, equals: String = "", maxAge: Duration = .seconds(2)) {
        self.url = url
        self.pointer = pointer
        self.equals = equals
        self.maxAge = maxAge
    }
}

package struct GateSpec: Equatable, Sendable {
    package var name: String
    package var probe: HTTPProbeSpec
    /// Asked on the host where this service runs; nil: the declaring service's own.
    package var at: ServiceName?
    /// How long it may stay false before the run says BLOCKED.
    package var wait: Duration

    package init(name: String, probe: HTTPProbeSpec, at: ServiceName? = nil, wait: Duration = .seconds(30)) {
        self.name = name
        self.probe = probe
        self.at = at
        self.wait = wait
    }
}

package struct CounterSpec: Equatable, Sendable {
    package enum How: Equatable, Sendable {
        /// The key that the worker says to its notify socket.
        case notify(String)
        case http(HTTPProbeSpec)
    }

    package var name: String
    package var how: How

    package init(name: String, how: How) {
        self.name = name
        self.how = how
    }
}

package struct RestartSpec: Equatable, Sendable {
    package enum Policy: String, Sendable {
        case never
        case onFailure = "on-failure"
        case always
    }

    package var policy: Policy
    /// Before the first restart; doubles with each further one up to `delayMax`.
    package var delay: Duration
    package var delayMax: Duration = .seconds(60)
    package var limitStarts: Int
    package var limitWithin: Duration
    /// Having run this long earns the whole budget back.
    package var stableAfter: Duration = .seconds(60)

    package init(
        policy: Policy = .onFailure, delay: Duration = .seconds(5), limitStarts: Int = 3, limitWithin: Duration = .seconds(60)
    ) {
        self.policy = policy
        self.delay = delay
        self.limitStarts = limitStarts
        self.limitWithin = limitWithin
    }
}
