internal import FleetAPI
internal import FleetCore
internal import FleetJournal
package import FleetTrust
package import FleetWire
internal import Logging
internal import NIOCore

/// What agents say.
extension Coordinator: WireSessionDelegate {
    /// Decides on an agent's hello, before a session exists. Called on the session's event loop.
    package func welcome(_ hello: WireHello, _ peer: VerifiedPeer) -> Result<WireWelcome, WireRefusal> {
        func refuse(_ slug: String, _ text: String) -> Result<WireWelcome, WireRefusal> {
            var refusal = WireRefusal()
            refusal.slug = slug
            refusal.text = text
            return .failure(refusal)
        }
        guard hello.fleet == inventory.fleet.raw else {
            return refuse("wrong-fleet", "this is a coordinator of \(inventory.fleet), the agent says \(hello.fleet)")
        }
        guard hello.host == peer.identity.name else {
            return refuse("wrong-host", "the certificate is \(peer.identity.name)'s, the agent says it is \(hello.host)")
        }
        guard hosts.keys.contains(HostName(hello.host)) else {
            return refuse("unknown-host", "the inventory has no host \(hello.host)")
        }
        if let seen = hello.coordinatorEpochs[storeID], seen > epoch {
            return refuse("stale-coordinator", "the agent has seen epoch \(seen) of this store, this coordinator is \(epoch): its journal was rolled back")
        }
        var welcome = WireWelcome()
        welcome.protocol = 1
        welcome.coordinator = settings.name.raw
        welcome.storeID = storeID
        welcome.epoch = epoch
        welcome.instance = instance
        welcome.relay = settings.relay
        welcome.restricted = peer.isRestricted
        welcome.latches = WireLatchSet(table.book)
        return .success(welcome)
    }

    package func opened(_ session: WireSession) {
        let host = HostName(session.hello.host)
        let restricted = session.peer.isRestricted
        let replaced = table.open(host, SessionTable.Entry(session: session, restricted: restricted))
        replaced?.close(why: "a newer session of \(host) has taken its place")
        let changed = table.merge(session.hello.latches.latches.map(\.core))
        if !settings.relay, session.hello.partDigest != parts[host]?.digest, let part = parts[host] {
            var envelope = WireEnvelope()
            envelope.part = part
            session.send(envelope)
        }
        log.notice("host reports", metadata: ["host": "\(host)", "restricted": "\(restricted)"])
        home.execute { [self] in
            hosts[host]?.connected = true
            hosts[host]?.restricted = restricted
            hosts[host]?.lastWordAt = now().boot
            latchesChanged(changed)
            eachActiveRun { _ in .hostReturned(host) }
        }
    }

    package func received(_ envelope: WireEnvelope, on session: WireSession) {
        let host = HostName(session.hello.host)
        switch envelope.body {
        case .emergencyResult(let result)?:
            // From the session's own loop: nothing stands between the agents' words and the one who waits for them.
            table.answered(result)
        case .report(let report)?: home.execute { [self] in reported(host, report) }
        case .result(let result)?: home.execute { [self] in answered(host, result) }
        case .latches(let set)?:
            let changed = table.merge(set.latches.map(\.core))
            home.execute { [self] in latchesChanged(changed) }
        case .logChunk(let chunk)?: home.execute { [self] in logged(host, chunk) }
        case .auditChunk(let chunk)?: home.execute { [self] in audited(chunk) }
        default:
            log.error("an agent sent what only a coordinator sends", metadata: ["host": "\(host)"])
            session.close(why: "it sent what only a coordinator sends")
        }
    }

    package func closed(_ session: WireSession, why: String) {
        let host = HostName(session.hello.host)
        guard table.close(host, session) else { return }
        log.notice("host is silent", metadata: ["host": "\(host)", "why": "\(why)"])
        home.execute { [self] in
            guard table.session(host) == nil else { return }
            hosts[host]?.connected = false
            hosts[host]?.whyUnknown = why
            for (operation, awaited) in awaiting {
                switch awaited {
                case .caller(let promise, host):
                    awaiting[operation] = nil
                    promise.fail(Coordinator.silent(host))
                case .audit(let promise, host, _):
                    awaiting[operation] = nil
                    promise.fail(Coordinator.silent(host))
                default: break
                }
            }
            for (operation, stream) in logStreams where stream.hosts.contains(host) {
                logEnded(operation, host, because: "UNKNOWN: \(host) has stopped answering; what it logs now is not shown")
            }
            eachActiveRun { _ in .hostLost(host, why: why) }
        }
    }

