import FleetCore

/// Reads the whole tree of one file into an `Inventory`, collecting every fault on the way.
struct InventoryDecoder {
    static let keys = [
        "fleet", "format", "timezone", "coordinators", "tiers", "emergency_stop", "dependencies", "releases", "defaults", "hosts",
        "services", "streams", "alerts",
    ]
    /// Headings of the format that this version would not act on.
    static let later: Set<String> = [
        "trust", "roles", "calendars", "venues", "guards", "schedules", "preopen", "maintenance",
    ]

    let reader: SchemaReader
    /// Gives the names of time zones, where one has to be looked up; nil: not known.
    let zones: () -> [String]?

    var faults: Faults { reader.faults }

    /// nil or partial where faults were found.
    func decode(_ tree: YAMLTree) -> Inventory? {
        guard let map = reader.map(tree, at: .start, "the inventory", keys: Self.keys, later: Self.later) else { return nil }
        let fleet = map.required("fleet", "ld4").flatMap { reader.name($0, "fleet") }
        if let format = map["format"] { _ = reader.oneOf(format, "format", ["1"]) }
        let timezone = map["timezone"].flatMap { self.timezone($0) } ?? "UTC"
        let coordinators =
            map.required("coordinators", "{ctl-1: {address: \"10.0.0.1:7443\"}}").map { self.coordinators($0) } ?? []
        let tierEntries = map.required("tiers", "{market-data: {}, strategies: {}, execution: {}}").map { reader.named($0, "tiers") } ?? []
        let hostEntries = map.required("hosts", "{md-1: {}}").map { reader.named($0, "hosts") } ?? []
        let serviceEntries =
            map.required("services", "{feed: {tier: market-data, run: [/path/to/feed], hosts: [md-1]}}")
            .map { reader.named($0, "services") } ?? []
        let dependencyEntries = map["dependencies"].map { reader.named($0, "dependencies") } ?? []
        let releaseEntries = map["releases"].map { reader.named($0, "releases") } ?? []
        let alertEntries = map["alerts"].map { reader.named($0, "alerts") } ?? []
        func list(_ entries: [YAMLTree.Entry]) -> NameList { NameList(entries.map(\.key)) }
        let names = DeclaredNames(
            tiers: list(tierEntries), hosts: list(hostEntries), services: list(serviceEntries), dependencies: list(dependencyEntries),
            releases: list(releaseEntries), receivers: list(alertEntries))

        for tier in tierEntries where tier.key == TierName.undeclared.raw {
            faults.add(tier.keyPosition, "a tier called undeclared: what runs beside the inventory stops under that name", "write another name")
        }
        for tier in tierEntries { _ = reader.map(tier.value, "the tier \(tier.key)", keys: [], later: ["on_unknown_host"]) }
        let hosts = self.hosts(hostEntries)
        let dependencies = dependencyEntries.compactMap { dependency($0, names) }
        let releases = self.releases(releaseEntries)
        let services: [LocatedService] = self.services(serviceEntries, defaults: map["defaults"], names: names, releases: releases)
        let byName = Dictionary(services.map { ($0.spec.name, $0) }, uniquingKeysWith: { first, _ in first })
        let streamDecoder = StreamDecoder(reader: reader, names: names, dependencies: dependencies, services: byName)
        let streams = (map["streams"].map { reader.named($0, "streams") } ?? []).compactMap { streamDecoder.decode($0) }
        let emergencyStop = map["emergency_stop"].map { self.emergencyStop($0, names) }
        InventoryRules(faults: faults, tiers: names.tiers.map { TierName($0) }, hosts: hosts, services: services, streams: streams).check()

        let alerts = alertEntries.compactMap { AlertDecoder(reader: reader).decode($0) }

        guard let fleet, faults.isEmpty else { return nil }
        var inventory = Inventory(
            fleet: FleetName(fleet), timezone: timezone, coordinators: coordinators,
            tiers: names.tiers.map { TierSpec(name: TierName($0)) },
            // Who says nothing about it gets the stop that leaves nothing trading.
            emergencyStop: emergencyStop ?? EmergencyStopSpec(kills: names.tiers.map { TierName($0) }),
            dependencies: dependencies, hosts: hosts.map(\.spec), services: services.map(\.spec), streams: streams.map(\.spec))
        inventory.alerts = alerts
        return inventory
    }

