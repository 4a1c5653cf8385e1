internal import FleetCore
internal import FleetTrust
package import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// What coordinators and relays say. Called on the session's event loop, which is the agent's: there is but one.
extension Agent: WireSessionDelegate {
    package func opened(_ wire: WireSession) {
        loop.preconditionInEventLoop()
        let welcome = wire.welcome
        let peer = wire.peer.identity
        let contact = CoordinatorBook.Contact(
            isRelayCertificate: peer.role == .relay, certified: peer.name, claimedName: welcome.coordinator, claimsRelay: welcome.relay,
            store: welcome.storeID, provenKey: provenKey(wire), epoch: welcome.epoch)
        var strange: String?
        switch book.met(contact, unixMicroseconds: Clock.unixMicroseconds()) {
        case .refused(let slug, let text):
            log.error("a coordinator was turned away", metadata: ["coordinator": "\(peer)", "slug": "\(slug)", "why": "\(text)"])
            var envelope = WireEnvelope()
            envelope.refusal.slug = slug
            envelope.refusal.text = text
            wire.send(envelope)
            return wire.close(why: text)
        case .stranger(let why):
            log.error("a coordinator's orders are not taken", metadata: ["coordinator": "\(peer)", "why": "\(why)"])
            strange = why
        case .relay:
            if peer.role == .coordinator {
                log.warning(
                    "a relay shows a coordinator's certificate, which a later version will refuse: trading certs issue relay \(peer.name)",
                    metadata: ["relay": "\(peer)"])
            }
        case .followed(let isNew): if isNew { keepPin() }
        }
        let session = AgentSession(wire, strange: strange)
        sessions.append(session)
        log.notice("session opened", metadata: ["coordinator": "\(peer)", "relay": "\(session.isRelay)", "limits": "\(session.limits.map(\.rawValue))"])
        latches.hear(welcome.latches.latches, on: session)
        session.send(.latches(WireLatchSet(latches.toTell(session))))
        session.send(.report(report()))
    }

    /// The public key whose private half the other side has proved to hold; empty: none. One check of a short signature, as in each
    /// handshake before it.
    private func provenKey(_ wire: WireSession) -> String {
        let welcome = wire.welcome
        guard !welcome.storeProof.isEmpty, !wire.hello.storeNonce.isEmpty else { return "" }
        let challenge = StoreChallenge(
            fleet: fleet, host: host, coordinator: welcome.coordinator, store: welcome.storeID, epoch: welcome.epoch, nonce: wire.hello.storeNonce)
        return StoreKey.proves(welcome.storeProof, challenge, publicText: welcome.storeKey) ? welcome.storeKey : ""
    }

