internal import FleetAPI
internal import FleetCore
internal import FleetTrust
internal import FleetWire

/// Status: every host's last word with its age. What is not known is called unknown (law 6).
extension Coordinator {
    func fleetStatus() -> APIFleetStatus {
        let time = now()
        var status = APIFleetStatus()
        status.fleet = inventory.fleet.raw
        status.unixUs = time.unixMicroseconds
        status.coordinator = settings.name.raw
        status.inventoryDigest = inventory.digest
        status.timezone = inventory.timezone
        status.tiers = inventory.tiers.map(\.name.raw)
        status.hosts = inventory.hosts.map { hostStatus($0.name, time.boot) }
        status.dependencies = inventory.dependencies.map { dependencyStatus($0, time.boot) }
        status.streams = inventory.streams.flatMap { stream in stream.to.map { streamStatus(stream, $0, time.boot) } }
        status.latches = table.inForce.map { WireLatch($0) }
        status.storeID = storeID
        status.storeKey = storeKey?.publicText ?? ""
        status.epoch = epoch
        status.relay = settings.relay
        status.activeRuns = runs.values.filter { [.active, .blocked].contains($0.api.state) }.map(\.api).sorted { $0.id < $1.id }
        status.needsAPerson = needs(time)
        status.alerts = alerts?.status() ?? []
        return status
    }

    private func hostStatus(_ name: HostName, _ time: BootTime) -> APIHostStatus {
        var status = APIHostStatus()
        status.host = name.raw
        let services = inventory.services.filter { $0.hosts.contains(name) }
        status.declared = services.map(\.name.raw)
        status.declaredTiers = Dictionary(uniqueKeysWithValues: services.map { ($0.name.raw, $0.tier.raw) })
        guard let host = hosts[name] else { return status }
        status.known = host.isKnown(now: time, bound: settings.reportBound)
        status.ever = host.reportAt != nil
        status.restricted = table.session(name)?.isRestricted ?? false
        status.refuses = host.refuses ?? ""
        if let last = host.lastWordAt { status.ageNs = UInt64(max(0, (time - last).nanoseconds)) }
        if let report = host.report { status.report = report }
        if !status.known {
            status.whyUnknown = host.connected && host.watch.contested == nil ? "connected, but it does not report" : host.whyUnknown
        }
        return status
    }

    private func dependencyStatus(_ spec: DependencySpec, _ time: BootTime) -> APIDependencyStatus {
        var status = APIDependencyStatus()
        status.name = spec.name
        status.host = spec.host.raw
        guard let host = hosts[spec.host], host.isKnown(now: time, bound: settings.reportBound),
            let report = host.report?.dependencies.first(where: { $0.name == spec.name })
        else { return status }
        status.known = true
        status.report = report
        status.ageNs = age(of: report.atBoottimeNs, on: host, time)
        return status
    }

    /// How old a reading is by now: its age when it was reported, and the time since.
    func age(of reading: UInt64, on host: HostRecord, _ time: BootTime) -> UInt64 {
        guard let report = host.report, let at = host.reportAt else { return .max }
        let then = report.boottimeNs > reading ? report.boottimeNs - reading : 0
        let (age, overflow) = then.addingReportingOverflow(UInt64(max(0, (time - at).nanoseconds)))
        return overflow ? .max : age
    }

    private func streamStatus(_ stream: StreamSpec, _ consumer: ConsumerSpec, _ time: BootTime) -> APIStreamStatus {
        var oldest: UInt64 = 0
        func known(_ name: HostName) -> HostRecord? {
            hosts[name].flatMap { $0.isKnown(now: time, bound: settings.reportBound) ? $0 : nil }
        }
        var reading: StreamReading?
        if case .redis(let name, _, _) = stream.via, let host = known(name),
            let wire = host.report?.streams.first(where: { $0.stream == stream.name.raw && $0.consumer == consumer.service.raw })
        {
            oldest = age(of: wire.atBoottimeNs, on: host, time)
            reading = StreamReading(wire, host: name)
        }
        var evidence = RunEvidence()
        for worker in (stream.from + [consumer.service]).flatMap(inventory.workers(of:)) {
            guard let host = known(worker.host), let report = host.worker(worker.service) else { continue }
            let figures = report.counters.filter(\.value.known)
            evidence.snapshots[worker] = figures.mapValues(\.value)
            if report.hasRecent { evidence.launches[worker] = LaunchHistory(report.recent) }
            for figure in figures.values { oldest = max(oldest, age(of: figure.atBoottimeNs, on: host, time)) }
        }
        let flow = StreamFlow(stream, consumer, inventory, since: book.openings[stream.name], reading: reading, evidence)
        var status = APIStreamStatus()
        status.stream = stream.name.raw
        status.consumer = consumer.service.raw
        status.produced = WireFigure(flow.produced)
        status.applied = WireFigure(flow.applied)
        status.inFlight = WireFigure(flow.inFlight)
        status.buffered = WireFigure(flow.buffered)
        status.balance = flow.balance.description
        status.ageNs = oldest
        return status
    }
}
