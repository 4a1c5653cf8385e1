internal import FleetCore
package import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// What coordinators and relays say. Called on the session's event loop, which is the agent's: there is but one.
extension Agent: WireSessionDelegate {
    package func opened(_ wire: WireSession) {
        loop.preconditionInEventLoop()
        let welcome = wire.welcome
        if !welcome.relay, !welcome.storeID.isEmpty {
            let known = epochs[welcome.storeID] ?? 0
            guard welcome.epoch >= known else {
                log.error(
                    "a coordinator with an older epoch was turned away",
                    metadata: ["coordinator": "\(welcome.coordinator)", "epoch": "\(welcome.epoch)", "seen": "\(known)"])
                var refusal = WireRefusal()
                refusal.slug = "stale-epoch"
                refusal.text =
                    "this agent has seen epoch \(known) of store \(welcome.storeID), this coordinator is at \(welcome.epoch): a newer one has taken over"
                var envelope = WireEnvelope()
                envelope.refusal = refusal
                wire.send(envelope)
                return wire.close(why: "stale epoch")
            }
            if welcome.epoch > known {
                epochs[welcome.storeID] = welcome.epoch
                files.submit { [epochs, paths, log] in
                    do { try EpochStore.save(epochs, to: paths.epochs) } catch {
                        log.error("the highest epoch seen is kept in memory only", metadata: ["error": "\(error)"])
                    }
                }
            }
        }
        let session = AgentSession(wire)
        sessions.append(session)
        log.notice("session opened", metadata: ["coordinator": "\(welcome.coordinator)", "relay": "\(welcome.relay)", "restricted": "\(session.isRestricted)"])
        latches.merge(welcome.latches.latches.map(\.core), from: welcome.coordinator)
        session.send(.latches(WireLatchSet(latches.book)))
        session.send(.report(report()))
    }

    package func received(_ envelope: WireEnvelope, on wire: WireSession) {
        // First of all, and before anything that takes time: the emergency stop.
        if case .emergencyStop(let stop)? = envelope.body {
            return emergencyStop(stop.latch.core, from: wire.welcome.coordinator) { [weak wire] result in
                var envelope = WireEnvelope()
                envelope.emergencyResult = result
                wire?.send(envelope)
            }
        }
        guard let session = sessions.first(where: { $0.wire === wire }) else { return }
        switch envelope.body {
        case .command(let command): handle(command, on: session)
        case .latches(let set): latches.merge(set.latches.map(\.core), from: wire.welcome.coordinator)
        case .part(let part): accept(part, from: session)
        case .logRequest(let request): serveLogs(request, on: session)
        case .auditRequest(let request): serveAudit(request, on: session)
        case .ping(let ping):
            var pong = WirePong()
            pong.id = ping.id
            pong.payload = ping.payload
            session.send(.pong(pong))
        default: break
        }
    }

    package func closed(_ wire: WireSession, why: String) {
        guard let index = sessions.firstIndex(where: { $0.wire === wire }) else { return }
        let session = sessions.remove(at: index)
        for operation in session.followers { logs.cancel(operation) }
        log.notice("session closed; workers are not affected", metadata: ["coordinator": "\(wire.welcome.coordinator)", "why": "\(why)"])
    }

    /// Thread-safe as far as it must be: called by dialers on the agent's loop before each attempt.
    func hello() -> WireHello {
        var hello = WireHello()
        hello.protocolMin = 1
        hello.protocolMax = 1
        hello.fleet = fleet.raw
        hello.host = host.raw
        hello.agentVersion = Self.version
        do { hello.bootID = try BootID.read() } catch { log.error("no boot id", metadata: ["error": "\(error)"]) }
        hello.agentInstance = instance
        hello.boottimeNs = Clock.boottime().nanoseconds
        hello.journalHead = journal.head
        hello.partDigest = part.digest
        hello.coordinatorEpochs = epochs
        hello.latches = WireLatchSet(latches.book)
        return hello
    }

    func heartbeat() -> WireHeartbeat {
        var heartbeat = WireHeartbeat()
        heartbeat.journalHead = journal.head
        return heartbeat
    }

    /// Encoded once, written to every session.
    func broadcast(_ envelope: WireEnvelope) {
        guard !sessions.isEmpty else { return }
        do {
            let frame = try encodeFrame(envelope)
            for session in sessions { session.wire.send(encoded: frame) }
        } catch {
            log.error("a message could not be encoded", metadata: ["error": "\(error)"])
        }
    }

    func broadcastLatches() {
        var envelope = WireEnvelope()
        envelope.latches = WireLatchSet(latches.book)
        broadcast(envelope)
    }

    // MARK: The part

