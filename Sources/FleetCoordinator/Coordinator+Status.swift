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
        status.declared = inventory.services.filter { $0.hosts.contains(name) }.map(\.name.raw)
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
    private func age(of reading: UInt64, on host: HostRecord, _ time: BootTime) -> UInt64 {
        guard let report = host.report, let at = host.reportAt else { return .max }
        let then = report.boottimeNs > reading ? report.boottimeNs - reading : 0
        let (age, overflow) = then.addingReportingOverflow(UInt64(max(0, (time - at).nanoseconds)))
        return overflow ? .max : age
    }

    private func streamStatus(_ stream: StreamSpec, _ consumer: ConsumerSpec, _ time: BootTime) -> APIStreamStatus {
        var status = APIStreamStatus()
        status.stream = stream.name.raw
        status.consumer = consumer.service.raw
        var oldest: UInt64 = 0
        func sum(_ counter: String?, _ services: [ServiceName]) -> WireFigure {
            var total = WireFigure()
            guard let counter else { return total }
            total.known = true
            total.evidence = .reported
            for service in services {
                for name in inventory.service(service)?.hosts ?? [] {
                    guard let host = hosts[name], host.isKnown(now: time, bound: settings.reportBound),
                        let figure = host.worker(service)?.counters[counter], figure.known
                    else {
                        total.known = false
                        total.whyUnknown = "\(service)@\(name) has not said \(counter)"
                        continue
                    }
                    let (sum, overflow) = total.value.addingReportingOverflow(figure.value)
                    guard !overflow else {
                        total.known = false
                        total.whyUnknown = "\(counter) of all hosts together is beyond what can be counted"
                        continue
                    }
                    total.value = sum
                    oldest = max(oldest, age(of: figure.atBoottimeNs, on: host, time))
                }
            }
            return total
        }
        status.produced = sum(stream.produced, stream.from)
        switch consumer.applied {
        case .counter(let name): status.applied = sum(name, [consumer.service])
        case .sqlite, .questdb: status.applied = sum("applied", [consumer.service])
        case nil: break
        }
        // What is unread and no longer in the stream is lost, whatever the counts come to.
        var trimmed: Int64?
        if case .redis(let name, _, _) = stream.via, let host = hosts[name], host.isKnown(now: time, bound: settings.reportBound),
            let reading = host.report?.streams.first(where: { $0.stream == stream.name.raw && $0.consumer == consumer.service.raw })
        {
            oldest = max(oldest, age(of: reading.atBoottimeNs, on: host, time))
            status.inFlight = measured(reading.pending, reading.known && reading.groupExists, reading.whyUnknown)
            status.buffered = measured(reading.lag, reading.known && reading.lagKnown, reading.known ? "Redis can't tell" : reading.whyUnknown)
            if consumer.policy != .discard, status.buffered.known, reading.lag > reading.length { trimmed = reading.lag - reading.length }
            if consumer.applied == nil {
                let acknowledged = reading.entriesRead.subtractingReportingOverflow(reading.pending).partialValue
                status.applied = measured(acknowledged, reading.known && reading.entriesReadKnown, reading.whyUnknown)
            }
        }
        status.ageNs = oldest
        let isMeasured = stream.produced != nil && (consumer.applied != nil || stream.via != .direct)
        status.balance = isMeasured ? balance(status, direct: stream.via == .direct) : "not counted"
        if let trimmed { status.balance = "SHORT \(trimmed)" }
        return status
    }

    private func measured(_ value: Int64, _ known: Bool, _ why: String) -> WireFigure {
        var figure = WireFigure()
        figure.known = known
        figure.value = known ? value : 0
        figure.evidence = known ? .measured : .unknown
        figure.whyUnknown = known ? "" : why
        return figure
    }

    /// While data flows the figures are not of one instant: only what must always hold is checked.
    private func balance(_ status: APIStreamStatus, direct: Bool) -> String {
        guard status.produced.known, status.applied.known, direct || (status.inFlight.known && status.buffered.known) else { return "UNKNOWN" }
        if status.produced.value == Bounded.sum([status.applied.value, status.inFlight.value, status.buffered.value]) { return "exact" }
        return "flowing"
    }
}
