internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import LinuxHost

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
        status.latches = table.book.inForce.map { WireLatch($0) }
        status.activeRuns = runs.values.filter { [.active, .blocked].contains($0.api.state) }.map(\.api).sorted { $0.id < $1.id }
        status.needsAPerson = needs(time.boot)
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
        status.restricted = host.restricted
        if let last = host.lastWordAt { status.ageNs = UInt64(max(0, (time - last).nanoseconds)) }
        if let report = host.report { status.report = report }
        if !status.known { status.whyUnknown = host.connected ? "connected, but it does not report" : host.whyUnknown }
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
        return then + UInt64(max(0, (time - at).nanoseconds))
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
                    total.value += figure.value
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
        if case .redis(let name, _, _) = stream.via, let host = hosts[name], host.isKnown(now: time, bound: settings.reportBound),
            let reading = host.report?.streams.first(where: { $0.stream == stream.name.raw && $0.consumer == consumer.service.raw })
        {
            oldest = max(oldest, age(of: reading.atBoottimeNs, on: host, time))
            status.inFlight = measured(reading.pending, reading.known && reading.groupExists, reading.whyUnknown)
            status.buffered = measured(reading.lag, reading.known && reading.lagKnown, reading.known ? "Redis can't tell" : reading.whyUnknown)
            if consumer.applied == nil {
                let acknowledged = reading.entriesRead - reading.pending
                status.applied = measured(acknowledged, reading.known && reading.entriesReadKnown, reading.whyUnknown)
            }
        }
        status.ageNs = oldest
        status.balance = balance(status, direct: stream.via == .direct)
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
        if status.produced.value == status.applied.value + status.inFlight.value + status.buffered.value { return "exact" }
        return "flowing"
    }

    private func paged(_ event: AlertSpec.Event, _ subject: String) -> String { alerts?.paged(event, subject) ?? "" }

    private func needs(_ time: BootTime) -> [String] {
        var lines: [String] = []
        for spec in inventory.hosts {
            guard let host = hosts[spec.name] else { continue }
            guard host.isKnown(now: time, bound: settings.reportBound) else {
                let since = host.lastWordAt.map { "no word for \((time - $0).words)" } ?? "has never reported"
                lines.append("! \(spec.name): \(since) (\(host.whyUnknown)). Its workers may be running.\(paged(.unknownHost, spec.name.raw))")
                continue
            }
            for worker in host.report?.workers ?? [] {
                let name = "\(worker.service)@\(spec.name)"
                switch worker.state {
                case .held:
                    lines.append(
                        "! \(name) is held after its grace. trading hold wait \(name) --for 60s, or trading hold release \(name) --kill --reason …\(paged(.hold, name))"
                    )
                case .failed: lines.append("  \(name) failed: \(worker.note). trading logs \(worker.service)\(paged(.failed, name))")
                default: break
                }
            }
            for warning in host.report?.warnings ?? [] { lines.append("  \(spec.name): \(warning)") }
        }
        if journal != nil {
            do throws(LinuxError) {
                let free = try Files.freeBytes(settings.stateDirectory)
                if free < DiskSpace.bytesLow { lines.append("! \(settings.name): \(DiskSpace.warning(free, settings.stateDirectory))") }
            } catch {
                lines.append("! \(settings.name): \(error)")
            }
        }
        for latch in table.book.inForce {
            lines.append("! emergency stop \(latch.id) by \(latch.by) is in force: \"\(latch.reason)\". trading emergency-stop release --reason …")
        }
        for run in runs.values where run.api.state == .blocked { lines.append("! run \(run.api.id) is BLOCKED: \(run.api.blocked)") }
        return lines
    }
}
