import FleetCore

/// Reads how a service is asked for things: quiesce and resume, gates, counters.
struct ActionDecoder {
    let reader: SchemaReader
    let names: DeclaredNames
    let substitution: Substitution

    var faults: Faults { reader.faults }

    func action(_ tree: YAMLTree, _ name: String) -> ActionSpec? {
        guard let map = reader.map(tree, name, keys: ["signal", "http", "exec", "done", "within"]) else { return nil }
        let ways = ["signal", "http", "exec"].compactMap { map.tree.entry($0) }
        var how: ActionSpec.How?
        if ways.isEmpty {
            faults.add(
                tree.position, "\(name) does not say how", "write signal: USR1, http: \"POST http://127.0.0.1:8081/\(name)\" or exec: [/path/to/program]")
        } else if ways.count > 1 {
            faults.add(ways[1].value.position, "\(name) says \(ways.count == 2 ? "two" : "three") ways", "write either \(oneOf(ways.map(\.key)))")
        } else {
            let way = ways[0]
            switch way.key {
            case "signal": how = reader.signal(way.value, "\(name).signal").map { .signal($0) }
            case "http": how = call(way.value, "\(name).http")
            default: how = reader.program(way.value, "\(name).exec", substitution).map { .exec($0) }
            }
        }
        let done = map["done"].flatMap { self.done($0, "\(name).done") }
        let within = map["within"].map { reader.duration($0, "\(name).within", atLeast: .milliseconds(1)) } ?? .seconds(30)
        guard let how, let within else { return nil }
        return ActionSpec(how: how, done: done, within: within)
    }

    /// Such as `POST http://127.0.0.1:8081/quiesce`.
    private func call(_ tree: YAMLTree, _ name: String) -> ActionSpec.How? {
        guard let text = reader.text(tree, name) else { return nil }
        guard let space = text.firstIndex(of: " ") else {
            faults.add(tree.position, "\(name) is \(text), without a method", "write \"POST \(text)\"")
            return nil
        }
        let method = String(text[..<space])
        guard ["POST", "PUT"].contains(method) else {
            faults.add(tree.position, "\(name) calls with \(method), which changes nothing", "write \"POST …\" or \"PUT …\"")
            return nil
        }
        return reader.loopbackURL(String(text[text.index(after: space)...]), at: tree.position, name)
            .map { .http(method: method, url: substitution.apply($0, at: tree.position)) }
    }

    private func done(_ tree: YAMLTree, _ name: String) -> ActionSpec.Done? {
        guard let map = reader.map(tree, name, keys: ["notify", "http", "pointer", "is", "max_age"]) else { return nil }
        switch (map["notify"], map["http"]) {
        case (let notify?, nil): return notified(notify, "\(name).notify").map { .notify($0) }
        case (nil, _?): return probe(map, wanted: true).map { .http($0) }
        case (nil, nil):
            faults.add(tree.position, "\(name) does not say how it shows", "write {notify: X_QUIESCED=1} or {http: …, pointer: …, is: …}")
            return nil
        case (_?, let http?):
            faults.add(http.position, "\(name) says two ways", "write either notify or http")
            return nil
        }
    }

    /// Such as `X_QUIESCED=1`.
    private func notified(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = reader.text(tree, name) else { return nil }
        guard let equals = text.firstIndex(of: "=") else {
            faults.add(tree.position, "\(name) is \(text), without a value", "write \(text)=1")
            return nil
        }
        return reader.notifyKey(String(text[..<equals]), at: tree.position, name) == nil ? nil : text
    }

    /// `http`, `pointer`, `max_age` and, when a value is wanted, `is`, as they stand in the map.
    private func probe(_ map: SchemaReader.Map, wanted: Bool) -> HTTPProbeSpec? {
        let url = map.required("http", "http://127.0.0.1:8081/state").flatMap { tree in
            reader.loopbackURL(tree, "http").map { substitution.apply($0, at: tree.position) }
        }
        let pointer = map.required("pointer", "/open").flatMap { reader.pointer($0, "pointer") }
        let equals = wanted ? map.required("is", "0").flatMap { reader.json($0, "is") } : ""
        let maxAge = map["max_age"].map { reader.duration($0, "max_age", atLeast: .milliseconds(1)) } ?? .seconds(2)
        guard let url, let pointer, let equals, let maxAge else { return nil }
        return HTTPProbeSpec(url: url, pointer: pointer, equals: equals, maxAge: maxAge)
    }

    // MARK: Gates and counters

    func gates(_ tree: YAMLTree, wait: Duration) -> [GateSpec] {
        guard let map = reader.map(tree, "gates", keys: ["before_stop"]), let before = map["before_stop"] else { return [] }
        return reader.named(before, "gates.before_stop").compactMap { entry in
            guard
                let map = reader.map(
                    entry.value, at: entry.keyPosition, "the gate \(entry.key)",
                    keys: ["at", "http", "pointer", "is", "max_age", "wait"], later: ["confirmed_by"]),
                let probe = probe(map, wanted: true)
            else { return nil }
            if RunMachine.ownGates.contains(entry.key) {
                faults.add(entry.keyPosition, "a gate is called \(entry.key), which --gate takes for what every run may wait for", "give it another name")
            }
            let at = map["at"].flatMap { reader.reference($0, "at", to: "service", in: names.services) }
            let wait = map["wait"].flatMap { reader.duration($0, "wait") } ?? wait
            return GateSpec(name: entry.key, probe: probe, at: at.map { ServiceName($0) }, wait: wait)
        }
    }

    func counters(_ tree: YAMLTree) -> [CounterSpec] {
        guard let map = reader.map(tree, "counters", keys: ["notify", "http", "values", "max_age"], later: ["shm", "u64"]) else { return [] }
        var counters: [CounterSpec] = []
        for entry in map["notify"].map({ reader.named($0, "counters.notify") }) ?? [] {
            guard let text = reader.text(entry.value, "counters.notify.\(entry.key)"),
                let key = reader.notifyKey(text, at: entry.value.position, "counters.notify.\(entry.key)")
            else { continue }
            counters.append(CounterSpec(name: entry.key, how: .notify(key)))
        }
        switch (map.tree.entry("http"), map.tree.entry("values")) {
        case (let http?, let values?):
            let maxAge = map["max_age"].flatMap { reader.duration($0, "max_age", atLeast: .milliseconds(1)) } ?? .seconds(2)
            let url = reader.loopbackURL(http.value, "counters.http").map { substitution.apply($0, at: http.value.position) }
            for entry in reader.named(values.value, "counters.values") {
                if counters.contains(where: { $0.name == entry.key }) {
                    faults.add(entry.keyPosition, "the counter \(entry.key) is declared twice", "give one of them another name")
                    continue
                }
                guard let pointer = reader.pointer(entry.value, "counters.values.\(entry.key)"), let url else { continue }
                counters.append(CounterSpec(name: entry.key, how: .http(HTTPProbeSpec(url: url, pointer: pointer, maxAge: maxAge))))
            }
        case (let http?, nil): faults.add(http.keyPosition, "counters.http without values", "write values: {NAME: /pointer}")
        case (nil, let values?): faults.add(values.keyPosition, "counters.values without http", "write http: http://127.0.0.1:8081/stats")
        case (nil, nil): break
        }
        return counters
    }
}
