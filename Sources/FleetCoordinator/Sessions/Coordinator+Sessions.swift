internal import FleetAPI
internal import FleetCore
internal import FleetJournal
package import FleetTrust
package import FleetWire
internal import LinuxHost
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
        guard parts.keys.contains(HostName(hello.host)) else {
            let host = HostName(hello.host)
            if table.dials(outsider: host, at: Clock.boottime()), !settings.relay {
                home.execute { [self] in
                    let returned = openLaunches.returned(host)
                    if let returned { apply(returned) }
                    record(
                        [AuditRecord(.hostOutside, fields: [("host", host.raw), ("level", "warning")])] + (returned.map { [Self.record(of: $0)] } ?? []))
                }
            }
            return refuse("unknown-host", "the inventory has no host \(hello.host)")
        }
        if let seen = hello.coordinatorEpochs[storeID], seen > epoch {
            return refuse(
                "stale-coordinator",
                "the agent has seen epoch \(seen) of this store, this coordinator is \(epoch): its journal was rolled back. Set it up anew with an empty state directory, then: trading coordinator succeed --reason …"
            )
        }
        var welcome = WireWelcome()
        welcome.protocol = 1
        welcome.coordinator = settings.name.raw
        welcome.storeID = storeID
        welcome.epoch = epoch
        welcome.instance = instance
        welcome.relay = settings.relay
        welcome.restricted = peer.isRestricted
        prove(hello, &welcome)
        welcome.latches = WireLatchSet(known(to: hello))
        return .success(welcome)
    }

    /// Proves to an agent that asks for it that this coordinator holds its store. Without a proof the agent follows only as long as it
    /// has pinned no key.
    private func prove(_ hello: WireHello, _ welcome: inout WireWelcome) {
        guard let storeKey, !hello.storeNonce.isEmpty, hello.storeNonce.utf8.count <= 2 * StoreChallenge.nonceBytes else { return }
        let challenge = StoreChallenge(
            fleet: inventory.fleet, host: HostName(hello.host), coordinator: settings.name.raw, store: storeID, epoch: epoch, nonce: hello.storeNonce)
        do {
            welcome.storeProof = try storeKey.proof(of: challenge)
            welcome.storeKey = storeKey.publicText
        } catch {
            log.error("cannot prove the store to a host, which will take no orders", metadata: ["host": "\(hello.host)", "why": "\(error)"])
        }
    }

    package func opened(_ session: WireSession) {
        let host = HostName(session.hello.host)
        let replaced = table.open(host, session)
        replaced?.close(why: "a newer session of \(host) has taken its place")
        if let succession = table.succession, !settings.relay {
            var envelope = WireEnvelope()
            envelope.succession = succession
            session.send(envelope)
        }
        offerPart(session)
        home.execute { [self] in
            // It may have ended while it was greeted.
            guard table.session(host) === session else { return }
            // One that was ended for want of room has a session no more, and the table won't say so.
            if let replaced, replaced.hello.agentInstance != session.hello.agentInstance {
                watched(host, hosts[host]?.watch.closed(session: replaced.id))
            }
            met(session, host)
            watched(
                host,
                hosts[host]?.watch.opened(
                    InstanceWatch.Instance(
                        id: session.hello.agentInstance, bootID: session.hello.bootID, machineID: session.hello.machineID,
                        journal: session.hello.journal, address: session.remoteAddress, session: session.id,
                        up: .nanoseconds(Int64(clamping: session.hello.boottimeNs)),
                        now: now().boot)))
            say("host reports", of: host, ["restricted": "\(session.isRestricted)"])
            hosts[host]?.connected = true
            hosts[host]?.lastWordAt = now().boot
            hosts[host]?.refuses = refusal(by: session.hello.hasPin ? session.hello.pin : nil)
            brought(session.hello.latches.latches, by: host, isWhole: true)
            logsReturn(host)
            eachActiveRun { _ in .hostReturned(host) }
        }
    }

    /// Records whom a host's agent says that it is, where that is another than before: a coordinator after this one must know it.
    private func met(_ session: WireSession, _ host: HostName) {
        let hello = session.hello
        if let newest = hosts[host]?.watch.newest, newest == (hello.bootID, hello.machineID, hello.journal) { return }
        recordInstance(host, bootID: hello.bootID, machineID: hello.machineID, journal: hello.journal)
    }

    func recordInstance(_ host: HostName, bootID: String, machineID: String, journal: String) {
        guard hosts[host]?.mayRecordInstance(at: now().boot) ?? false else { return }
        let fields = [("boot", bootID), ("machine", machineID), ("journal", journal)].map { ($0.0, Cleaned.cut($0.1, bytesMax: 64)) }
        record([AuditRecord(.hostInstance, fields: [("host", host.raw)] + fields)])
    }

    package func refused(_ peer: VerifiedPeer, why: String) {
        home.execute { [self] in
            let host = HostName(peer.identity.name)
            if hosts[host]?.connected == false { hosts[host]?.whyUnknown = "no session: \(why)" }
        }
    }

    package func limitsChanged(_ session: WireSession) {
        offerPart(session)
        let host = HostName(session.hello.host)
        home.execute { [self] in
            // What it was told under the restriction it may not have taken.
            let owed = releasesOwed[host, default: []].sorted().compactMap { table.book.latches[$0] }
            guard !owed.isEmpty else { return }
            var envelope = WireEnvelope()
            envelope.latches.latches = owed.map { WireLatch($0) }
            session.send(envelope)
        }
    }

    /// Where the host has another part of the inventory, or none, and the session carries one.
    private func offerPart(_ session: WireSession) {
        guard !settings.relay, SessionRights.refusal(of: .sendPart, under: session.limits) == nil, let part = parts[HostName(session.hello.host)],
            part.digest != session.hello.partDigest
        else { return }
        var envelope = WireEnvelope()
        envelope.part = part
        session.send(envelope)
    }

    /// A line about one host, which causes it: so many a minute.
    private func say(_ message: Logger.Message, of host: HostName, level: Logger.Level = .notice, _ metadata: Logger.Metadata) {
        guard hosts[host]?.maySay(at: now().boot) ?? false else { return }
        log.log(level: level, message, metadata: metadata.merging(["host": "\(host)"]) { own, _ in own })
    }

    package func received(_ envelope: WireEnvelope, on session: WireSession) {
        let host = HostName(session.hello.host)
        switch envelope.body {
        case .emergencyResult(let result)?:
            // From the session's own loop: nothing stands between the agents' words and the one who waits for them.
            table.answered(result, by: host, on: session)
        case .pong?: onHome(session, host) { $0.watched(host, $0.hosts[host]?.watch.answered(session: session.id)) }
        case .report(let report)? where table.session(host) !== session:
            // A displaced instance's: what it runs is shown nowhere, and yet it runs.
            onHome(session, host) { $0.displacedReported(host, report, on: session) }
        case .report(let report)?:
            guard waiting.keep(report, of: host) else { return }
            home.execute { [self] in if let newest = waiting.takeReport(of: host) { reported(host, newest) } }
        case .result(let result)?: onHome(session, host) { $0.answered(host, result, on: session) }
        case .latches(let set)?: onHome(session, host) { $0.brought(set.latches, by: host, isWhole: false) }
        case .logChunk(let chunk)?: onHome(session, host) { $0.logged(host, chunk) }
        case .auditChunk(let chunk)?: onHome(session, host) { $0.audited(host, chunk) }
        default:
            log.error("an agent sent what only a coordinator sends", metadata: ["host": "\(host)"])
            session.close(why: "it sent what only a coordinator sends")
        }
    }

    /// Has `home` look at what `session` delivers now. One that says more than is looked at ends.
    private func onHome(_ session: WireSession, _ host: HostName, _ look: @escaping @Sendable (Coordinator) -> Void) {
        // A few small texts take more than their bytes.
        let bytes = session.payloadBytes + 1_024
        guard waiting.enter(bytes, of: host) else {
            return session.close(why: "it sends faster than is looked at: more than \(HomeQueue.bytesMax >> 20) MiB wait")
        }
        home.execute { [self] in
            waiting.leave(bytes, of: host)
            look(self)
        }
    }

    package func closed(_ session: WireSession, why: String) {
        let host = HostName(session.hello.host)
        guard let closing = table.close(host, session) else { return }
        home.execute { [self] in
            // Of two instances the end of one closes nothing of the other's, also where it settles them.
            let wasOne = hosts[host]?.watch.isOne ?? false
            watched(host, hosts[host]?.watch.closed(session: session.id))
            if case .other = closing { return }
            say("host is silent", of: host, ["why": "\(why)"])
            // What it reported was the other instance's word.
            if case .replaced = closing {
                hosts[host]?.reportAt = nil
                hosts[host]?.reportSession = nil
            }
            guard table.session(host) == nil else { return }
            hosts[host]?.connected = false
            if wasOne, let last = hosts[host]?.report, hosts[host]?.reportSession == session.id {
                recordOpenLaunches(of: host, last, isLast: hosts[host]?.mayRecordLastWord(at: now().boot) ?? false)
            }
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
            for operation in logStreams.keys.sorted() {
                logsSilent(operation, host, "UNKNOWN: \(host) has stopped answering; what it logs now is not shown")
            }
            eachActiveRun { _ in .hostLost(host, why: why) }
        }
    }

    // MARK: On home

    private func reported(_ host: HostName, _ whole: WireHostReport) {
        let names = declared[host] ?? []
        let report = bounded(whole, of: host, declaring: names)
        let time = now().boot
        let wasKnown = hosts[host]?.isKnown(now: time, bound: settings.reportBound) ?? false
        hosts[host]?.lastWordAt = time
        hosts[host]?.reportAt = time
        hosts[host]?.reportSession = table.session(host)?.id
        hosts[host]?.refuses = refusal(by: report.hasPin ? report.pin : nil)
        tookState(of: host, from: report)
        alertExpiry(of: host, report.facts)
        acknowledge(report.latchesInForce, by: host)
        if !wasKnown { eachActiveRun { _ in .hostReturned(host) } }
    }

    /// Makes `report` the newest word on what runs at `host`.
    private func tookState(of host: HostName, from report: WireHostReport) {
        hosts[host]?.report = report
        if let session = table.session(host) {
            hosts[host]?.watch.reported(session: session.id, mayRun: mayRun(report, on: session, of: host), now: now().boot)
        }
        recordOpenLaunches(of: host, report)
        alerts?.reported(host, report)
        showFlight(host, report)
    }

    /// Takes over the state of the worker that an answer tells of: an order right after it is planned from what the answer said, not
    /// from the report before it.
    ///
    /// `at`: the host's time since boot when it answered. A report made after the answer stands, and so does one of another session. The
    /// report's age stays: the host's other workers are as old as they were.
    private func tookState(of worker: WireWorkerReport, at host: HostName, _ at: BootTime, on session: WireSession) {
        guard table.session(host) === session, hosts[host]?.reportSession == session.id, var report = hosts[host]?.report,
            report.boottimeNs <= at.nanoseconds, let place = report.workers.firstIndex(where: { $0.service == worker.service })
        else { return }
        report.workers[place] = Self.bounded(worker)
        tookState(of: host, from: report)
    }

    /// Undeclared workers of one host that are kept: what still runs there after it was taken out of the inventory.
    static let undeclaredMax = 64

    /// The report with each declared worker once, and of the others `undeclaredMax`: what a host reports is bounded by what the
    /// inventory puts there.
    private func bounded(_ report: WireHostReport, of host: HostName, declaring names: Set<ServiceName>) -> WireHostReport {
        var report = report
        var seen: Set<String> = []
        var kept: [WireWorkerReport] = []
        var (running, others): ([WireWorkerReport], [WireWorkerReport]) = ([], [])
        var cut = 0
        for worker in report.workers where seen.insert(worker.service).inserted {
            if names.contains(ServiceName(worker.service)) {
                kept.append(worker)
            } else if !isValidName(worker.service) {
                // What can't be a service's name is none that was ever declared.
                continue
            } else if ObservedWorker(worker).isDown {
                if others.count < Self.undeclaredMax { others.append(worker) }
            } else if running.count < Self.undeclaredMax {
                running.append(worker)
            } else {
                cut += 1
            }
        }
        // What may run comes first: of what is down no order has to know.
        report.workers = kept + running + others.prefix(Self.undeclaredMax - running.count)
        hosts[host]?.undeclaredCut = cut
        if cut > 0 {
            say("a host runs more undeclared workers than are kept", of: host, level: .error, ["more": "\(cut)", "kept": "\(Self.undeclaredMax)"])
        }
        report.workers = report.workers.map(Self.bounded)
        report.streams = Array(report.streams.prefix(Self.streamsMax))
        report.dependencies = Array(report.dependencies.prefix(Self.streamsMax))
        return report
    }

    private static func bounded(_ whole: WireWorkerReport) -> WireWorkerReport {
        var worker = whole
        worker.gates = whole.gates.prefix(gatesMax).map { whole in
            var gate = whole
            (gate.name, gate.owner) = (Cleaned.cut(whole.name, bytesMax: nameMax), Cleaned.cut(whole.owner, bytesMax: nameMax))
            (gate.value, gate.wants) = (Cleaned.cut(whole.value, bytesMax: nameMax), Cleaned.cut(whole.wants, bytesMax: nameMax))
            gate.whyUnknown = Cleaned.cut(whole.whyUnknown, bytesMax: wordsMax)
            return gate
        }
        if whole.recent.launches.count > LaunchHistory.recent { worker.clearRecent() }
        if whole.counters.count > countersMax { worker.counters = [:] }
        worker.status = Cleaned.cut(whole.status, bytesMax: wordsMax)
        worker.note = Cleaned.cut(whole.note, bytesMax: wordsMax)
        worker.health = Cleaned.cut(whole.health, bytesMax: wordsMax)
        return worker
    }

    /// Counters of one worker, and streams and dependencies of one host, that are kept.
    private static let countersMax = 256
    /// Gates that one host asks for one worker.
    private static let gatesMax = 64
    private static let streamsMax = 1_024
    /// Bytes of what a worker says of itself that are kept: a run's events repeat it.
    private static let wordsMax = 1_024
    private static let nameMax = 128

    /// Why a host that pinned this takes no orders from here; nil: it does, or its agent is from before pins.
    private func refusal(by pin: WireCoordinatorPin?) -> String? {
        guard !settings.relay, let pin, !pin.storeID.isEmpty else { return nil }
        if pin.storeID == storeID, pin.coordinator == settings.name.raw {
            guard !pin.storeKey.isEmpty, pin.storeKey != storeKey?.publicText else { return nil }
            return "it knows another key of store \(storeID) than this coordinator holds: was store.key lost or put back? "
                + "To have it follow: trading coordinator succeed --reason …"
        }
        return
            "it follows \(pin.coordinator.isEmpty ? "whoever comes first" : pin.coordinator) with store \(pin.storeID), this is \(settings.name) with store \(storeID). "
            + "To take it over: trading coordinator succeed --reason …"
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

    private func answered(_ host: HostName, _ result: WireCommandResult, on session: WireSession) {
        if result.outcome != .progress { startsOut.answered(result.operation, by: session.hello.agentInstance, on: host) }
        guard let awaited = awaiting[result.operation] else { return }
        guard awaited.host == host else { return forged("result", by: host, of: awaited.host, result.operation) }
        if result.hasWorker { tookState(of: result.worker, at: host, BootTime(nanoseconds: result.boottimeNs), on: session) }
        if result.outcome != .progress { awaiting[result.operation] = nil }
        switch awaited {
        case .run(let id, let command, _): handle(run: id, .answered(command, RunReply(result, host: host)), detail: (command, result))
        case .caller(let promise, _):
            if result.outcome != .progress { promise.succeed(result) }
        case .audit: break
        }
    }

    /// A host answers what another was asked: nobody else could have told it the id, so that its key may be in other hands.
    func forged(_ what: String, by host: HostName, of other: HostName, _ operation: String) {
        log.error(
            "a host sent what only another can say; ignored", metadata: ["host": "\(host)", "what": "\(what)", "of": "\(other)", "operation": "\(operation)"])
    }

    /// Appends records that no effect waits for; a failure is an error in the log, for a person, and is told to `failed` on the journal's thread.
    func record(_ records: [AuditRecord], failed: @escaping @Sendable () -> Void = {}) {
        journal?.append(records) { [log] result in
            guard case .failure(let error) = result else { return }
            log.error("cannot write the audit: free space in the state directory", metadata: ["why": "\(error)"])
            failed()
        }
    }
}
