/// YAML as this format allows it: texts, lists and maps with string keys, each with its place.
///
/// What a text means is decided by the schema, never by YAML's guess: `7.10`, `off` and `010` stay what was written.
struct YAMLTree {
    struct Entry {
        var key: String
        var keyPosition: SourcePosition
        var value: YAMLTree
    }

    indirect enum Content {
        /// `plain`: written without quotes.
        case scalar(String, plain: Bool)
        case list([YAMLTree])
        case map([Entry])
        /// Already reported, not to be looked into.
        case refused
    }

    var position: SourcePosition
    var content: Content

    /// The value of a key of this map; nil for a missing key and for anything but a map.
    subscript(_ key: String) -> YAMLTree? { entry(key)?.value }

    func entry(_ key: String) -> Entry? { entries?.first { $0.key == key } }

    var entries: [Entry]? {
        guard case .map(let entries) = content else { return nil }
        return entries
    }

    /// What this is, in an operator's words.
    var kind: String {
        switch content {
        case .scalar("", plain: true): "nothing"
        case .scalar: "a text"
        case .list: "a list"
        case .map: "a map"
        case .refused: "refused"
        }
    }

    func without(_ keys: Set<String>) -> YAMLTree {
        guard case .map(let entries) = content else { return self }
        return YAMLTree(position: position, content: .map(entries.filter { !keys.contains($0.key) }))
    }

    // MARK: Inheritance

    /// Maps that say *one* way of doing something: another way in the overlay replaces the whole map.
    private static let alternatives: [String: [String]] = [
        "ready": ["notify", "delay"],
        "quiesce": ["signal", "http", "exec"],
        "resume": ["signal", "http", "exec"],
        "done": ["notify", "http"],
        "scheduler": ["fifo", "rr"],
        "memory": ["bind", "preferred", "interleave"],
    ]

    /// Maps that are one statement: half of another service's threads or of another host's pages would be nobody's wish.
    private static let wholes: Set<String> = ["threads", "hugepages"]

    /// This, with `overlay` worked in: maps merge, everything else is replaced.
    ///
    /// An empty map, `{}`, clears.
    func merged(with overlay: YAMLTree, key: String? = nil) -> YAMLTree {
        guard case .map(let base) = content, case .map(let over) = overlay.content, !over.isEmpty else { return overlay }
        if let key, Self.wholes.contains(key) { return overlay }
        if let key, let ways = Self.alternatives[key],
            let chosen = ways.first(where: { way in over.contains { $0.key == way } }), !base.contains(where: { $0.key == chosen })
        {
            return overlay
        }
        var entries = base
        for entry in over {
            if let index = entries.firstIndex(where: { $0.key == entry.key }) {
                entries[index] = Entry(
                    key: entry.key, keyPosition: entry.keyPosition,
                    value: entries[index].value.merged(with: entry.value, key: entry.key))
            } else {
                entries.append(entry)
            }
        }
        return YAMLTree(position: overlay.position, content: .map(entries))
    }
}
