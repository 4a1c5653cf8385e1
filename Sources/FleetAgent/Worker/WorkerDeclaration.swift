internal import FleetCore
internal import FleetWire

/// One worker as this host's part declares it, with `$state` replaced by the worker's own state directory.
struct WorkerDeclaration: Equatable, Sendable {
    let service: ServiceName
    let tier: TierName
    let spec: WireWorkerSpec
    /// What its machine goes by; with what its end must leave, its health checks and its watchdog.
    let policy: WorkerPolicy
    let counters: [CounterSpec]
    /// What this host asks before a stop: the service's own gates, and those of others that name it.
    let gates: [Gate]
    let execution: ExecutionSpec
    let placement: CPUPlacement
    let standardOutput: LogRetentionSpec
    let standardError: LogRetentionSpec

    struct Gate: Equatable, Sendable {
        /// The service that declares it.
        let owner: String
        let name: String
        let probe: HTTPProbeSpec
    }

    /// What is executed in front of `program`.
    var wrapper: [String] { Array(spec.run.prefix(Int(clamping: spec.wrapperCount))) }
    /// What the wrapper executes: what the digest is of, and what identity and status name.
    var program: [String] { Array(spec.run.dropFirst(Int(clamping: spec.wrapperCount))) }
    var release: ReleaseSpec { policy.release }
    var health: [HealthSpec] { policy.health }
    var watchdog: Duration? { policy.watchdog }

    init(_ declared: WireWorkerSpec, paths: AgentPaths) {
        var spec = declared
        let state = paths.workerState(declared.service)
        spec.run = declared.run.map { Self.expand($0, state: state) }
        spec.env = declared.env.mapValues { Self.expand($0, state: state) }
        spec.secrets = declared.secrets.mapValues { Self.expand($0, state: state) }
        spec.stateFiles = declared.stateFiles.map { Self.expand($0, state: state) }
        spec.logFiles = declared.logFiles.map { Self.expand($0, state: state) }
        spec.workdir = declared.workdir.isEmpty ? state : Self.expand(declared.workdir, state: state)
        spec.writable = declared.writable.map { Self.expand($0, state: state) }
        spec.freeSpace = Dictionary(declared.freeSpace.map { (Self.expand($0.key, state: state), $0.value) }, uniquingKeysWith: Swift.max)
        spec.lockFiles = declared.lockFiles.map { Self.expand($0, state: state) }
        spec.workerPidFile = Self.expand(declared.workerPidFile, state: state)
        spec.markerFile = Self.expand(declared.markerFile, state: state)
        spec.hugepageMount = Self.expand(declared.hugepageMount, state: state)
        spec.hugepageKeeps = declared.hugepageKeeps.map { Self.expand($0, state: state) }
        for index in spec.health.indices {
            if case .exec(var call) = spec.health[index].how {
                call.argv = call.argv.map { Self.expand($0, state: state) }
                spec.health[index].exec = call
            }
        }
        if case .exec(var call) = spec.quiesce.how {
            call.argv = call.argv.map { Self.expand($0, state: state) }
            spec.quiesce.exec = call
        }
        if case .exec(var call) = spec.resume.how {
            call.argv = call.argv.map { Self.expand($0, state: state) }
            spec.resume.exec = call
        }
        self.spec = spec
        service = ServiceName(declared.service)
        tier = TierName(declared.tier)
        policy = WorkerPolicy(
            ready: Self.ready(spec.ready), stop: Self.stop(spec.stop), quiesce: spec.hasQuiesce ? Self.action(spec.quiesce) : nil,
            resume: spec.hasResume ? Self.action(spec.resume) : nil, restart: Self.restart(spec.restart), release: Self.release(spec),
            health: spec.health.compactMap(Self.health), watchdog: spec.watchdogNs > 0 ? Self.duration(spec.watchdogNs) : nil)
        execution = Self.execution(spec)
        placement = Self.placement(spec)
        standardOutput = Self.retention(spec.stdout)
        standardError = Self.retention(spec.stderr)
        counters = spec.counters.compactMap { counter in
            switch counter.how {
            case .notify(let key): CounterSpec(name: counter.name, how: .notify(key))
            case .http(let probe): CounterSpec(name: counter.name, how: .http(Self.probe(probe)))
            case nil: nil
            }
        }
        gates = spec.gates.map { Gate(owner: $0.at.isEmpty ? declared.service : $0.at, name: $0.name, probe: Self.probe($0.probe)) }
    }

    /// Replaces `$state` where the name ends there: `$state/x`, not `$statements`.
    static func expand(_ text: String, state: String) -> String {
        var out = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            out += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            out += name == "state" ? state : "$" + name
            rest = rest[name.endIndex...]
        }
        return out + rest
    }

    static func probe(_ wire: WireHTTPProbe) -> HTTPProbeSpec {
        HTTPProbeSpec(url: wire.url, pointer: wire.pointer, equals: wire.is, maxAge: .nanoseconds(Int64(clamping: wire.maxAgeNs)))
    }

    static func duration(_ ns: UInt64) -> Duration { .nanoseconds(Int64(clamping: ns)) }

    private static func ready(_ wire: WireReady) -> ReadySpec {
        if case .notify = wire.how { .notify(within: duration(wire.withinNs)) } else { .delay(duration(wire.withinNs)) }
    }

    private static func stop(_ wire: WireStopSpec) -> StopSpec {
        StopSpec(
            signal: wire.signal.isEmpty ? "TERM" : wire.signal, grace: duration(wire.graceNs), extendTo: duration(wire.extendToNs),
            then: wire.hold ? .hold : .kill, tree: wire.killTree ? .kill : .signal)
    }

    private static func action(_ wire: WireAction) -> ActionSpec? {
        let how: ActionSpec.How
        switch wire.how {
        case .signal(let name): how = .signal(name)
        case .http(let call): how = .http(method: call.method, url: call.url)
        case .exec(let call): how = .exec(call.argv)
        case nil: return nil
        }
        var done: ActionSpec.Done?
        switch wire.done.how {
        case .notify(let text): done = .notify(text)
        case .http(let probe): done = .http(Self.probe(probe))
        case nil: done = nil
        }
        return ActionSpec(how: how, done: done, within: duration(wire.withinNs))
    }

    private static func restart(_ wire: WireRestartSpec) -> RestartSpec {
        let policy: RestartSpec.Policy =
            switch wire.policy {
            case .always: .always
            case .onFailure: .onFailure
            case .never, .UNRECOGNIZED: .never
            }
        var spec = RestartSpec(
            policy: policy, delay: duration(wire.delayNs), limitStarts: Int(wire.limitStarts), limitWithin: duration(wire.limitWithinNs))
        // A part from before these fields leaves them out.
        spec.delayMax = wire.delayMaxNs > 0 ? duration(wire.delayMaxNs) : Swift.max(spec.delay, spec.delayMax)
        if wire.stableAfterNs > 0 { spec.stableAfter = duration(wire.stableAfterNs) }
        return spec
    }
}
