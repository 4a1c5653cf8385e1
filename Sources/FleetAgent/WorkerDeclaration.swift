internal import FleetCore
internal import FleetWire

/// One worker as this host's part declares it, with `$state` replaced by the worker's own state directory.
struct WorkerDeclaration: Equatable, Sendable {
    let service: ServiceName
    let tier: TierName
    let spec: WireWorkerSpec
    let policy: WorkerPolicy
    let counters: [CounterSpec]

    init(_ declared: WireWorkerSpec, paths: AgentPaths) {
        var spec = declared
        let state = paths.workerState(declared.service)
        spec.run = declared.run.map { Self.expand($0, state: state) }
        spec.env = declared.env.mapValues { Self.expand($0, state: state) }
        spec.secrets = declared.secrets.mapValues { Self.expand($0, state: state) }
        spec.stateFiles = declared.stateFiles.map { Self.expand($0, state: state) }
        spec.logFiles = declared.logFiles.map { Self.expand($0, state: state) }
        spec.workdir = declared.workdir.isEmpty ? state : Self.expand(declared.workdir, state: state)
        self.spec = spec
        service = ServiceName(declared.service)
        tier = TierName(declared.tier)
        policy = WorkerPolicy(
            ready: Self.ready(spec.ready), stop: Self.stop(spec.stop), quiesce: spec.hasQuiesce ? Self.action(spec.quiesce) : nil,
            resume: spec.hasResume ? Self.action(spec.resume) : nil, restart: Self.restart(spec.restart))
        counters = spec.counters.compactMap { counter in
            switch counter.how {
            case .notify(let key): CounterSpec(name: counter.name, how: .notify(key))
            case .http(let probe): CounterSpec(name: counter.name, how: .http(Self.probe(probe)))
            case nil: nil
            }
        }
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

    private static func duration(_ ns: UInt64) -> Duration { .nanoseconds(Int64(clamping: ns)) }

    private static func ready(_ wire: WireReady) -> ReadySpec {
        if case .notify = wire.how { .notify(within: duration(wire.withinNs)) } else { .delay(duration(wire.withinNs)) }
    }

    private static func stop(_ wire: WireStopSpec) -> StopSpec {
        StopSpec(
            signal: wire.signal.isEmpty ? "TERM" : wire.signal, grace: duration(wire.graceNs), extendTo: duration(wire.extendToNs),
            then: wire.hold ? .hold : .kill)
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
        return RestartSpec(
            policy: policy, delay: duration(wire.delayNs), limitStarts: Int(wire.limitStarts), limitWithin: duration(wire.limitWithinNs))
    }
}