    /// Before a part is taken, on the thread that keeps parts: whose orders are taken must be known after a restart.
    func keepPin() {
        guard let pin = book.pin else { return }
        journal.note(
            .coordinatorPinned, by: pin.by, reason: pin.reason,
            [
                WorkerMachine.Field("coordinator", pin.coordinator.raw), WorkerMachine.Field("store", pin.store), WorkerMachine.Field("epoch", pin.epoch),
                WorkerMachine.Field("how", pin.how.rawValue), WorkerMachine.Field("key", pin.key),
            ])
        files.submit { [book, paths, log] in
            do throws(LinuxError) { try PinStore.save(book, to: paths.pin) } catch {
                log.error("whose orders are taken is kept in memory only", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Another coordinator is followed from now on: every session begins anew, so that each is judged by it.
    private func followAnother() {
        keepPin()
        for session in sessions { session.wire.close(why: "this host follows another coordinator from now on") }
    }

    /// An operator's word on whom to follow. Whoever brings it, its signature decides.
    private func succeed(_ signed: WireSignedStatement, from session: AgentSession) {
        guard let trust, let statement = SuccessionStatement(document: signed.document), statement.fleet == fleet else {
            guard session.maySay() else { return }
            return log.error("a statement of a succession can't be understood", metadata: ["coordinator": "\(session.origin)"])
        }
        // Told again with every session; what was taken needs no look at its signature.
        guard book.lastSuccession < statement.unixMicroseconds else { return }
        let accepted = housework.submit(lane: "signatures") { [self] in
            let signer = trust.verifier.signer(of: Array(signed.document.utf8), signature: signed.signature, roles: [.operator])
            loop.execute { [self] in
                guard case .success(let identity) = signer, statement.by == identity.author else {
                    guard session.maySay() else { return }
                    return log.error(
                        "a succession is not signed by the operator that it names", metadata: ["coordinator": "\(session.origin)", "by": "\(statement.by)"])
                }
                if let why = book.succeeded(statement, now: Clock.unixMicroseconds()) {
                    guard session.maySay() else { return }
                    return log.notice("a succession is not taken", metadata: ["by": "\(statement.by)", "why": "\(why)"])
                }
                log.notice(
                    "this host follows another coordinator",
                    metadata: ["coordinator": "\(statement.coordinator)", "store": "\(statement.store)", "by": "\(statement.by)"])
                followAnother()
            }
        }
        if !accepted, session.maySay() { log.error("a succession was not looked at: too much other work waits; it comes again with the next session") }
    }

    /// Who is connected and says that it has this store, with the key that it has proved; `key` empty: none.
    func claimants(of store: String) -> [(name: String, key: String)] {
        sessions.filter { $0.wire.welcome.storeID == store && !$0.isRelay }.map { ($0.name, provenKey($0.wire)) }
    }

    /// A person on this host decides whom it follows: `claimant`, or the first that comes with that store.
    func accept(store: String, claimant: (name: String, key: String)?, by: String, reason: String) {
        book.accepted(
            store: store, key: claimant?.key ?? "", coordinator: claimant.map { CoordinatorName($0.name) }, by: by, reason: reason,
            unixMicroseconds: Clock.unixMicroseconds())
        log.notice("this host follows another coordinator", metadata: ["store": "\(store)", "by": "\(by)"])
        followAnother()
    }

    package func received(_ envelope: WireEnvelope, on wire: WireSession) {
        // First of all, and before anything that takes time: the emergency stop.
        if case .emergencyStop(let stop)? = envelope.body {
            let bringer = sessions.first { $0.wire === wire }
            let word = bringer?.word ?? .relay(wire.peer.identity.name)
            return emergencyStop(Self.order(stop, word), from: "\(word)") { [weak wire] result in
                var envelope = WireEnvelope()
                envelope.emergencyResult = result
                wire?.send(envelope)
            }
        }
        guard let session = sessions.first(where: { $0.wire === wire }) else { return }
        if let deed = envelope.deed, let refusal = session.refusal(of: deed) {
            switch envelope.body {
            // These have an answer of their own.
            case .command, .logRequest, .auditRequest: break
            default:
                guard session.maySay() else { return }
                return log.error("refused", metadata: ["coordinator": "\(session.origin)", "what": "\(deed.rawValue)", "why": "\(refusal.text)"])
            }
        }
        switch envelope.body {
        case .command(let command): handle(command, on: session)
        case .latches(let set): latches.hear(set.latches, on: session)
        case .succession(let statement): succeed(statement, from: session)
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

    /// What was ordered, as it may be kept and told: an order sets and releases nothing, and one from a day that has not come
    /// would be refused by everybody who is told of it.
    private static func order(_ stop: WireEmergencyStop, _ word: LatchWord) -> Latch {
        var latch = stop.latch.core(word: word)
        latch.release = nil
        let now = Clock.unixMicroseconds()
        if LatchBounds.isAhead(latch, of: now) {
            latch.unixMicroseconds = now
            latch.signature = ""
        }
        return latch
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
        hello.machineID = MachineID.read()
        hello.journal = fold.id
        hello.boottimeNs = Clock.boottime().nanoseconds
        hello.journalHead = journal.head
        hello.partDigest = part.digest
        if let pin = book.pin {
            hello.pin = WireCoordinatorPin(pin)
            hello.coordinatorEpochs = [pin.store: pin.epoch]
        }
        hello.storeNonce = Random.hex(StoreChallenge.nonceBytes)
        hello.latches = WireLatchSet(latches.book.inForce)
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

    func broadcast(_ changed: [Latch]) {
        var envelope = WireEnvelope()
        envelope.latches = WireLatchSet(changed)
        broadcast(envelope)
    }

    // MARK: The part

    private func accept(_ part: WireHostPart, from session: AgentSession) {
        guard part.digest != self.part.digest else { return }
        let origin = session.origin
        // Its digest is a hash over up to 4 MiB: not for the loop, nor for the thread that launches.
        let accepted = housework.submit(lane: "parts") { [self] in
            do { try PartStore.check(part, fleet: fleet.raw, host: host.raw) } catch {
                return log.error("the part of the inventory was refused", metadata: ["coordinator": "\(origin)", "error": "\(error)"])
            }
            loop.execute { self.keep(part, from: session) }
        }
        if !accepted { log.error("the part was not taken: too much other work waits; it comes again with the next session") }
    }

    /// A part that was looked at: kept, then in force.
    private func keep(_ part: WireHostPart, from session: AgentSession) {
        // Whom this host follows may have changed while it was looked at.
        guard session.refusal(of: .sendPart) == nil, sessions.contains(where: { $0 === session }), part.digest != self.part.digest else { return }
        let origin = session.origin
        let accepted = files.submit { [self] in
            let outcome = Result { try PartStore.save(part, to: paths.part) }
            loop.execute {
                if case .failure(let error) = outcome {
                    // In force all the same: the coordinator sends it again to whoever comes without it.
                    self.log.error("the part is kept in memory only", metadata: ["error": "\(error)"])
                }
                self.journal.note(
                    .partAccepted, by: origin,
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
        emergency.fire(latch: latch.id, scope: latch.scope) { [self] outcomes, final in
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
            let said = result
            // Behind the setting below, whichever thread this is.
            loop.execute { [self] in
                var result = said
                if latches.book.latches[latch.id] == nil {
                    result.notKept = LatchBook.notKept("there")
                }
                result.workers += doubts(under: latch.scope, beside: result.workers)
                send(result)
            }
        }
        latches.set(latch, from: source, isOrder: true)
    }

    /// Workers of the scope of which an earlier launch is in doubt: what the kill can't find is not gone for that.
    private func doubts(under scope: LatchScope, beside outcomes: [WireEmergencyResult.Gone]) -> [WireEmergencyResult.Gone] {
        shells.compactMap { shell in
            let declaration = shell.declaration
            guard let launch = shell.machine.strayed, !outcomes.contains(where: { $0.service == shell.service && !$0.gone }),
                scope.covers(service: declaration.service, tier: declaration.tier, host: host, emergencyKilled: declaration.spec.emergencyKilled)
            else { return nil }
            var doubt = WireEmergencyResult.Gone()
            doubt.service = shell.service
            doubt.text = "its launch \(launch) was not shown to have ended: its shim was lost, and it had no cgroup of its own"
            return doubt
        }
    }

    // MARK: Logs and audit

    private func serveLogs(_ request: WireLogRequest, on session: AgentSession) {
        if request.cancel {
            session.followers.remove(request.operation)
            return logs.cancel(request.operation)
        }
        if let refusal = session.refusal(of: .readLogs) {
            var chunk = WireLogChunk()
            chunk.operation = request.operation
            chunk.host = host.raw
            chunk.text = refusal.text
            chunk.end = true
            return session.send(.logChunk(chunk))
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
        guard session.refusal(of: .readAudit) == nil else {
            var chunk = WireAuditChunk()
            chunk.operation = request.operation
            chunk.host = host
            chunk.end = true
            return session.send(.auditChunk(chunk))
        }
        let accepted = housework.submit(lane: "audit") { [paths, loop] in
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
