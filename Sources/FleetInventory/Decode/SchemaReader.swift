import FleetCore

/// Reads trees by schema: what isn't as expected becomes a fault with its place, and nil.
struct SchemaReader {
    let faults: Faults

    /// A map whose keys are known.
    ///
    /// Unknown keys are faults; `later` ones are of the format but not of this version.
    struct Map {
        var tree: YAMLTree
        /// Where its own key stands: what is missing in it is reported there.
        var position: SourcePosition
        var name: String
        var faults: Faults

        subscript(_ key: String) -> YAMLTree? { tree[key] }

        func required(_ key: String, _ example: String) -> YAMLTree? {
            if let value = tree[key] { return value }
            faults.add(position, "\(name) has no \(key)", "write \(key): \(example)")
            return nil
        }
    }

    func map(
        _ tree: YAMLTree, at position: SourcePosition? = nil, _ name: String, keys: [String], later: Set<String> = []
    ) -> Map? {
        guard let entries = entries(tree, name) else { return nil }
        for entry in entries where !keys.contains(entry.key) {
            if later.contains(entry.key) {
                faults.add(entry.keyPosition, "\(entry.key) in \(name) is not supported by this version", "remove it")
            } else if case .scalar("", plain: true) = entry.value.content, !entry.key.contains(where: \.isLetter) {
                faults.add(
                    entry.keyPosition, "unknown key \(entry.key) in \(name)", "if it belongs to the value before it, write that in quotes")
            } else if let near = nearest(to: entry.key, in: keys) {
                faults.add(entry.keyPosition, "unknown key \(entry.key) in \(name)", "write \(near)")
            } else {
                faults.add(
                    entry.keyPosition, "unknown key \(entry.key) in \(name)",
                    keys.isEmpty ? "remove it; no key is known here" : "remove it; known here: \(keys.joined(separator: ", "))")
            }
        }
        return Map(tree: tree, position: position ?? tree.position, name: name, faults: faults)
    }

    /// A map whose keys are names or values of the user's own.
    func entries(_ tree: YAMLTree, _ name: String) -> [YAMLTree.Entry]? {
        switch tree.content {
        case .map(let entries): return entries
        case .refused: return nil
        default:
            faults.add(tree.position, "\(name) is \(tree.kind) where a map is expected", "write {} or key: value lines below it")
            return nil
        }
    }

    /// A map of things that have a name.
    func named(_ tree: YAMLTree, _ name: String) -> [YAMLTree.Entry] {
        (entries(tree, name) ?? []).filter { self.name($0.key, at: $0.keyPosition, "in \(name)") != nil }
    }

    func list(_ tree: YAMLTree, _ name: String) -> [YAMLTree]? {
        switch tree.content {
        case .list(let items): return items
        case .refused: return nil
        default:
            faults.add(tree.position, "\(name) is \(tree.kind) where a list is expected", "write [a, b]")
            return nil
        }
    }

    /// A list of texts, none of them twice when `unique`.
    func texts(_ tree: YAMLTree, _ name: String, unique: Bool = true) -> [(text: String, position: SourcePosition)]? {
        guard let items = list(tree, name) else { return nil }
        var seen: Set<String> = []
        return items.compactMap { item in
            guard let text = text(item, "an item of \(name)") else { return nil }
            if unique, !seen.insert(text).inserted {
                faults.add(item.position, "\(text) stands twice in \(name)", "write it once")
                return nil
            }
            return (text, item.position)
        }
    }

    /// Any text, `""` included; nothing at all is a fault.
    func text(_ tree: YAMLTree, _ name: String) -> String? {
        switch tree.content {
        case .scalar("", plain: true):
            faults.add(tree.position, "\(name) has no value", "write one, or remove the key")
            return nil
        case .scalar(let text, _): return text
        case .refused: return nil
        default:
            faults.add(tree.position, "\(name) is \(tree.kind) where a single value is expected", "write one value")
            return nil
        }
    }

    func name(_ tree: YAMLTree, _ name: String) -> String? {
        guard let text = text(tree, name) else { return nil }
        return self.name(text, at: tree.position, "for \(name)")
    }

    private func name(_ text: String, at position: SourcePosition, _ role: String) -> String? {
        if isValidName(text) { return text }
        faults.add(position, "'\(text)' \(role) is not a name", "write up to 63 letters, digits, -, _ or ., a letter or digit first")
        return nil
    }

    /// A name that must be one of `known`.
    func reference(_ tree: YAMLTree, _ name: String, to kind: String, in known: NameList) -> String? {
        guard let text = text(tree, name) else { return nil }
        return reference(text, at: tree.position, name, to: kind, in: known)
    }

    func reference(_ text: String, at position: SourcePosition, _ name: String, to kind: String, in known: NameList) -> String? {
        if known.contains(text) { return text }
        faults.add(position, "\(name) names the \(kind) \(text), which is not declared", choice(for: text, among: Array(known)))
        return nil
    }

    func oneOf(_ tree: YAMLTree, _ name: String, _ allowed: [String]) -> String? {
        guard let text = text(tree, name) else { return nil }
        if allowed.contains(text) { return text }
        faults.add(tree.position, "\(name) is \(text)", choice(for: text, among: allowed))
        return nil
    }

    /// A bare whole number.
    func count(_ tree: YAMLTree, _ name: String, _ range: ClosedRange<Int>) -> Int? {
        guard let text = text(tree, name) else { return nil }
        if text.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text), range.contains(value) { return value }
        faults.add(tree.position, "\(name) is \(text)", "write a number from \(range.lowerBound) to \(range.upperBound)")
        return nil
    }

    func cpus(_ tree: YAMLTree, _ name: String) -> CPUList? {
        guard let text = text(tree, name) else { return nil }
        if let list = CPUList(text) { return list }
        faults.add(tree.position, "\(name) is \(text), which is no list of CPUs below \(CPUList.limit)", "write 4-5 or 2,4-7")
        return nil
    }
}
