internal import FleetCore
internal import FleetWire

/// From the wire's words to FleetCore's. A word that this agent does not know reads as nothing declared.
extension WorkerDeclaration {
    static func execution(_ wire: WireWorkerSpec) -> ExecutionSpec {
        var spec = ExecutionSpec()
        let priority = Int(clamping: wire.scheduler.priority)
        switch wire.scheduler.policy {
        case "other": spec.scheduler = .other
        case "batch": spec.scheduler = .batch
        case "idle": spec.scheduler = .idle
        case "fifo" where (1...99).contains(priority): spec.scheduler = .fifo(priority)
        case "rr" where (1...99).contains(priority): spec.scheduler = .roundRobin(priority)
        default: break
        }
        if wire.hasNice { spec.nice = Int(wire.nice) }
        if wire.hasOomScoreAdj { spec.oomScoreAdjustment = Int(wire.oomScoreAdj) }
        spec.umask = UInt32(wire.umask, radix: 8).flatMap { $0 <= 0o777 ? $0 : nil }
        spec.limits = wire.limits
        spec.capabilities = wire.capabilities
        spec.memory = memory(wire.memory)
        spec.cgroup = ExecutionSpec.Cgroup(rawValue: wire.cgroup) ?? .killOnly
        spec.digest = text(wire.runSha256)
        spec.writable = wire.writable
        spec.freeSpace = wire.freeSpace
        return spec
    }

    private static func memory(_ wire: WireMemoryPolicy) -> ExecutionSpec.MemoryPolicy? {
        // Nodes are numbered and written as CPUs are.
        let nodes = CPUList(wire.nodes)?.cpus ?? []
        return switch wire.mode {
        case "local": .local
        case "bind" where !nodes.isEmpty: .bind(nodes)
        case "interleave" where !nodes.isEmpty: .interleave(nodes)
        case "preferred": nodes.first.map { .preferred($0) }
        default: nil
        }
    }

    static func placement(_ wire: WireWorkerSpec) -> CPUPlacement {
        var placement = CPUPlacement(exclusive: cpus(wire.exclusiveCpus), helpers: wire.helpers)
        placement.node = wire.hasNode ? Int(wire.node) : nil
        placement.threads = wire.threads.compactMapValues { text in
            text == "helpers" ? .helpers : cpus(text).map { .cpus($0) }
        }
        return placement
    }

    static func release(_ wire: WireWorkerSpec) -> ReleaseSpec {
        var spec = ReleaseSpec()
        // An unknown word must not make sockets count as looked at: what the kernel can't list is unknown.
        spec.sockets = wire.sockets.isEmpty ? .kernel : ReleaseSpec.Sockets(rawValue: wire.sockets) ?? .onload
        spec.lockFiles = wire.lockFiles
        spec.pidFile = text(wire.workerPidFile)
        spec.markerFile = text(wire.markerFile)
        spec.hugepages = wire.hugepages.map(pages)
        spec.hugepageMount = text(wire.hugepageMount)
        spec.hugepageKeeps = wire.hugepageKeeps
        spec.coreDump = ReleaseSpec.CoreDump(rawValue: wire.coreOnStop) ?? .wait
        return spec
    }

    /// nil: a way that this agent does not know.
    static func health(_ wire: WireHealthCheck) -> HealthSpec? {
        let how: HealthSpec.How
        switch wire.how {
        case .http(let probe): how = .http(Self.probe(probe))
        case .exec(let call): how = .exec(call.argv)
        case .tcp(let address): how = .tcp(address)
        case nil: return nil
        }
        var spec = HealthSpec(how: how)
        if wire.everyNs > 0 { spec.every = duration(wire.everyNs) }
        if wire.timeoutNs > 0 { spec.timeout = duration(wire.timeoutNs) }
        if wire.failures > 0 { spec.failures = Int(clamping: wire.failures) }
        if wire.successes > 0 { spec.successes = Int(clamping: wire.successes) }
        return spec
    }

    static func retention(_ wire: WireLogRetention) -> LogRetentionSpec {
        LogRetentionSpec(keep: wire.keepNs > 0 ? duration(wire.keepNs) : nil, maxBytes: wire.maxBytes > 0 ? wire.maxBytes : nil)
    }

    static func pages(_ wire: WireHugepageCount) -> HugepageCount {
        HugepageCount(node: Int(wire.node), pageBytes: wire.pageBytes, count: wire.count)
    }

    static func text(_ text: String) -> String? { text.isEmpty ? nil : text }

    static func cpus(_ text: String) -> CPUList? { CPUList(text).flatMap { $0.isEmpty ? nil : $0 } }
}
