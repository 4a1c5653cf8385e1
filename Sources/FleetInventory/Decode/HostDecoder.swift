import FleetCore

/// Reads one host's tree, `like` worked in, into a `HostSpec`.
struct HostDecoder {
    static let keys = ["like", "address", "housekeeping", "shared", "hugepages", "expect", "disk"]
    /// The highest number of a NUMA node (the kernel's MAX_NUMNODES is 1024 at most).
    static let nodeMax = 1023

    let reader: SchemaReader

    private var faults: Faults { reader.faults }

    func decode(_ name: String, at position: SourcePosition, _ tree: YAMLTree) -> LocatedHost? {
        guard let map = reader.map(tree, at: position, "the host", keys: Self.keys) else { return nil }
        var host = HostSpec(name: HostName(name))
        host.address = map["address"].flatMap { reader.text($0, "address") }
        host.housekeeping = map["housekeeping"].flatMap { reader.cpus($0, "housekeeping") }
        host.shared = map["shared"].flatMap { reader.cpus($0, "shared") }
        host.hugepages = map["hugepages"].map { reader.hugepages($0, "hugepages") } ?? []
        host.expect = map["expect"].map { expect($0) } ?? ExpectationSpec()
        host.diskFreeMin = map["disk"].map { disk($0) } ?? [:]
        return LocatedHost(spec: host, position: position, tree: tree)
    }

    /// `{/var/lib/trd: {free_min: 200GiB}}`
    private func disk(_ tree: YAMLTree) -> [String: UInt64] {
        var free: [String: UInt64] = [:]
        for entry in reader.entries(tree, "disk") ?? [] {
            guard entry.key.hasPrefix("/") else {
                faults.add(entry.keyPosition, "'\(entry.key)' in disk is no absolute path", "write /\(entry.key)")
                continue
            }
            guard let map = reader.map(entry.value, at: entry.keyPosition, "disk.\(entry.key)", keys: ["free_min"]),
                let least = map.required("free_min", "50GiB").flatMap({ reader.bytes($0, "free_min", atLeast: 1) })
            else { continue }
            free[entry.key] = least
        }
        return free
    }

    // MARK: How it must be set up

    private static let expectations = [
        "cmdline", "sysctl", "governor", "irqbalance", "smt", "transparent_hugepages", "time", "nic", "onload",
    ]
    private static let governors = ["performance", "powersave", "schedutil", "ondemand", "conservative", "userspace"]

    private func expect(_ tree: YAMLTree) -> ExpectationSpec {
        var spec = ExpectationSpec()
        guard let map = reader.map(tree, "expect", keys: Self.expectations) else { return spec }
        for word in map["cmdline"].flatMap({ reader.texts($0, "expect.cmdline") }) ?? [] {
            if word.text.isEmpty || word.text.contains(where: \.isWhitespace) {
                faults.add(word.position, "'\(word.text)' in expect.cmdline is not one word", "write each word of the kernel command line by itself")
            } else {
                spec.cmdline.append(word.text)
            }
        }
        for entry in map["sysctl"].flatMap({ reader.entries($0, "expect.sysctl") }) ?? [] {
            guard sysctl(entry), let value = reader.text(entry.value, "expect.sysctl.\(entry.key)") else { continue }
            spec.sysctl[entry.key] = value
        }
        spec.governor = map["governor"].flatMap { reader.oneOf($0, "expect.governor", Self.governors) }
        spec.irqbalanceEnabled = map["irqbalance"].flatMap { reader.oneOf($0, "expect.irqbalance", ["enabled", "disabled"]) }.map { $0 == "enabled" }
        spec.smtEnabled = map["smt"].flatMap { reader.oneOf($0, "expect.smt", ["enabled", "disabled"]) }.map { $0 == "enabled" }
        spec.transparentHugepages = map["transparent_hugepages"].flatMap {
            reader.oneOf($0, "expect.transparent_hugepages", ["always", "madvise", "never"])
        }
        spec.time = map["time"].flatMap(time)
        spec.interfaces = map["nic"].map { interfaces($0) } ?? [:]
        if let onload = map["onload"], let onload = reader.map(onload, "expect.onload", keys: ["version"]) {
            spec.onloadVersion = onload["version"].flatMap { reader.text($0, "expect.onload.version") }
        }
        return spec
    }

