import FleetCore

/// Reads how a worker's health shows.
///
/// Several ways may stand beside each other: each is a check of its own, with the same rhythm.
struct HealthDecoder {
    /// Shorter ones would tell the housekeeping CPUs' scheduling, not the worker's health.
    static let watchdogMin = Duration.milliseconds(100)
    private static let ways = ["notify_watchdog", "http", "exec", "tcp"]
    private static let rhythms = ["every", "timeout", "failures", "successes"]

    let reader: SchemaReader
    let substitution: Substitution

    private var faults: Faults { reader.faults }

    static func saysHow(_ tree: YAMLTree) -> Bool { ways.contains { tree[$0] != nil } }

    func decode(_ tree: YAMLTree, into spec: inout ServiceSpec) {
        guard let map = reader.map(tree, "health", keys: Self.ways + Self.rhythms) else { return }
        guard Self.saysHow(map.tree) else {
            let entries = map.tree.entries ?? []
            // {} clears, and what is unknown has been reported.
            if entries.isEmpty || !entries.allSatisfy({ Self.rhythms.contains($0.key) }) { return }
            faults.add(tree.position, "health does not say how it shows", "write notify_watchdog: 5s, http: \"http://127.0.0.1:8081/health\", exec or tcp")
            return
        }
        spec.watchdog = map["notify_watchdog"].flatMap { reader.duration($0, "health.notify_watchdog", atLeast: Self.watchdogMin) }
        var ways: [HealthSpec.How] = []
        if let how = map["http"].flatMap(http) { ways.append(how) }
        if let argv = map["exec"].flatMap({ reader.program($0, "health.exec", substitution) }) { ways.append(.exec(argv)) }
        if let tcp = map["tcp"].flatMap({ reader.loopbackAddress($0, "health.tcp") }) { ways.append(.tcp(tcp)) }
        let base = rhythm(map)
        spec.health = ways.map { how in
            var health = base
            health.how = how
            return health
        }
    }

    /// The rhythm alone; its `how` says nothing.
    private func rhythm(_ map: SchemaReader.Map) -> HealthSpec {
        var spec = HealthSpec(how: .exec([]))
        spec.every = map["every"].flatMap { reader.duration($0, "health.every", atLeast: .milliseconds(100)) } ?? spec.every
        spec.timeout = map["timeout"].flatMap { reader.duration($0, "health.timeout", atLeast: .milliseconds(1)) } ?? Swift.min(spec.timeout, spec.every)
        spec.failures = map["failures"].flatMap { reader.count($0, "health.failures", 1...1000) } ?? spec.failures
        spec.successes = map["successes"].flatMap { reader.count($0, "health.successes", 1...1000) } ?? spec.successes
        if spec.timeout > spec.every, let timeout = map["timeout"] {
            let every = SchemaReader.text(of: spec.every)
            let line = map["every"].map { "(line \($0.position.line)) " } ?? ""
            faults.add(
                timeout.position, "health.timeout is longer than health.every \(line)of \(every): a check would not have ended when the next is due",
                "write at most \(every)")
        }
        return spec
    }

    /// A URL, for which any 2xx is health, or `{url, pointer, is}`.
    private func http(_ tree: YAMLTree) -> HealthSpec.How? {
        guard case .map = tree.content else {
            return reader.loopbackURL(tree, "health.http").map { .http(HTTPProbeSpec(url: substitution.apply($0, at: tree.position), pointer: "")) }
        }
        guard let map = reader.map(tree, "health.http", keys: ["url", "pointer", "is"]) else { return nil }
        let url = map.required("url", "http://127.0.0.1:8081/health").flatMap { tree in
            reader.loopbackURL(tree, "health.http.url").map { substitution.apply($0, at: tree.position) }
        }
        if map["pointer"] == nil, map["is"] == nil { return url.map { .http(HTTPProbeSpec(url: $0, pointer: "")) } }
        let pointer = map.required("pointer", "/state").flatMap { reader.pointer($0, "health.http.pointer") }
        let equals = map.required("is", "ok").flatMap { reader.json($0, "health.http.is") }
        guard let url, let pointer, let equals else { return nil }
        return .http(HTTPProbeSpec(url: url, pointer: pointer, equals: equals))
    }
}
