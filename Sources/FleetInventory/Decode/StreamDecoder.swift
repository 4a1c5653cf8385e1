import FleetCore

/// A decoded stream with the places of its ends.
struct LocatedStream {
    var spec: StreamSpec
    var producers: [(service: ServiceName, position: SourcePosition)]
    /// Where each consumer's `on_stop` stands, in the order of `spec.to`.
    var consumers: [(service: ServiceName, position: SourcePosition)]
}

/// Reads `streams`: who produces, what carries, who consumes and what a stop means to each.
struct StreamDecoder {
    let reader: SchemaReader
    let names: DeclaredNames
    let dependencies: [DependencySpec]
    let services: [ServiceName: LocatedService]

    var faults: Faults { reader.faults }

    func decode(_ entry: YAMLTree.Entry) -> LocatedStream? {
        guard
            let map = reader.map(
                entry.value, at: entry.keyPosition, "the stream \(entry.key)", keys: ["from", "via", "to", "produced"])
        else { return nil }
        let producers = producers(map)
        let via: StreamSpec.Via? = if let tree = map["via"] { self.via(tree) } else { .direct }
        var stream = LocatedStream(
            spec: StreamSpec(name: StreamName(entry.key), from: producers.map(\.service), via: via ?? .direct, to: []),
            producers: producers, consumers: [])
        if let tree = map["produced"] {
            stream.spec.produced = counter(tree, "produced", of: producers.map(\.service))
        }
        if let to = map.required("to", "{SERVICE: {on_stop: drain}}") {
            let entries = reader.entries(to, "to") ?? []
            if entries.isEmpty, to.entries != nil { faults.add(to.position, "to is empty", "write {SERVICE: {on_stop: drain}}") }
            for consumer in entries {
                guard
                    let name = reader.reference(consumer.key, at: consumer.keyPosition, "to", to: "service", in: names.services),
                    let (spec, position) = self.consumer(consumer, ServiceName(name), via: via)
                else { continue }
                stream.spec.to.append(spec)
                stream.consumers.append((spec.service, position))
            }
            groups(stream.spec, to)
        }
        return stream
    }

    private func producers(_ map: SchemaReader.Map) -> [(service: ServiceName, position: SourcePosition)] {
        guard let tree = map.required("from", "[SERVICE]"), let items = reader.texts(tree, "from") else { return [] }
        if items.isEmpty { faults.add(tree.position, "from is empty", "write [SERVICE]") }
        return items.compactMap { item in
            reader.reference(item.text, at: item.position, "from", to: "service", in: names.services)
                .map { (ServiceName($0), item.position) }
        }
    }

    /// nil after a fault; what depends on the carrier is then not looked at.
    private func via(_ tree: YAMLTree) -> StreamSpec.Via? {
        if case .scalar = tree.content {
            return reader.oneOf(tree, "via", ["direct", "shm"]) == nil ? nil : .direct
        }
        let later: Set<String> = ["trim", "file", "count"]
        guard let map = reader.map(tree, "via", keys: ["redis"], later: later),
            map["redis"] != nil || !later.contains(where: { map[$0] != nil }),
            let redis = map.required("redis", "HOST/KEY"), let text = reader.text(redis, "via.redis")
        else { return nil }
        guard let slash = text.firstIndex(of: "/"), text.index(after: slash) < text.endIndex else {
            faults.add(redis.position, "via.redis is \(text), without a key", "write HOST/KEY: \(names.hosts.first ?? "md-1")/ticks")
            return nil
        }
        let host = String(text[..<slash])
        guard reader.reference(host, at: redis.position, "via.redis", to: "host", in: names.hosts) != nil else { return nil }
        let addresses = dependencies.compactMap { dependency in
            if case .redis(let address) = dependency.probe, dependency.host.raw == host { address } else { nil }
        }
        guard let address = addresses.first else {
            let declared = dependencies.filter { if case .redis = $0.probe { true } else { false } }.map(\.host.raw)
            faults.add(
                redis.position, "via.redis names \(host), where no dependency is a redis",
                declared.isEmpty
                    ? "write dependencies: redis: {host: \(host), probe: {redis: \"127.0.0.1:6379\"}}"
                    : "write \(oneOf(Array(Set(declared)).sorted())), or declare the dependency on \(host)")
            return nil
        }
        if addresses.count > 1 {
            faults.add(redis.position, "via.redis names \(host), where two dependencies are a redis", "declare one of them on another host")
            return nil
        }
        return .redis(host: HostName(host), address: address, key: String(text[text.index(after: slash)...]))
    }

    private func consumer(
        _ entry: YAMLTree.Entry, _ service: ServiceName, via: StreamSpec.Via?
    ) -> (ConsumerSpec, SourcePosition)? {
        guard
            let map = reader.map(
                entry.value, at: entry.keyPosition, "the consumer \(entry.key)", keys: ["group", "on_stop", "applied"])
        else { return nil }
        let onStop = map.required("on_stop", "drain")
        let policy = onStop.flatMap { reader.oneOf($0, "on_stop", ["buffer", "drain", "discard"]) }.flatMap { ConsumerSpec.Policy(rawValue: $0) }
        var spec = ConsumerSpec(service: service, policy: policy ?? .drain)
        spec.group = map["group"].flatMap { reader.text($0, "group") }
        switch via {
        case .redis?:
            if map["group"] == nil { _ = map.required("group", entry.key) }
        case .direct?:
            if let group = map.tree.entry("group") {
                faults.add(group.keyPosition, "a group without a Redis stream", "remove it, or write via: {redis: HOST/KEY}")
            }
            if policy == .buffer, let onStop {
                faults.add(
                    onStop.position, "on_stop is buffer where nothing durable lies between producer and consumer",
                    "write drain or discard, or via: {redis: HOST/KEY}")
                return nil
            }
        case nil: break
        }
        spec.applied = map["applied"].flatMap { applied($0, service) }
        guard policy != nil, let onStop else { return nil }
        return (spec, onStop.position)
    }