    // MARK: On home

    private func reported(_ host: HostName, _ report: WireHostReport) {
        let time = now().boot
        let wasKnown = hosts[host]?.isKnown(now: time, bound: settings.reportBound) ?? false
        hosts[host]?.lastWordAt = time
        hosts[host]?.report = report
        hosts[host]?.reportAt = time
        alerts?.reported(host, report)
        for worker in report.workers where !worker.launch.isEmpty && [.starting, .running].contains(worker.state) {
            let name = WorkerName(ServiceName(worker.service), on: host)
            if let known = launchSinceBaseline[name], known != worker.launch { relaunched.insert(name) }
            if worker.restarts > 0 { relaunched.insert(name) }
            launchSinceBaseline[name] = worker.launch
        }
        showFlight(host, report)
        latchesChanged(table.merge(report.latches.latches.map(\.core)))
        if !wasKnown { eachActiveRun { _ in .hostReturned(host) } }
    }

    /// What workers that a run is stopping say meanwhile: `1,234 in flight, flushing`.
    private func showFlight(_ host: HostName, _ report: WireHostReport) {
        for worker in report.workers where [.stopping, .dumping].contains(worker.state) {
            let name = WorkerName(ServiceName(worker.service), on: host)
            let words =
                worker.state == .dumping
                ? "dumping core\(worker.dumpedBytes > 0 ? ", \(WorkerMachine.byteWords(worker.dumpedBytes)) written" : "")"
                : WorkerMachine.flightWords(inFlight: worker.hasInFlight && worker.inFlight.known ? worker.inFlight.value : nil, status: worker.status)
            guard !words.isEmpty else { continue }
            for (id, run) in runs {
                guard let machine = run.machine, !machine.state.isEnded, case .stop(_, let workers)? = machine.current?.what, workers.contains(name),
                    run.flight[name] != words
                else { continue }
                runs[id]?.flight[name] = words
                publish(run: id) {
                    $0.kind = "flight"
                    $0.worker = name.description
                    $0.text = words
                }
            }
        }
    }

    private func answered(_ host: HostName, _ result: WireCommandResult) {
        guard let awaited = awaiting[result.operation] else { return }
        if result.outcome != .progress { awaiting[result.operation] = nil }
        switch awaited {
        case .run(let id, let command): handle(run: id, .answered(command, RunReply(result, host: host)), detail: (command, result))
        case .caller(let promise, _):
            if result.outcome != .progress { promise.succeed(result) }
        case .audit: break
        }
    }

    /// Latches that came to be known, or were released, here or elsewhere: told to every agent, recorded, and the runs
    /// that they cover end.
    func latchesChanged(_ changed: [Latch]) {
        guard !changed.isEmpty else { return }
        var envelope = WireEnvelope()
        envelope.latches.latches = changed.map { WireLatch($0) }
        do { try table.broadcast(envelope) } catch { log.error("cannot encode latches", metadata: ["why": "\(error)"]) }
        record(changed.map(Self.record))
        for latch in changed where latch.release == nil { endRuns(under: latch) }
    }

    static func record(_ latch: Latch) -> AuditRecord {
        if let release = latch.release {
            return AuditRecord(.latchReleased, by: release.by, reason: release.reason, fields: [("latch", latch.id)])
        }
        return AuditRecord(
            .latchSet, by: latch.by, reason: latch.reason,
            fields: [
                ("latch", latch.id), ("everything", "\(latch.scope.everything)"), ("tiers", latch.scope.tiers.map(\.raw).joined(separator: " ")),
                ("hosts", latch.scope.hosts.map(\.raw).joined(separator: " ")), ("services", latch.scope.services.map(\.raw).joined(separator: " ")),
            ])
    }

    func endRuns(under latch: Latch) {
        eachActiveRun { machine in
            let covered = machine.plan.workers.contains { worker in
                guard let service = self.inventory.service(worker.service) else { return false }
                return latch.scope.covers(
                    service: service.name, tier: service.tier, host: worker.host, emergencyKilled: self.inventory.emergencyKills(service))
            }
            return covered ? .latched(latch.id) : nil
        }
    }

    /// Appends records that no effect waits for; a failure is an error in the log, for a person.
    func record(_ records: [AuditRecord]) {
        journal?.append(records) { [log] result in
            if case .failure(let error) = result {
                log.error("cannot write the audit: free space in the state directory", metadata: ["why": "\(error)"])
            }
        }
    }
}
