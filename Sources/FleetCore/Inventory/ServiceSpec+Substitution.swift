/// Replaces `$host`, `$service`, … in one text. `$$` is a dollar. Returns the names that stand for nothing here.
package func substitute(_ text: String, _ values: [String: String]) -> (text: String, unknown: [String]) {
    var out = ""
    var unknown: [String] = []
    var rest = text[...]
    while let dollar = rest.firstIndex(of: "$") {
        out += rest[..<dollar]
        rest = rest[rest.index(after: dollar)...]
        if rest.first == "$" {
            out += "$"
            rest = rest.dropFirst()
            continue
        }
        let name = rest.prefix { $0.isASCII && ($0.isLetter || $0 == "_") }
        rest = rest[name.endIndex...]
        if let value = values[String(name)] {
            out += value
        } else {
            unknown.append(String(name))
            out += "$" + name
        }
    }
    return (out + rest, unknown)
}

extension ServiceSpec {
    /// This service as one host runs it: `$host` and `$service` replaced everywhere. Other names were replaced or refused
    /// by the loader.
    package func substituted(for host: HostName) -> ServiceSpec {
        if let own = onHost[host] { return own.substituted(for: host) }
        let values = ["host": host.raw, "service": name.raw]
        func sub(_ text: String) -> String { substitute(text, values).text }
        func sub(_ probe: HTTPProbeSpec) -> HTTPProbeSpec {
            var probe = probe
            probe.url = sub(probe.url)
            return probe
        }
        func sub(_ action: ActionSpec?) -> ActionSpec? {
            guard var action else { return nil }
            switch action.how {
            case .signal: break
            case .http(let method, let url): action.how = .http(method: method, url: sub(url))
            case .exec(let argv): action.how = .exec(argv.map(sub))
            }
            if case .http(let probe) = action.done { action.done = .http(sub(probe)) }
            return action
        }
        var copy = self
        copy.run = run.map(sub)
        copy.wrapper = wrapper.map(sub)
        copy.env = env.mapValues(sub)
        copy.secrets = secrets.mapValues(sub)
        copy.workdir = workdir.map(sub)
        copy.stateFiles = stateFiles.map(sub)
        copy.logFiles = logFiles.map(sub)
        copy.quiesce = sub(quiesce)
        copy.resume = sub(resume)
        copy.gates = gates.map { gate in
            var gate = gate
            gate.probe = sub(gate.probe)
            return gate
        }
        copy.counters = counters.map { counter in
            var counter = counter
            if case .http(let probe) = counter.how { counter.how = .http(sub(probe)) }
            return counter
        }
        copy.execution.writable = execution.writable.map(sub)
        copy.execution.freeSpace = Dictionary(execution.freeSpace.map { (sub($0.key), $0.value) }, uniquingKeysWith: Swift.max)
        copy.release.lockFiles = release.lockFiles.map(sub)
        copy.release.pidFile = release.pidFile.map(sub)
        copy.release.markerFile = release.markerFile.map(sub)
        copy.release.hugepageMount = release.hugepageMount.map(sub)
        copy.release.hugepageKeeps = release.hugepageKeeps.map(sub)
        copy.health = health.map { health in
            var health = health
            switch health.how {
            case .http(let probe): health.how = .http(sub(probe))
            case .exec(let argv): health.how = .exec(argv.map(sub))
            case .tcp: break
            }
            return health
        }
        return copy
    }
}
