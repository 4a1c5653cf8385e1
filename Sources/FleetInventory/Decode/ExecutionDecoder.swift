import FleetCore

/// Reads how a worker's process is set up before its program runs.
struct ExecutionDecoder {
    static let keys = [
        "scheduler", "nice", "oom_score_adj", "umask", "limits", "capabilities", "memory", "cgroup", "run_sha256", "writable", "free",
    ]

    let reader: SchemaReader
    let substitution: Substitution

    private var faults: Faults { reader.faults }

    func decode(_ map: SchemaReader.Map) -> ExecutionSpec {
        var spec = ExecutionSpec()
        spec.scheduler = map["scheduler"].flatMap(scheduler)
        spec.nice = map["nice"].flatMap { signed($0, "nice", -20...19) }
        spec.oomScoreAdjustment = map["oom_score_adj"].flatMap { signed($0, "oom_score_adj", -1000...1000) }
        spec.umask = map["umask"].flatMap(umask)
        spec.limits = map["limits"].map { limits($0) } ?? [:]
        spec.capabilities = map["capabilities"].map { capabilities($0) } ?? []
        spec.memory = map["memory"].flatMap(memory)
        spec.cgroup = map["cgroup"].flatMap(cgroup) ?? .killOnly
        spec.digest = map["run_sha256"].flatMap(digest)
        spec.writable = reader.paths(map["writable"], "writable", substitution)
        for entry in map["free"].flatMap({ reader.entries($0, "free") }) ?? [] {
            guard let path = reader.path(entry.key, at: entry.keyPosition, "free"),
                let bytes = reader.bytes(entry.value, "free.\(entry.key)", atLeast: 1)
            else { continue }
            spec.freeSpace[substitution.apply(path, at: entry.keyPosition)] = bytes
        }
        return spec
    }

    // MARK: Scheduling

    /// `other`, `batch`, `idle`, or a map with the one real-time policy and its priority.
    private func scheduler(_ tree: YAMLTree) -> ExecutionSpec.Scheduler? {
        guard case .map(let entries) = tree.content else {
            if case .scalar(let text, _) = tree.content, ["fifo", "rr"].contains(text) {
                faults.add(tree.position, "scheduler is \(text) without a priority", "write {\(text): 50}, from 1 to 99")
                return nil
            }
            switch reader.oneOf(tree, "scheduler", ["other", "batch", "idle"]) {
            case "other": return .other
            case "batch": return .batch
            case "idle": return .idle
            default: return nil
            }
        }
        guard let map = reader.map(tree, "scheduler", keys: ["fifo", "rr"]), !entries.isEmpty else { return nil }
        switch (map["fifo"], map["rr"]) {
        case (let fifo?, nil): return reader.count(fifo, "scheduler.fifo", 1...99).map { .fifo($0) }
        case (nil, let rr?): return reader.count(rr, "scheduler.rr", 1...99).map { .roundRobin($0) }
        case (_?, let rr?):
            faults.add(rr.position, "scheduler says two ways", "write either fifo or rr")
            return nil
        case (nil, nil): return nil
        }
    }

