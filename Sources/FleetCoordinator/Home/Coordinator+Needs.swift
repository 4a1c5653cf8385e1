internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import LinuxHost

/// What a person should see first: with `!` in front what waits for one, with two spaces what they should know.
extension Coordinator {
    /// What has drifted on one host is listed up to here, then counted.
    private static let driftLinesMax = 4
    /// Microseconds in which every host has reported what it heard.
    private static let reportedWithin: UInt64 = 10_000_000

    func needs(_ time: Moment) -> [String] {
        var lines: [String] = []
        for spec in inventory.hosts {
            guard let host = hosts[spec.name] else { continue }
            if let how = host.watch.contested {
                lines.append(
                    "! \(spec.name): TWO INSTANCES live since \(zone.moment(host.contestedAt, now: time.unixMicroseconds)): \(how). Nothing is started or proven there; an emergency stop goes to both. End one of them; if that doesn't settle it: trading hosts settle \(spec.name) --reason …\(paged(.unknownHost, spec.name.raw))"
                )
                continue
            }
            guard host.isKnown(now: time.boot, bound: settings.reportBound) else {
                let since = host.lastWordAt.map { "no word for \((time.boot - $0).words)" } ?? "has never reported"
                lines.append("! \(spec.name): \(since) (\(host.whyUnknown)). Its workers may be running.\(paged(.unknownHost, spec.name.raw))")
                continue
            }
            if let why = host.refuses { lines.append("! \(spec.name) takes no orders from here: \(why)") }
            if host.undeclaredCut > 0 { lines.append("! \(ObservedFleet.words(cut: host.undeclaredCut, on: spec.name))") }
            for worker in host.report?.workers ?? [] { lines += needs(worker, on: host, time) }
            lines += drift(host.report?.drift ?? [], on: spec.name)
            for warning in host.report?.warnings ?? [] { lines.append("  \(spec.name): \(warning)") }
        }
        lines += unheard(time.boot).map { "! \(ObservedFleet.words(unheard: $0))" }
        lines += table.outsiders.map { "! \(ObservedFleet.words(outsider: $0))" }
        lines += own() + expiryLines(time)
        for problem in trust?.problems ?? [] { lines.append("! \(settings.name): \(problem)") }
        for latch in table.inForce {
            var place = ""
            if case .host(let host) = latch.word { place = " on \(host) by that host's own word" }
            lines.append(
                "! emergency stop \(latch.id) by \(latch.by) \(zone.moment(latch.unixMicroseconds, now: time.unixMicroseconds)) is in force\(place): \"\(latch.reason)\". trading emergency-stop release --reason …\(unheld(latch, time))"
            )
        }
        for run in runs.values where run.api.state == .blocked { lines.append("! run \(run.api.id) is BLOCKED: \(run.api.blocked)") }
        // Each part keeps its order.
        return lines.filter { $0.hasPrefix("! ") } + lines.filter { !$0.hasPrefix("! ") }
    }

    /// A host that no session reached may have been released by a person there: whoever believes that it holds must see that it doesn't.
    private func unheld(_ latch: Latch, _ time: Moment) -> String {
        if case .host = latch.word { return "" }
        guard time.unixMicroseconds > latch.unixMicroseconds + Self.reportedWithin else { return "" }
        let without = inventory.hosts.map(\.name).filter { name in
            guard let host = hosts[name], host.isKnown(now: time.boot, bound: settings.reportBound), let report = host.report, report.hasPin else {
                return false
            }
            return !report.latchesInForce.contains(latch.id)
        }
        return without.isEmpty ? "" : " NOT in force on \(without.map(\.raw).joined(separator: ", ")): released or forgotten there"
    }

    /// Who was told of it and when, in brackets; empty: nobody.
    private func paged(_ event: AlertSpec.Event, _ subject: String) -> String { alerts?.paged(event, subject) ?? "" }

