import FleetCore

/// Works out what a service says once everything it inherits is laid under it:
/// service.on.HOST over the service over what it is `like` over defaults.tier.TIER over defaults.
struct ServiceLayers {
    /// Names and hooks that belong to one service and are never inherited through `like`.
    private static let own: Set<String> = ["like", "aliases", "on"]

    private let defaults: YAMLTree?
    private let services: [String: YAMLTree]

    init(defaults: YAMLTree?, services: [YAMLTree.Entry]) {
        self.defaults = defaults
        self.services = Dictionary(services.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    /// The service's tree with all it inherits, without `like` and `on`; `host`: with that host's overrides.
    func tree(of service: YAMLTree.Entry, host: String? = nil) -> YAMLTree {
        var tree = likeness(service).without(["like"])
        if let defaults {
            var base = defaults.without(["tier"])
            if case .scalar(let tier, _)? = tree["tier"]?.content, let ofTier = defaults["tier"]?[tier] {
                base = base.merged(with: ofTier)
            }
            if base.entries?.isEmpty == false, tree.entries != nil { tree = base.merged(with: tree) }
        }
        if let host, let override = service.value["on"]?[host] { tree = tree.merged(with: override) }
        return tree.without(["on"])
    }

    /// The service over what it is `like`, over what that is `like`.
    ///
    /// Cycles and dangling names are reported by `checkLikes`.
    private func likeness(_ service: YAMLTree.Entry) -> YAMLTree {
        var chain = [service.value]
        var seen: Set<String> = [service.key]
        while let next = Self.likeName(chain[chain.count - 1]), seen.insert(next).inserted,
            let base = services[next]
        {
            chain.append(base)
        }
        var tree = chain.removeLast()
        if !chain.isEmpty { tree = tree.without(Self.own) }
        while let over = chain.popLast() { tree = tree.merged(with: chain.isEmpty ? over : over.without(Self.own)) }
        return tree
    }

    /// Reports every `like` that names nothing or leads back to itself, for services as for hosts.
    static func checkLikes(_ entries: [YAMLTree.Entry], kind: String, reader: SchemaReader) {
        let names = entries.map(\.key)
        let likes = Dictionary(entries.map { ($0.key, likeName($0.value)) }, uniquingKeysWith: { first, _ in first })
        for entry in entries {
            guard let like = entry.value["like"],
                let name = likes.keys.contains(likeName(entry.value) ?? "")
                    ? likeName(entry.value)
                    // What is suggested is never itself.
                    : reader.reference(like, "like", to: kind, in: NameList(names.filter { $0 != entry.key }))
            else { continue }
            var seen: [String] = [entry.key]
            var next: String? = name
            while let current = next {
                if current == entry.key {
                    // One report for a cycle: at the member that comes first in the file.
                    let first = names.first { seen.contains($0) }
                    if first == entry.key {
                        reader.faults.add(
                            like.position, "like goes in a circle: \((seen + [current]).joined(separator: " -> "))",
                            "write the values out in one of them")
                    }
                    break
                }
                if seen.contains(current) { break }
                seen.append(current)
                next = likes[current] ?? nil
            }
        }
    }

    private static func likeName(_ tree: YAMLTree) -> String? {
        guard case .scalar(let name, _)? = tree["like"]?.content else { return nil }
        return name
    }
}