    /// Dotted, as sysctl(8) writes it; it becomes a path below /proc/sys, so nothing may climb out of there.
    private func sysctl(_ entry: YAMLTree.Entry) -> Bool {
        let parts = entry.key.split(separator: ".", omittingEmptySubsequences: false)
        let valid = parts.allSatisfy { part in
            !part.isEmpty
                && part.utf8.allSatisfy { byte in
                    (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || byte == 95 || byte == 45
                }
        }
        if valid, parts.count > 1 { return true }
        let dotted = String(entry.key.map { $0 == "/" ? "." : $0 })
        faults.add(
            entry.keyPosition, "'\(entry.key)' in expect.sysctl is no name of a kernel parameter",
            dotted != entry.key ? "write \(dotted)" : "write it with its dots: kernel.numa_balancing")
        return false
    }

    private func time(_ tree: YAMLTree) -> ExpectationSpec.Time? {
        guard let map = reader.map(tree, "expect.time", keys: ["source", "offset_max", "via", "phc"]), map.tree.entries?.isEmpty == false else { return nil }
        var time = ExpectationSpec.Time()
        time.source = map["source"].flatMap { reader.oneOf($0, "expect.time.source", ["ptp", "ntp", "any"]) }
        time.offsetMax = map["offset_max"].flatMap { reader.duration($0, "expect.time.offset_max", atLeast: .microseconds(1)) }
        if let via = map["via"], let text = reader.text(via, "expect.time.via") {
            if text.hasPrefix("chronyc:/") {
                time.via = text
            } else {
                faults.add(via.position, "expect.time.via is \(text)", "write \"chronyc:/run/chrony/chronyd.sock\", or remove it: the kernel is asked then")
            }
        }
        time.hardwareClock = map["phc"].flatMap { interface($0) }
        return time
    }

    private func interfaces(_ tree: YAMLTree) -> [String: ExpectationSpec.Interface] {
        var interfaces: [String: ExpectationSpec.Interface] = [:]
        for entry in reader.entries(tree, "expect.nic") ?? [] {
            guard interface(entry.key, at: entry.keyPosition) != nil,
                let map = reader.map(entry.value, at: entry.keyPosition, "expect.nic.\(entry.key)", keys: ["driver", "irq_cpus"])
            else { continue }
            interfaces[entry.key] = ExpectationSpec.Interface(
                driver: map["driver"].flatMap { reader.name($0, "expect.nic.\(entry.key).driver") },
                irqCPUs: map["irq_cpus"].flatMap { reader.cpus($0, "expect.nic.\(entry.key).irq_cpus") })
        }
        return interfaces
    }

    private func interface(_ tree: YAMLTree) -> String? {
        reader.text(tree, "expect.time.phc").flatMap { interface($0, at: tree.position) }
    }

    /// IFNAMSIZ leaves 15 bytes; neither spaces nor slashes (netdevice(7), the kernel's dev_valid_name).
    private func interface(_ text: String, at position: SourcePosition) -> String? {
        if (1...15).contains(text.utf8.count), text != ".", text != "..", !text.contains(where: { $0.isWhitespace || $0 == "/" || $0 == ":" }) { return text }
        faults.add(position, "'\(text)' is no name of a network interface", "write one as ip link shows it: ens1f0")
        return nil
    }
}

/// A decoded host with the places that rules report at.
struct LocatedHost {
    var spec: HostSpec
    var position: SourcePosition
    var tree: YAMLTree

    func place(_ keys: String...) -> SourcePosition {
        var tree: YAMLTree? = tree
        for key in keys { tree = tree?[key] }
        return tree?.position ?? position
    }
}
