import FleetCore

/// Reads one service's tree, defaults and all, into a `ServiceSpec`.
struct ServiceDecoder {
    static let keys =
        [
            "tier", "like", "run", "wrapper", "release", "hosts", "on", "needs", "cpus", "threads", "env", "secrets", "workdir", "user",
            "group", "ready", "health", "stop", "quiesce", "resume", "gates", "gate_wait", "counters", "restart", "state_files", "aliases",
            "logs", "after_boot", "on_hold",
        ] + ExecutionDecoder.keys + ReleaseDecoder.keys
    /// What `defaults` and `defaults.tier.TIER` may hold.
    static let defaultKeys = [
        "wrapper", "env", "secrets", "workdir", "user", "group", "ready", "health", "stop", "gate_wait", "restart", "logs", "after_boot",
        "on_hold", "scheduler", "nice", "oom_score_adj", "umask", "limits", "capabilities", "memory", "cgroup", "writable", "free", "sockets",
        "core", "lock_files", "pid_file", "marker",
    ]
    /// What `on.HOST` may hold: what depends on the machine, and nothing that orders the fleet.
    static let hostKeys =
        ["run", "wrapper", "env", "secrets", "workdir", "cpus", "threads", "health", "logs"] + ExecutionDecoder.keys + ReleaseDecoder.keys
    /// Keys of the format that this version would not act on: refused rather than passed over.
    static let later: Set<String> = ["exclusive"]
    /// The tier whose workers are held, never killed on a timer, unless it says otherwise.
    static let executionTier = "execution"

    let reader: SchemaReader
    let names: DeclaredNames
    /// `path` and `version` of each release in order.
    let releases: [String: [String: String]]

    var faults: Faults { reader.faults }

    /// The spec with what could be read; what could not has been reported.
    func decode(_ name: String, at position: SourcePosition, _ tree: YAMLTree) -> LocatedService? {
        let tree = withoutOrderPortCheck(tree)
        guard let map = reader.map(tree, at: position, "the service", keys: Self.keys, later: Self.later) else { return nil }
        let tier = map.required("tier", names.tiers.first ?? "market-data")
            .flatMap { reader.reference($0, "tier", to: "tier", in: names.tiers) }
        var substitution = Substitution(faults: faults)
        if let release = map["release"] {
            substitution.hasRelease = true
            if let release = reader.reference(release, "release", to: "release", in: names.releases) {
                substitution.values = releases[release] ?? [:]
            }
        }
        var spec = ServiceSpec(
            name: ServiceName(name), tier: TierName(tier ?? ""), run: run(map, substitution), hosts: hosts(map))
        launch(map, substitution, &spec)
        checkSize(of: spec, map)
        spec.execution = ExecutionDecoder(reader: reader, substitution: substitution).decode(map)
        spec.release = ReleaseDecoder(reader: reader, substitution: substitution).decode(map)
        if let health = map["health"] { HealthDecoder(reader: reader, substitution: substitution).decode(health, into: &spec) }
        spec.ready = map["ready"].flatMap(ready) ?? spec.ready
        spec.stop = stop(map["stop"], tier: tier)
        spec.restart = restart(map["restart"], tier: tier)
        let actions = ActionDecoder(reader: reader, names: names, substitution: substitution)
        spec.quiesce = map["quiesce"].flatMap { actions.action($0, "quiesce") }
        spec.resume = map["resume"].flatMap { actions.action($0, "resume") }
        let wait = map["gate_wait"].flatMap { reader.duration($0, "gate_wait") } ?? .seconds(30)
        spec.gates = map["gates"].map { actions.gates($0, wait: wait) } ?? []
        spec.counters = map["counters"].map { actions.counters($0) } ?? []
        spec.stateFiles = reader.paths(map["state_files"], "state_files", substitution)
        if let logs = map["logs"], let logs = reader.map(logs, "logs", keys: ["stdout", "stderr", "files"]) {
            spec.standardOutput = logs["stdout"].map { retention($0, "logs.stdout") } ?? spec.standardOutput
            spec.standardError = logs["stderr"].map { retention($0, "logs.stderr") } ?? spec.standardError
            spec.logFiles = reader.paths(logs["files"], "logs.files", substitution)
        }
        spec.startAfterBoot =
            map["after_boot"].flatMap { reader.oneOf($0, "after_boot", ["stay-down", "start"]) } == "start"
        if let hold = map["on_hold"], let hold = reader.map(hold, "on_hold", keys: ["note", "page"]) {
            spec.holdNote = hold["note"].flatMap { reader.text($0, "note") }
            spec.holdPage = hold["page"].flatMap { reader.reference($0, "on_hold.page", to: "receiver", in: names.receivers) }
        }
        var located = LocatedService(spec: spec, tier: tier.map { TierName($0) }, position: position)
        references(map, &located)
        return located
    }

