internal import FleetCore
internal import FleetWire

/// How a worker is set up, watched and looked at after its end, and what its host must be like.
extension HostPartBuilder {
    func describe(_ host: HostSpec, in part: inout WireHostPart) {
        part.sharedCpus = host.shared?.description ?? ""
        part.hugepages = host.hugepages.map(pages)
        part.diskFreeMin = host.diskFreeMin
        let expect = host.expect
        guard expect != ExpectationSpec() else { return }
        part.expect.cmdline = expect.cmdline
        part.expect.sysctl = expect.sysctl
        part.expect.governor = expect.governor ?? ""
        part.expect.irqbalance = word(expect.irqbalanceEnabled)
        part.expect.smt = word(expect.smtEnabled)
        part.expect.transparentHugepages = expect.transparentHugepages ?? ""
        part.expect.timeSource = expect.time?.source ?? ""
        part.expect.timeOffsetMaxNs = UInt64(expect.time?.offsetMax?.nanoseconds ?? 0)
        part.expect.timeVia = expect.time?.via ?? ""
        part.expect.timePhc = expect.time?.hardwareClock ?? ""
        part.expect.nics = expect.interfaces.mapValues { interface in
            var nic = WireExpectations.NIC()
            nic.driver = interface.driver ?? ""
            nic.irqCpus = interface.irqCPUs?.description ?? ""
            return nic
        }
        part.expect.onloadVersion = expect.onloadVersion ?? ""
    }

    private func word(_ enabled: Bool?) -> String {
        switch enabled {
        case true?: "enabled"
        case false?: "disabled"
        case nil: ""
        }
    }

    private func pages(_ count: HugepageCount) -> WireHugepageCount {
        var wire = WireHugepageCount()
        wire.node = Int32(count.node)
        wire.pageBytes = count.pageBytes
        wire.count = count.count
        return wire
    }

    func execution(_ execution: ExecutionSpec, in spec: inout WireWorkerSpec) {
        switch execution.scheduler {
        case .other?: spec.scheduler.policy = "other"
        case .batch?: spec.scheduler.policy = "batch"
        case .idle?: spec.scheduler.policy = "idle"
        case .fifo(let priority)?:
            spec.scheduler.policy = "fifo"
            spec.scheduler.priority = UInt32(priority)
        case .roundRobin(let priority)?:
            spec.scheduler.policy = "rr"
            spec.scheduler.priority = UInt32(priority)
        case nil: break
        }
        if let nice = execution.nice { spec.nice = Int32(nice) }
        if let adjustment = execution.oomScoreAdjustment { spec.oomScoreAdj = Int32(adjustment) }
        if let umask = execution.umask { spec.umask = "0" + String(umask, radix: 8) }
        spec.limits = execution.limits
        spec.capabilities = execution.capabilities
        switch execution.memory {
        case .bind(let nodes)?:
            spec.memory.mode = "bind"
            spec.memory.nodes = CPUList(nodes).description
        case .preferred(let node)?:
            spec.memory.mode = "preferred"
            spec.memory.nodes = "\(node)"
        case .interleave(let nodes)?:
            spec.memory.mode = "interleave"
            spec.memory.nodes = CPUList(nodes).description
        case .local?: spec.memory.mode = "local"
        case nil: break
        }
        spec.cgroup = execution.cgroup.rawValue
        spec.runSha256 = execution.digest ?? ""
        spec.writable = execution.writable
        spec.freeSpace = execution.freeSpace
    }

    func placement(_ cpus: CPUPlacement, in spec: inout WireWorkerSpec) {
        spec.exclusiveCpus = cpus.exclusive?.description ?? ""
        spec.helpers = cpus.helpers
        if let node = cpus.node { spec.node = Int32(node) }
        spec.threads = cpus.threads.mapValues { placement in
            switch placement {
            case .cpus(let cpus): cpus.description
            case .helpers: "helpers"
            }
        }
    }

    func release(_ release: ReleaseSpec, in spec: inout WireWorkerSpec) {
        spec.sockets = release.sockets.rawValue
        spec.lockFiles = release.lockFiles
        spec.workerPidFile = release.pidFile ?? ""
        spec.markerFile = release.markerFile ?? ""
        spec.hugepages = release.hugepages.map(pages)
        spec.hugepageMount = release.hugepageMount ?? ""
        spec.hugepageKeeps = release.hugepageKeeps
        spec.coreOnStop = release.coreDump.rawValue
    }

    func health(_ health: HealthSpec) -> WireHealthCheck {
        var wire = WireHealthCheck()
        switch health.how {
        case .http(let spec): wire.http = probe(spec)
        case .exec(let argv): wire.exec.argv = argv
        case .tcp(let address): wire.tcp = address
        }
        wire.everyNs = UInt64(health.every.nanoseconds)
        wire.timeoutNs = UInt64(health.timeout.nanoseconds)
        wire.failures = UInt32(health.failures)
        wire.successes = UInt32(health.successes)
        return wire
    }

    func retention(_ log: LogRetentionSpec) -> WireLogRetention {
        var wire = WireLogRetention()
        wire.keepNs = UInt64(log.keep?.nanoseconds ?? 0)
        wire.maxBytes = log.maxBytes ?? 0
        return wire
    }
}
