import FleetCore

/// Reads what a worker holds while it runs and what must be left, or not left, after its end.
struct ReleaseDecoder {
    static let keys = ["sockets", "hugepages", "lock_files", "pid_file", "marker", "core"]

    let reader: SchemaReader
    let substitution: Substitution

    private var faults: Faults { reader.faults }

    func decode(_ map: SchemaReader.Map) -> ReleaseSpec {
        var spec = ReleaseSpec()
        spec.sockets =
            map["sockets"].flatMap { reader.oneOf($0, "sockets", ["kernel", "onload", "none"]) }.flatMap { ReleaseSpec.Sockets(rawValue: $0) }
            ?? spec.sockets
        spec.lockFiles = reader.paths(map["lock_files"], "lock_files", substitution)
        spec.pidFile = map["pid_file"].flatMap { path($0, "pid_file") }
        if let marker = map["marker"], let marker = reader.map(marker, "marker", keys: ["file"]) {
            spec.markerFile = marker["file"].flatMap { path($0, "marker.file") }
        }
        if let core = map["core"], let core = reader.map(core, "core", keys: ["on_stop"], later: ["keep", "takeover"]) {
            spec.coreDump =
                core["on_stop"].flatMap { reader.oneOf($0, "core.on_stop", ["wait", "kill-dump"]) }.flatMap { ReleaseSpec.CoreDump(rawValue: $0) }
                ?? spec.coreDump
        }
        if let pages = map["hugepages"] { hugepages(pages, &spec) }
        return spec
    }

    private func path(_ tree: YAMLTree, _ name: String) -> String? {
        reader.path(tree, name).map { substitution.apply($0, at: tree.position) }
    }

    private func hugepages(_ tree: YAMLTree, _ spec: inout ReleaseSpec) {
        spec.hugepages = reader.hugepages(tree, "hugepages", others: ["mount", "keeps"])
        spec.hugepageMount = tree["mount"].flatMap { path($0, "hugepages.mount") }
        guard let keeps = tree.entry("keeps"), let patterns = reader.texts(keeps.value, "hugepages.keeps") else { return }
        for pattern in patterns {
            if pattern.text.isEmpty || pattern.text.contains("/") {
                faults.add(pattern.position, "'\(pattern.text)' in hugepages.keeps is no file name", "write a pattern of names below mount: rtemap_*")
            } else {
                spec.hugepageKeeps.append(substitution.apply(pattern.text, at: pattern.position))
            }
        }
        if tree["mount"] == nil {
            faults.add(keeps.keyPosition, "hugepages.keeps without a mount", "write mount: /dev/hugepages, where these files are")
        }
    }
}

extension SchemaReader {
    /// The page sizes of x86-64.
    private static let pageSizes: [(text: String, bytes: UInt64)] = [("2MiB", 2 << 20), ("1GiB", 1 << 30)]

    /// `{node0: {1GiB: 4, 2MiB: 512}}`; `others`: what may stand beside the nodes.
    func hugepages(_ tree: YAMLTree, _ name: String, others: [String] = []) -> [HugepageCount] {
        guard let entries = entries(tree, name) else { return [] }
        var counts: [HugepageCount] = []
        for entry in entries where !others.contains(entry.key) {
            guard let node = Self.node(entry.key) else {
                let instead = others.isEmpty ? "write node0: {2MiB: 512}" : "write node0: {2MiB: 512}; else known here: \(others.joined(separator: ", "))"
                faults.add(
                    entry.keyPosition, "unknown key \(entry.key) in \(name)", nearest(to: entry.key, in: ["node0"] + others).map { "write \($0)" } ?? instead)
                continue
            }
            for size in self.entries(entry.value, "\(name).\(entry.key)") ?? [] {
                guard let bytes = Self.pageSizes.first(where: { $0.text == size.key })?.bytes else {
                    let instead = nearest(to: size.key, in: Self.pageSizes.map(\.text)).map { "write \($0)" } ?? "write 2MiB or 1GiB"
                    faults.add(size.keyPosition, "\(size.key) in \(name).\(entry.key) is no size of a hugepage", instead)
                    continue
                }
                guard let count = count(size.value, "\(name).\(entry.key).\(size.key)", 0...16_777_216) else { continue }
                if count > 0 { counts.append(HugepageCount(node: node, pageBytes: bytes, count: UInt64(count))) }
            }
        }
        return counts.sorted { ($0.node, $0.pageBytes) < ($1.node, $1.pageBytes) }
    }

    /// `node0` as 0.
    static func node(_ key: String) -> Int? {
        guard key.hasPrefix("node"), let node = Int(key.dropFirst(4)), (0...HostDecoder.nodeMax).contains(node), "node\(node)" == key else { return nil }
        return node
    }
}