    /// Two consumers that share a group share the entries: neither could be accounted for.
    private func groups(_ spec: StreamSpec, _ to: YAMLTree) {
        var seen: [String: ServiceName] = [:]
        for consumer in spec.to {
            guard let group = consumer.group else { continue }
            if let other = seen.updateValue(consumer.service, forKey: group) {
                let position = to[consumer.service.raw]?["group"]?.position ?? to.position
                faults.add(position, "the group \(group) is also that of \(other)", "give each consumer a group of its own")
            }
        }
    }

    // MARK: Counts

    /// `counters.NAME`, which each of `services` declares.
    private func counter(_ tree: YAMLTree, _ name: String, of services: [ServiceName]) -> String? {
        guard let text = reader.text(tree, name) else { return nil }
        guard text.hasPrefix("counters."), text.count > 9 else {
            faults.add(tree.position, "\(name) is \(text)", "write counters.\(isValidName(text) ? text : "NAME")")
            return nil
        }
        let counter = String(text.dropFirst(9))
        for service in services {
            guard let declared = self.services[service]?.spec.counters.map(\.name), !declared.contains(counter) else { continue }
            let instead =
                declared.isEmpty
                ? "write counters: {notify: {\(counter): X_\(counter.uppercased())}} in \(service)"
                : choice(for: "counters.\(counter)", among: declared.map { "counters.\($0)" })
            faults.add(tree.position, "\(name) names \(text), which \(service) does not declare", instead)
            return nil
        }
        return counter
    }

    private func applied(_ tree: YAMLTree, _ service: ServiceName) -> ConsumerSpec.Applied? {
        if case .scalar = tree.content { return counter(tree, "applied", of: [service]).map { .counter($0) } }
        guard let map = reader.map(tree, "applied", keys: ["sqlite", "questdb", "table", "column"]) else { return nil }
        switch (map["sqlite"], map["questdb"]) {
        case (.some(let sqlite), nil):
            guard let path = reader.path(sqlite, "applied.sqlite"),
                let table = map.required("table", "ticks").flatMap({ identifier($0, "applied.table") }),
                let column = map.required("column", "id").flatMap({ identifier($0, "applied.column") })
            else { return nil }
            return .sqlite(path: sinkPath(path, at: sqlite.position, service), table: table, column: column)
        case (nil, .some(let questdb)):
            if let table = map.tree.entry("table") {
                faults.add(table.keyPosition, "a table beside questdb", "write questdb: TABLE alone")
            }
            guard let table = identifier(questdb, "applied.questdb"),
                let column = map.required("column", "id").flatMap({ identifier($0, "applied.column") }),
                let url = questdbURL(at: questdb.position, service)
            else { return nil }
            return .questdb(url: url, table: table, column: column)
        case (.some, .some(let questdb)):
            faults.add(questdb.position, "applied names two sinks", "write either sqlite or questdb")
            return nil
        case (nil, nil):
            faults.add(tree.position, "applied does not say where", "write counters.NAME, {sqlite: PATH, table: T, column: C} or {questdb: T, column: C}")
            return nil
        }
    }

    /// Asked for by name in SQL: letters, digits and `_` only.
    private func identifier(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = reader.text(tree, name) else { return nil }
        if isValidName(text), !text.contains("-"), !text.contains(".") { return text }
        faults.add(tree.position, "\(name) is \(text), which is no plain name in SQL", "write letters, digits and _")
        return nil
    }

    /// `$service` is the consumer here, `$host` its host if it has but one; `$state` is left to the agent.
    private func sinkPath(_ path: String, at position: SourcePosition, _ service: ServiceName) -> String {
        let hosts = services[service]?.spec.hosts ?? []
        if path.contains("$host"), hosts.count > 1 {
            faults.add(position, "applied.sqlite differs by host, and \(service) runs on \(hosts.count)", "write a path that is the same on each")
        }
        var path = Substitution(faults: faults).apply(path, at: position)
        path.replace("$service", with: service.raw)
        if let host = hosts.first { path.replace("$host", with: host.raw) }
        return path
    }

    /// The QuestDB on the consumer's host, else the only one there is.
    private func questdbURL(at position: SourcePosition, _ service: ServiceName) -> String? {
        let found = dependencies.compactMap { dependency in
            if case .questdb(let url) = dependency.probe { (host: dependency.host, url: url) } else { nil }
        }
        let hosts = services[service]?.spec.hosts ?? []
        if let near = found.first(where: { hosts.contains($0.host) }) { return near.url }
        if found.count == 1 { return found[0].url }
        faults.add(
            position, "applied.questdb, but \(found.isEmpty ? "no dependency is a questdb" : "none of the \(found.count) questdb is on \(service)'s host")",
            "write dependencies: questdb: {host: \(hosts.first?.raw ?? "HOST"), probe: {questdb: \"http://127.0.0.1:9000\"}}")
        return nil
    }
}