    private func needs(_ worker: WireWorkerReport, on host: HostRecord, _ time: Moment) -> [String] {
        let name = "\(worker.service)@\(host.spec.name)"
        let since = "\(Duration.nanoseconds(Int64(clamping: age(of: worker.sinceBoottimeNs, on: host, time.boot))).words)"
        let exit = worker.hasLastExit ? " (\(WorkerExit(worker.lastExit, status: "").words))" : ""
        var lines: [String] = []
        switch worker.state {
        case .held:
            lines.append(
                "! \(name) has been held after its grace for \(since). trading hold wait \(name) --for 60s, or trading hold release \(name) --kill --reason …\(paged(.hold, name))"
            )
        case .failed:
            lines.append(
                "! \(name) failed \(since) ago: \(worker.note.isEmpty ? "no reason given" : worker.note). trading logs \(worker.service)\(paged(.failed, name))"
            )
        case .dumping:
            let written = worker.dumpedBytes > 0 ? ", \(WorkerMachine.byteWords(worker.dumpedBytes)) written" : ""
            lines.append("! \(name) has been dumping core for \(since)\(written), and still holds its sockets")
        case .backoff:
            lines.append("! \(name) ended by itself \(since) ago\(exit) and waits to be restarted. trading logs \(worker.service)")
        case .workerUnknown, .stopped, .starting, .running, .stopping, .UNRECOGNIZED: break
        }
        if !(declared[host.spec.name] ?? []).contains(ServiceName(worker.service)), ObservedWorker(worker).mayRun {
            lines.append("! \(name) runs, and the inventory doesn't have it there. trading stop \(name) --reason …, or declare it")
        }
        if worker.endedUnwanted {
            lines.append(
                "! \(name) ended by itself \(since) ago\(exit) and nobody wanted that: last started by \(worker.wanted.by). trading logs \(worker.service), trading start \(name) --reason …\(paged(.failed, name))"
            )
        }
        if worker.state != .failed, !["", "ok"].contains(worker.health) { lines.append("! \(name): \(worker.health)") }
        if worker.state == .running {
            if worker.quiesced { lines += quiesced(WorkerName(ServiceName(worker.service), on: host.spec.name)) }
            for gate in worker.gates where gate.value.isEmpty {
                lines.append(
                    "! \(name): the gate \(gate.name) of \(gate.owner) can't be read (\(gate.whyUnknown)): a stop would wait for it. trading explain gate")
            }
        }
        func said(_ mark: WireMark) -> String { "by \(mark.person) \(zone.moment(mark.unixUs, now: time.unixMicroseconds)): \"\(mark.text)\"" }
        if worker.hasLock { lines.append("  \(name) locked \(said(worker.lock))") }
        if worker.hasRemark { lines.append("  \(name) noted \(said(worker.remark))") }
        return lines
    }

    /// What status says of a running worker that is quiesced. A quiesce that went to its end is wanted; anything else needs a person.
    private func quiesced(_ worker: WorkerName) -> [String] {
        let last = lastActed[worker].flatMap { runs[$0] }
        let canResume = inventory.service(worker.service)?.resume != nil
        let then = canResume ? "trading resume \(worker) --reason …" : "No resume is declared for it: trading restart \(worker) --reason …"
        switch last?.api.state {
        case .active, .blocked: return []
        case .completed where last?.api.kind == RunKind.quiesce.rawValue:
            return ["  \(worker) is quiesced, by run \(last?.api.id ?? 0): it takes nothing new. \(then)"]
        // A relay knows of no run.
        case nil where settings.relay: return ["  \(worker) is quiesced: it takes nothing new. \(then)"]
        case .aborted, .failed:
            let run = last.map { "run \($0.api.id) (\($0.api.kind))" } ?? "a run"
            return ["! \(worker) is quiesced and takes nothing new: \(run) left it so and did not go to its end. \(then)"]
        default: return ["! \(worker) is quiesced and takes nothing new, by no order of this coordinator. \(then)"]
        }
    }

    private func drift(_ drift: [WireLayoutDrift], on host: HostName) -> [String] {
        let lines = drift.prefix(Self.driftLinesMax).enumerated().map { index, one in
            let since = one.sinceUnixUs > 0 ? " since \(zone.moment(one.sinceUnixUs, now: now().unixMicroseconds))" : ""
            return "  \(host): drift\(since): \(DriftText.words(one))\(index == 0 ? paged(.drift, host.raw) : "")"
        }
        guard drift.count > Self.driftLinesMax else { return lines }
        return lines + ["  \(host): \(drift.count - Self.driftLinesMax) more have drifted: trading layout verify --host \(host)"]
    }

    /// What this coordinator itself lacks.
    private func own() -> [String] {
        guard journal != nil else { return [] }
        do throws(LinuxError) {
            let free = try Files.freeBytes(settings.stateDirectory)
            return free < DiskSpace.bytesLow ? ["! \(settings.name): \(DiskSpace.warning(free, settings.stateDirectory))"] : []
        } catch {
            return ["! \(settings.name): \(error)"]
        }
    }
}