    private func timezone(_ tree: YAMLTree) -> String? {
        guard let text = reader.text(tree, "timezone") else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let valid = parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { (65...90).contains($0) || (97...122).contains($0) || $0 == 95 || $0 == 45 }
        }
        if text == "UTC" { return text }
        if valid, parts.count >= 2, parts[0] != "Etc" {
            guard let zones = zones(), !zones.contains(text) else { return text }
            faults.add(
                tree.position, "timezone is \(text), which this machine's zone database does not have",
                nearest(to: text, in: zones).map { "write \($0)" } ?? "write Europe/London or UTC; timedatectl list-timezones shows the names")
            return nil
        }
        faults.add(tree.position, "timezone is \(text), which is no IANA zone", "write Europe/London or UTC: a fixed offset is wrong half the year")
        return nil
    }

    // MARK: Coordinators, dependencies, releases

    private func coordinators(_ tree: YAMLTree) -> [CoordinatorSpec] {
        let entries = reader.named(tree, "coordinators")
        var taken: [String: String] = [:]
        func unique(_ address: String?, _ tree: YAMLTree?, _ name: String) {
            guard let address, let tree else { return }
            if let other = taken.updateValue(name, forKey: address) {
                faults.add(tree.position, "\(address) is already the address of \(other)", "give each listener a port of its own")
            }
        }
        let coordinators: [CoordinatorSpec] = entries.compactMap { entry in
            guard
                let map = reader.map(entry.value, at: entry.keyPosition, "the coordinator \(entry.key)", keys: ["address", "api", "role"])
            else { return nil }
            let address = map.required("address", "\"10.0.0.1:7443\"").flatMap { reader.address($0, "address") }
            let api = map["api"].flatMap { reader.address($0, "api") }
            unique(address, map["address"], "\(entry.key)'s agents")
            unique(api, map["api"], "\(entry.key)'s API")
            let role = map["role"].flatMap { reader.oneOf($0, "role", ["full", "emergency"]) } ?? "full"
            return CoordinatorSpec(
                name: CoordinatorName(entry.key), address: address ?? "", api: api, role: CoordinatorSpec.Role(rawValue: role) ?? .full)
        }
        if tree.entries != nil, !coordinators.contains(where: { $0.role == .full }) {
            faults.add(tree.position, "no coordinator has the role full", "write {address: \"10.0.0.1:7443\"} for at least one")
        }
        return coordinators
    }

    private func dependency(_ entry: YAMLTree.Entry, _ names: DeclaredNames) -> DependencySpec? {
        guard
            let map = reader.map(
                entry.value, at: entry.keyPosition, "the dependency \(entry.key)", keys: ["host", "probe"], later: ["systemd"])
        else { return nil }
        let host = map.required("host", names.hosts.first ?? "md-1").flatMap { reader.reference($0, "host", to: "host", in: names.hosts) }
        guard let tree = map.required("probe", "{redis: \"127.0.0.1:6379\"}"),
            let probe = reader.map(tree, "probe", keys: ["redis", "questdb", "tcp"])
        else { return nil }
        let ways = tree.entries ?? []
        guard ways.count == 1 else {
            faults.add(tree.position, "probe says \(ways.isEmpty ? "no way" : "\(ways.count) ways")", "write one of redis, questdb and tcp")
            return nil
        }
        let spec: DependencySpec.Probe? =
            if let redis = probe["redis"] {
                reader.address(redis, "probe.redis").map { .redis($0) }
            } else if let questdb = probe["questdb"] {
                reader.addressURL(questdb, "probe.questdb").map { .questdb($0) }
            } else {
                probe["tcp"].flatMap { reader.address($0, "probe.tcp") }.map { .tcp($0) }
            }
        guard let host, let spec else { return nil }
        return DependencySpec(name: entry.key, host: HostName(host), probe: spec)
    }

    /// What `$release` and `$version` stand for, by release.
    private func releases(_ entries: [YAMLTree.Entry]) -> [String: [String: String]] {
        var releases: [String: [String: String]] = [:]
        for entry in entries {
            guard
                let map = reader.map(
                    entry.value, at: entry.keyPosition, "the release \(entry.key)", keys: ["path", "version"],
                    later: ["manifest_sha256", "previous"])
            else { continue }
            let version = map.required("version", "1.0.0").flatMap { reader.name($0, "version") }
            guard let tree = map.required("path", "/opt/\(entry.key)/$version"), let path = reader.text(tree, "path") else { continue }
            guard path.hasPrefix("/") else {
                faults.add(tree.position, "path is \(path), a relative path", "write /\(path)")
                continue
            }
            guard let version else { continue }
            let (text, unknown) = substitute(path, ["version": version])
            if let name = unknown.first {
                faults.add(tree.position, "$\(name) stands for nothing in a release's path", "write $version, or $$ for a dollar")
            }
            // It is worked into texts that are substituted once more, on their host.
            releases[entry.key] = ["release": text.split(separator: "$", omittingEmptySubsequences: false).joined(separator: "$$"), "version": version]
        }
        return releases
    }

    private func emergencyStop(_ tree: YAMLTree, _ names: DeclaredNames) -> EmergencyStopSpec {
        guard let map = reader.map(tree, "emergency_stop", keys: ["kills", "spares"]) else { return EmergencyStopSpec() }
        func references(_ key: String, _ kind: String, _ known: NameList) -> [String] {
            guard let list = map[key], let items = reader.texts(list, "emergency_stop.\(key)") else { return [] }
            return items.compactMap { reader.reference($0.text, at: $0.position, "emergency_stop.\(key)", to: kind, in: known) }
        }
        _ = map.required("kills", "[\(names.tiers.joined(separator: ", "))]")
        return EmergencyStopSpec(
            kills: references("kills", "tier", names.tiers).map { TierName($0) },
            spares: references("spares", "service", names.services).map { ServiceName($0) })
    }

    // MARK: Hosts and services

    private func hosts(_ entries: [YAMLTree.Entry]) -> [LocatedHost] {
        ServiceLayers.checkLikes(entries, kind: "host", reader: reader)
        let layers = ServiceLayers(defaults: nil, services: entries)
        let decoder = HostDecoder(reader: reader)
        return entries.compactMap { decoder.decode($0.key, at: $0.keyPosition, layers.tree(of: $0)) }
    }

    private func services(
        _ entries: [YAMLTree.Entry], defaults: YAMLTree?, names: DeclaredNames, releases: [String: [String: String]]
    ) -> [LocatedService] {
        if let defaults { checkDefaults(defaults, names) }
        ServiceLayers.checkLikes(entries, kind: "service", reader: reader)
        let layers = ServiceLayers(defaults: defaults, services: entries)
        let decoder = ServiceDecoder(reader: reader, names: names, releases: releases)
        return entries.compactMap { entry in
            let everywhere = layers.tree(of: entry)
            guard var service = decoder.decode(entry.key, at: entry.keyPosition, everywhere) else { return nil }
            for host in service.spec.hosts {
                guard entry.value["on"]?[host.raw] != nil else {
                    service.placed[host] = LocatedPlacement(spec: service.spec, tree: everywhere)
                    continue
                }
                let tree = layers.tree(of: entry, host: host.raw)
                guard let onHost = decoder.decode(entry.key, at: entry.keyPosition, tree) else { continue }
                service.spec.onHost[host] = onHost.spec
                service.placed[host] = LocatedPlacement(spec: onHost.spec, tree: tree)
            }
            if let on = entry.value["on"] { checkOn(on, NameList(service.spec.hosts.map(\.raw))) }
            return service
        }
    }

    /// The defaults' own keys and tiers; their values are read with each service that inherits them.
    private func checkDefaults(_ defaults: YAMLTree, _ names: DeclaredNames) {
        guard let map = reader.map(defaults, "defaults", keys: ServiceDecoder.defaultKeys + ["tier"], later: ServiceDecoder.later),
            let tiers = map["tier"]
        else { return }
        for tier in reader.entries(tiers, "defaults.tier") ?? [] {
            _ = reader.reference(tier.key, at: tier.keyPosition, "defaults.tier", to: "tier", in: names.tiers)
            _ = reader.map(tier.value, "defaults.tier.\(tier.key)", keys: ServiceDecoder.defaultKeys, later: ServiceDecoder.later)
        }
    }

    private func checkOn(_ on: YAMLTree, _ hosts: NameList) {
        for entry in reader.entries(on, "on") ?? [] {
            _ = reader.reference(entry.key, at: entry.keyPosition, "on", to: "host", in: hosts)
            _ = reader.map(entry.value, "on.\(entry.key)", keys: ServiceDecoder.hostKeys)
        }
    }
}