    private func signed(_ tree: YAMLTree, _ name: String, _ range: ClosedRange<Int>) -> Int? {
        guard let text = reader.text(tree, name) else { return nil }
        let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
        if !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text), range.contains(value) { return value }
        faults.add(tree.position, "\(name) is \(text)", "write a number from \(range.lowerBound) to \(range.upperBound)")
        return nil
    }

    /// Octal digits, as umask(1) takes them: never YAML's idea of a number with leading zeros.
    private func umask(_ tree: YAMLTree) -> UInt32? {
        guard let text = reader.text(tree, "umask") else { return nil }
        if (3...4).contains(text.utf8.count), let value = UInt32(text, radix: 8), value <= 0o777, text.utf8.allSatisfy({ (48...55).contains($0) }) {
            return value
        }
        faults.add(tree.position, "umask is \(text), which is no file mode", "write three or four octal digits: \"0027\"")
        return nil
    }

    // MARK: Limits

    /// What a limit counts (getrlimit(2)).
    private enum Unit {
        case bytes
        case count(ClosedRange<Int>)
        case seconds
        case microseconds
    }

    /// Names as in prlimit(1).
    private static let limits: [(name: String, unit: Unit)] = [
        ("as", .bytes), ("core", .bytes), ("cpu", .seconds), ("data", .bytes), ("fsize", .bytes), ("locks", .count(0...Int(Int32.max))),
        ("memlock", .bytes), ("msgqueue", .bytes), ("nice", .count(0...40)), ("nofile", .count(16...1_073_741_816)),
        ("nproc", .count(0...4_194_304)), ("rss", .bytes), ("rtprio", .count(0...99)), ("rttime", .microseconds),
        ("sigpending", .count(0...Int(Int32.max))), ("stack", .bytes),
    ]

    private func limits(_ tree: YAMLTree) -> [String: UInt64] {
        guard let map = reader.map(tree, "limits", keys: Self.limits.map(\.name)) else { return [:] }
        var limits: [String: UInt64] = [:]
        for (name, unit) in Self.limits {
            guard let value = map[name] else { continue }
            limits[name] = limit(value, "limits.\(name)", unit)
        }
        return limits
    }

    private func limit(_ tree: YAMLTree, _ name: String, _ unit: Unit) -> UInt64? {
        if case .scalar("unlimited", _) = tree.content { return ExecutionSpec.unlimited }
        switch unit {
        case .bytes:
            // No bytes at all need no unit to be understood: `core: 0`.
            if case .scalar("0", _) = tree.content { return 0 }
            return reader.bytes(tree, name)
        case .count(let range):
            guard let text = reader.text(tree, name) else { return nil }
            if text.utf8.allSatisfy({ (48...57).contains($0) }), let value = Int(text), range.contains(value) { return UInt64(value) }
            faults.add(tree.position, "\(name) is \(text)", "write a number from \(range.lowerBound) to \(range.upperBound), or unlimited")
            return nil
        case .seconds: return reader.duration(tree, name, atLeast: .seconds(1)).map { UInt64($0.nanoseconds / 1_000_000_000) }
        case .microseconds: return reader.duration(tree, name, atLeast: .microseconds(1)).map { UInt64($0.nanoseconds / 1_000) }
        }
    }

    /// A limit as this format writes it.
    static func text(ofLimit name: String, _ value: UInt64) -> String {
        if value == ExecutionSpec.unlimited { return "unlimited" }
        switch limits.first(where: { $0.name == name })?.unit {
        case .bytes?: return SchemaReader.text(ofBytes: value)
        case .seconds?: return SchemaReader.text(of: .seconds(Int64(clamping: value)))
        case .microseconds?: return SchemaReader.text(of: .microseconds(Int64(clamping: value)))
        case .count?, nil: return "\(value)"
        }
    }

    // MARK: Capabilities, memory, cgroup

    /// capabilities(7), as of Linux 6.18. None is refused here: what a host grants is in its own settings.
    private static let capabilities = [
        "audit_control", "audit_read", "audit_write", "block_suspend", "bpf", "checkpoint_restore", "chown", "dac_override",
        "dac_read_search", "fowner", "fsetid", "ipc_lock", "ipc_owner", "kill", "lease", "linux_immutable", "mac_admin", "mac_override",
        "mknod", "net_admin", "net_bind_service", "net_broadcast", "net_raw", "perfmon", "setfcap", "setgid", "setpcap", "setuid",
        "sys_admin", "sys_boot", "sys_chroot", "sys_module", "sys_nice", "sys_pacct", "sys_ptrace", "sys_rawio", "sys_resource",
        "sys_time", "sys_tty_config", "syslog", "wake_alarm",
    ]

    private func capabilities(_ tree: YAMLTree) -> [String] {
        (reader.texts(tree, "capabilities") ?? []).compactMap { item in
            if Self.capabilities.contains(item.text) { return item.text }
            let lower = item.text.lowercased()
            let bare = lower.hasPrefix("cap_") ? String(lower.dropFirst(4)) : lower
            faults.add(
                item.position, "\(item.text) in capabilities is no capability",
                nearest(to: bare, in: Self.capabilities).map { "write \($0)" } ?? "write one of capabilities(7), in lower case and without cap_: net_raw")
            return nil
        }
    }

    private func memory(_ tree: YAMLTree) -> ExecutionSpec.MemoryPolicy? {
        guard case .map(let entries) = tree.content else {
            return reader.oneOf(tree, "memory", ["local"]) == nil ? nil : .local
        }
        guard let map = reader.map(tree, "memory", keys: ["bind", "preferred", "interleave"]), !entries.isEmpty else { return nil }
        let ways = ["bind", "preferred", "interleave"].compactMap { map.tree.entry($0) }
        guard let way = ways.first else { return nil }
        if ways.count > 1 {
            faults.add(ways[1].keyPosition, "memory says \(ways.count) ways", "write one of bind, preferred and interleave")
            return nil
        }
        switch way.key {
        case "bind": return nodes(way.value, "memory.bind").map { .bind($0) }
        case "interleave": return nodes(way.value, "memory.interleave").map { .interleave($0) }
        default: return reader.count(way.value, "memory.preferred", 0...HostDecoder.nodeMax).map { .preferred($0) }
        }
    }

    private func nodes(_ tree: YAMLTree, _ name: String) -> [Int]? {
        guard let text = reader.text(tree, name) else { return nil }
        if let list = CPUList(text), !list.isEmpty, list.cpus.allSatisfy({ $0 <= HostDecoder.nodeMax }) { return list.cpus }
        faults.add(tree.position, "\(name) is \(text), which is no list of NUMA nodes", "write 0-1 or \"0,2\"")
        return nil
    }

    private func cgroup(_ tree: YAMLTree) -> ExecutionSpec.Cgroup? {
        if case .map = tree.content {
            // Controllers cost the hot path; none is switched on by this version.
            _ = reader.map(tree, "cgroup", keys: [], later: ["memory_max", "memory_high", "cpu_max", "cpu_weight", "io_max", "pids_max"])
            return nil
        }
        return reader.oneOf(tree, "cgroup", ["none", "kill-only"]).flatMap { ExecutionSpec.Cgroup(rawValue: $0) }
    }

    private func digest(_ tree: YAMLTree) -> String? {
        guard let text = reader.text(tree, "run_sha256") else { return nil }
        if text.utf8.count == 64, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) { return text }
        faults.add(tree.position, "run_sha256 is no SHA-256", "write 64 lower-case hex digits, as sha256sum prints them")
        return nil
    }
}