    /// What starts it and where it runs.
    private func launch(_ map: SchemaReader.Map, _ substitution: Substitution, _ spec: inout ServiceSpec) {
        spec.wrapper = map["wrapper"].map { arguments($0, "wrapper", substitution) } ?? []
        spec.env = map["env"].map { environment($0, substitution) } ?? [:]
        spec.secrets = map["secrets"].map { secrets($0, substitution) } ?? [:]
        spec.workdir = map["workdir"].flatMap { path($0, "workdir", substitution) }
        spec.user = map["user"].flatMap { reader.name($0, "user") }
        spec.group = map["group"].flatMap { reader.name($0, "group") }
        spec.cpus = map["cpus"].flatMap(cpus) ?? CPUPlacement()
        spec.cpus.threads = map["threads"].map { threads($0) } ?? [:]
    }

    // MARK: What it runs

    private func run(_ map: SchemaReader.Map, _ substitution: Substitution) -> [String] {
        guard let tree = map.required("run", "[/path/to/program, argument]") else { return [] }
        return reader.program(tree, "run", substitution) ?? []
    }

    private func arguments(_ tree: YAMLTree, _ name: String, _ substitution: Substitution) -> [String] {
        (reader.texts(tree, name, unique: false) ?? []).map { substitution.apply($0.text, at: $0.position) }
    }

    private func environment(_ tree: YAMLTree, _ substitution: Substitution) -> [String: String] {
        var environment: [String: String] = [:]
        for entry in reader.entries(tree, "env") ?? [] where variable(entry) {
            guard let text = reader.text(entry.value, "env.\(entry.key)") else { continue }
            environment[entry.key] = substitution.apply(text, at: entry.value.position)
        }
        return environment
    }

    private func secrets(_ tree: YAMLTree, _ substitution: Substitution) -> [String: String] {
        var secrets: [String: String] = [:]
        for entry in reader.entries(tree, "secrets") ?? [] where variable(entry) {
            guard let path = path(entry.value, "secrets.\(entry.key)", substitution) else { continue }
            secrets[entry.key] = path
        }
        return secrets
    }