    private func accept(_ part: WireHostPart, from session: AgentSession) {
        guard !session.isRelay, !session.isRestricted else {
            return log.error("a part from a session that may send none was ignored", metadata: ["coordinator": "\(session.wire.welcome.coordinator)"])
        }
        guard part.digest != self.part.digest else { return }
        do { try PartStore.check(part, fleet: fleet.raw, host: host.raw) } catch {
            return log.error("the part of the inventory was refused", metadata: ["coordinator": "\(session.wire.welcome.coordinator)", "error": "\(error)"])
        }
        let coordinator = session.wire.welcome.coordinator
        let accepted = files.submit { [self] in
            let outcome = Result { try PartStore.save(part, to: paths.part) }
            loop.execute {
                if case .failure(let error) = outcome {
                    // In force all the same: the coordinator sends it again to whoever comes without it.
                    self.log.error("the part is kept in memory only", metadata: ["error": "\(error)"])
                }
                self.journal.note(
                    .partAccepted, by: coordinator,
                    [
                        WorkerMachine.Field("digest", part.digest), WorkerMachine.Field("inventory", part.inventoryDigest),
                        WorkerMachine.Field("workers", part.workers.count),
                    ])
                self.log.notice("part accepted", metadata: ["digest": "\(part.digest.prefix(12))", "workers": "\(part.workers.count)"])
                self.adoptShells(from: part)
                // Until it comes the coordinator knows of no worker here and can order nothing.
                self.broadcastReport()
            }
        }
        if !accepted { log.error("the part was not taken: too much other work waits; it comes again with the next session") }
    }

    // MARK: Emergency stop

    /// Kills first; `send` gets what is gone as soon as it is, the last time with `final`.
    ///
    /// On the loop.
    func emergencyStop(_ latch: Latch, from source: String, send: @escaping @Sendable (WireEmergencyResult) -> Void) {
        if let known = latches.book.latches[latch.id], known.release != nil {
            // Released before this message came: never honoured again.
            var result = WireEmergencyResult()
            result.latch = latch.id
            result.host = host.raw
            result.final = true
            return send(result)
        }
        let host = host.raw
        emergency.fire(latch: latch.id, scope: latch.scope) { outcomes, final in
            var result = WireEmergencyResult()
            result.latch = latch.id
            result.host = host
            result.workers = outcomes.map { outcome in
                var gone = WireEmergencyResult.Gone()
                gone.service = outcome.service.raw
                gone.gone = outcome.gone
                gone.afterNs = UInt64(clamping: outcome.after.nanoseconds)
                gone.pid = outcome.pid
                gone.text = outcome.text
                return gone
            }
            result.final = final
            send(result)
        }
        latches.set(latch, from: source)
    }

    // MARK: Logs and audit

    private func serveLogs(_ request: WireLogRequest, on session: AgentSession) {
        if request.cancel {
            session.followers.remove(request.operation)
            return logs.cancel(request.operation)
        }
        if request.follow { session.followers.insert(request.operation) }
        let host = host.raw
        let filter = LogFilter(lines: Int(request.lines), since: request.sinceUnixUs, text: Array(request.grep.utf8))
        var hasBegun = false
        logs.read(LogService.Question(operation: request.operation, services: request.services, filter: filter, follow: request.follow)) {
            [weak session] answer in
            guard let session else { return false }
            let isEmpty = answer.lines.isEmpty && answer.text.isEmpty && !answer.end
            // The first chunk without a word says that the last lines have all been sent; more of them would say nothing.
            if isEmpty, hasBegun { return true }
            hasBegun = hasBegun || isEmpty
            var chunk = WireLogChunk()
            chunk.operation = request.operation
            chunk.host = host
            chunk.lines = answer.lines.map(\.wire)
            chunk.end = answer.end
            chunk.text = answer.text
            session.send(.logChunk(chunk))
            return true
        }
    }

    private func serveAudit(_ request: WireAuditRequest, on session: AgentSession) {
        let host = host.raw
        let accepted = files.submit { [paths, loop] in
            // Without a sequence the newest are meant.
            let lines =
                request.fromSequence == 0
                ? AuditPages.last(paths.journal, Int(request.limit))
                : AuditPages.read(paths.journal, from: request.fromSequence, limit: Int(request.limit))
            loop.execute { [weak session] in
                var chunk = WireAuditChunk()
                chunk.operation = request.operation
                chunk.host = host
                chunk.lines = AuditPages.wire(lines)
                chunk.end = true
                session?.send(.auditChunk(chunk))
            }
        }
        if !accepted {
            var chunk = WireAuditChunk()
            chunk.operation = request.operation
            chunk.host = host
            chunk.end = true
            session.send(.auditChunk(chunk))
        }
    }
}