    /// POSIX.1-2017, 8.1: a name is letters, digits and _, no digit first.
    private func variable(_ entry: YAMLTree.Entry) -> Bool {
        let name = entry.key.utf8
        let valid = name.allSatisfy { (65...90).contains($0) || (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
        if valid, let first = name.first, !(48...57).contains(first) {
            if entry.key != "NOTIFY_SOCKET" { return true }
            faults.add(entry.keyPosition, "NOTIFY_SOCKET is set by the shim", "remove it")
            return false
        }
        faults.add(entry.keyPosition, "'\(entry.key)' is no name for an environment variable", "write letters, digits and _, no digit first")
        return false
    }

    private func path(_ tree: YAMLTree, _ name: String, _ substitution: Substitution) -> String? {
        reader.path(tree, name).map { substitution.apply($0, at: tree.position) }
    }

    // MARK: Where it runs

    private func hosts(_ map: SchemaReader.Map) -> [HostName] {
        // `exclusive` says the hosts as well; it has been refused, and one fault is enough.
        if map["hosts"] == nil, map["exclusive"] != nil { return [] }
        guard let tree = map.required("hosts", "[\(names.hosts.first ?? "md-1")]"), let items = reader.texts(tree, "hosts") else { return [] }
        if items.isEmpty { faults.add(tree.position, "hosts is empty", "write [\(names.hosts.first ?? "md-1")]") }
        return items.compactMap { item in
            reader.reference(item.text, at: item.position, "hosts", to: "host", in: names.hosts).map { HostName($0) }
        }
    }

    private func cpus(_ tree: YAMLTree) -> CPUPlacement? {
        guard let map = reader.map(tree, "cpus", keys: ["exclusive", "helpers", "node"]) else { return nil }
        var cpus = CPUPlacement(
            exclusive: map["exclusive"].flatMap { reader.cpus($0, "cpus.exclusive") },
            helpers: map["helpers"].flatMap { reader.oneOf($0, "cpus.helpers", ["shared"]) } != nil)
        if let node = map.tree.entry("node") {
            cpus.node = reader.count(node.value, "cpus.node", 0...HostDecoder.nodeMax)
            if map["exclusive"] == nil {
                faults.add(
                    node.keyPosition, "cpus.node without cpus.exclusive, whose place it says", "write exclusive: 4-5, or memory: {bind: \(cpus.node ?? 0)}")
            }
        }
        return cpus
    }

    /// The kernel's TASK_COMM_LEN leaves 15 bytes; a longer name would never be found.
    private static let threadNameMax = 15

    private func threads(_ tree: YAMLTree) -> [String: CPUPlacement.ThreadPlacement] {
        var threads: [String: CPUPlacement.ThreadPlacement] = [:]
        for entry in reader.entries(tree, "threads") ?? [] {
            if entry.key.isEmpty || entry.key.utf8.count > Self.threadNameMax {
                faults.add(
                    entry.keyPosition, "the thread name '\(entry.key)' has \(entry.key.utf8.count) bytes, the kernel keeps 1 to \(Self.threadNameMax)",
                    "write it as ps -L -o comm shows it")
                continue
            }
            if entry.key != "*", entry.key.contains(where: { $0 == "*" || $0 == "?" }) {
                faults.add(entry.keyPosition, "\(entry.key) in threads is a pattern", "write each thread's name, and \"*\" for every other")
                continue
            }
            if case .scalar("helpers", _) = entry.value.content {
                threads[entry.key] = .helpers
            } else if let cpus = reader.cpus(entry.value, "threads.\(entry.key)") {
                threads[entry.key] = .cpus(cpus)
            }
        }
        return threads
    }

    private func references(_ map: SchemaReader.Map, _ located: inout LocatedService) {
        if let tree = map["needs"], let items = reader.texts(tree, "needs") {
            for item in items {
                guard let name = reader.reference(item.text, at: item.position, "needs", to: "service", in: names.services) else { continue }
                located.needs.append((ServiceName(name), item.position))
            }
            located.spec.needs = located.needs.map(\.service)
        }
        if let tree = map["aliases"], let items = reader.texts(tree, "aliases") {
            located.aliases = items
            located.spec.aliases = items.map(\.text)
        }
    }

    /// Takes out the one health check that is refused for good in the execution tier.
    private func withoutOrderPortCheck(_ tree: YAMLTree) -> YAMLTree {
        guard case .scalar(Self.executionTier, _)? = tree["tier"]?.content, let health = tree["health"], let tcp = health.entry("tcp"),
            case .map(let entries) = tree.content
        else { return tree }
        faults.add(
            tcp.keyPosition, "a tcp health check in the execution tier: connecting to an order port is not harmless",
            "write notify_watchdog: 5s and let the worker speak for itself")
        let without = entries.map { entry in
            var entry = entry
            if entry.key == "health" {
                let rest = health.without(["tcp"])
                entry.value = HealthDecoder.saysHow(rest) ? rest : YAMLTree(position: health.position, content: .map([]))
            }
            return entry
        }
        return YAMLTree(position: tree.position, content: .map(without))
    }

    // MARK: How it starts, stops and restarts

    private func ready(_ tree: YAMLTree) -> ReadySpec? {
        guard let map = reader.map(tree, "ready", keys: ["notify", "delay"], later: ["port"]) else { return nil }
        switch (map["notify"], map["delay"]) {
        case (let notify?, nil): return reader.duration(notify, "ready.notify", atLeast: .milliseconds(1)).map { .notify(within: $0) }
        case (nil, let delay?): return reader.duration(delay, "ready.delay").map { .delay($0) }
        case (nil, nil):
            if map.tree.entries?.isEmpty == true { faults.add(tree.position, "ready says no way", "write {notify: 60s} or {delay: 2s}") }
            return nil
        case (_?, let delay?):
            faults.add(delay.position, "ready says two ways", "write either notify or delay")
            return nil
        }
    }

    /// What no shim takes would pass the check here and fail at the start: it is said now (trading-shim/shim.h, CONF_BYTES_MAX).
    private func checkSize(of spec: ServiceSpec, _ map: SchemaReader.Map) {
        let arguments = spec.wrapper + spec.run
        guard let position = (map["run"] ?? map["env"])?.position else { return }
        if arguments.count > Self.argumentsMax || spec.env.count > Self.argumentsMax {
            faults.add(
                position, "more than \(Self.argumentsMax) arguments or environment variables: no shim takes so many",
                "write them into a file of the worker's own")
        }
        // A key, an equals sign and an end beside each.
        let bytes = arguments.reduce(0) { $0 + $1.utf8.count + 5 } + spec.env.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 6 }
        if bytes > Self.launchBytesMax {
            faults.add(
                position, "arguments and environment are \(bytes >> 10) KiB, larger than the \(Self.launchBytesMax >> 10) KiB that a shim takes",
                "write them into a file of the worker's own")
        }
    }

    private static let argumentsMax = 1_024
    /// The shim's bound, less what the agent adds to it: secrets, paths, limits.
    private static let launchBytesMax = 224 << 10

    private func stop(_ tree: YAMLTree?, tier: String?) -> StopSpec {
        var spec = StopSpec()
        spec.then = tier == Self.executionTier ? .hold : .kill
        guard let tree, let map = reader.map(tree, "stop", keys: ["signal", "grace", "extend_to", "then", "tree", "clean_exit"]) else { return spec }
        spec.signal = map["signal"].flatMap { reader.signal($0, "stop.signal") } ?? spec.signal
        spec.grace = map["grace"].flatMap { reader.duration($0, "stop.grace") } ?? spec.grace
        spec.then = map["then"].flatMap { reader.oneOf($0, "stop.then", ["kill", "hold"]) }.flatMap { StopSpec.Then(rawValue: $0) } ?? spec.then
        spec.tree = map["tree"].flatMap { reader.oneOf($0, "stop.tree", ["signal", "kill"]) }.flatMap { StopSpec.Tree(rawValue: $0) } ?? spec.tree
        spec.cleanExit = (map["clean_exit"].flatMap { reader.list($0, "stop.clean_exit") } ?? []).compactMap(cleanExit)
        if let tree = map["extend_to"] {
            if let extendTo = reader.duration(tree, "stop.extend_to") {
                spec.extendTo = extendTo
                if extendTo < spec.grace {
                    faults.add(
                        tree.position, "stop.extend_to is shorter than the grace of \(SchemaReader.text(of: spec.grace))",
                        "write \(SchemaReader.text(of: spec.grace)) or more: both count from the first signal")
                }
            }
        } else {
            spec.extendTo = Swift.max(spec.extendTo, spec.grace)
        }
        return spec
    }

    /// An exit status from 0 to 255, or a signal's name.
    private func cleanExit(_ tree: YAMLTree) -> StopSpec.CleanExit? {
        guard case .scalar(let text, _) = tree.content, let code = Int32(text) else { return reader.signal(tree, "stop.clean_exit").map { .signal($0) } }
        guard (0...255).contains(code) else {
            faults.add(tree.position, "stop.clean_exit: \(code) is no exit status", "write a number from 0 to 255, or a signal's name as TERM")
            return nil
        }
        return .code(code)
    }

    private func restart(_ tree: YAMLTree?, tier: String?) -> RestartSpec {
        var spec = RestartSpec()
        // What talks to an exchange comes up again by a person's word: its session, its orders and its limits have to be looked at.
        if tier == Self.executionTier { spec.policy = .never }
        guard let tree, let map = reader.map(tree, "restart", keys: ["policy", "delay", "delay_max", "stable_after", "limit"]) else { return spec }
        spec.policy =
            map["policy"].flatMap { reader.oneOf($0, "restart.policy", ["never", "on-failure", "always"]) }
            .flatMap { RestartSpec.Policy(rawValue: $0) } ?? spec.policy
        spec.delay = map["delay"].flatMap { reader.duration($0, "restart.delay") } ?? spec.delay
        if let tree = map["delay_max"] {
            if let delayMax = reader.duration(tree, "restart.delay_max") {
                spec.delayMax = delayMax
                if delayMax < spec.delay {
                    let line = map["delay"].map { " (line \($0.position.line))" } ?? ""
                    let delay = SchemaReader.text(of: spec.delay)
                    faults.add(tree.position, "restart.delay_max is shorter than the delay\(line) of \(delay)", "write \(delay) or more")
                }
            }
        } else {
            spec.delayMax = Swift.max(spec.delayMax, spec.delay)
        }
        spec.stableAfter = map["stable_after"].flatMap { reader.duration($0, "restart.stable_after", atLeast: .seconds(1)) } ?? spec.stableAfter
        if let limit = map["limit"], let limit = reader.map(limit, "restart.limit", keys: ["starts", "within"]) {
            spec.limitStarts = limit["starts"].flatMap { reader.count($0, "restart.limit.starts", 1...1000) } ?? spec.limitStarts
            spec.limitWithin =
                limit["within"].flatMap { reader.duration($0, "restart.limit.within", atLeast: .seconds(1)) } ?? spec.limitWithin
        }
        return spec
    }

    /// A log smaller than this would be cut more often than read.
    private static let logBytesMin: UInt64 = 64 << 10

    private func retention(_ tree: YAMLTree, _ name: String) -> LogRetentionSpec {
        guard let map = reader.map(tree, name, keys: ["keep", "max"]) else { return LogRetentionSpec() }
        return LogRetentionSpec(
            keep: map["keep"].flatMap { reader.duration($0, "\(name).keep", atLeast: .seconds(60)) },
            maxBytes: map["max"].flatMap { reader.bytes($0, "\(name).max", atLeast: Self.logBytesMin) })
    }
}
