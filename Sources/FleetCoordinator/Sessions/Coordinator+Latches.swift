package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore
internal import NIOPosix

/// Emergency stops: set, released, brought by hosts, remembered until every host has let go of them.
extension Coordinator {
    // MARK: Set

    package func emergencyStop(_ request: APIEmergencyRequest, by caller: Caller, bound: Duration) async throws -> APIEmergencyAnswer {
        let scope = request.scope.core
        try demandKnown(scope, request.latch)
        let moment = now()
        // A latch in force keeps the scope that it was set with: another scope is another latch, whatever id it came with.
        let isOther = table.book.latches[request.latch].map { $0.release == nil && $0.scope != scope } ?? false
        let isDated = request.unixUs > 0 && Self.isNear(request.unixUs, moment.unixMicroseconds)
        var latch = Latch(
            id: request.latch.isEmpty || isOther ? Random.hex(8) : request.latch, by: LatchBounds.author(caller.name),
            reason: LatchBounds.reason(request.reason),
            unixMicroseconds: isDated ? request.unixUs : moment.unixMicroseconds, scope: scope,
            signature: isDated && !isOther && request.signature.utf8.count <= LatchBounds.signatureBytesMax ? request.signature : "", word: word)
        let known = table.book.latches[latch.id]
        guard known?.release == nil else {
            throw APIProblem(
                slug: "latch-released", what: "REFUSED  latch \(latch.id) was released by \(known?.release?.by ?? "")",
                why: "A released latch is never honoured again.", then: "Order a new emergency stop")
        }
        let collector = EmergencyCollector()
        let setting = try table.fanOut(latch, collector: collector)
        let timer = home.scheduleTask(in: .nanoseconds(bound.nanoseconds)) { collector.giveUp() }
        let set = latch
        if setting.isNew { home.execute { [self] in endRuns(under: set) } }
        let (results, silent) = await collector.wait()
        timer.cancel()
        table.forget(collector: latch.id)
        // After the kill, which waits neither for a signature to be looked at nor for one to be made, and loses no CPU to it.
        if setting.isNew {
            home.execute { [self] in
                log.notice("emergency stop", metadata: ["latch": "\(set.id)", "by": "\(set.by)", "reason": "\(set.reason)"])
                judgeOwn(set)
            }
        }
        latch = table.book.latches[latch.id] ?? latch
        var answer = APIEmergencyAnswer()
        answer.latch = latch.id
        answer.hosts = results
        // Where each worker runs that it covers: a host comes once for each.
        let covered = inventory.services.flatMap { service in service.hosts.filter { covers(scope, service, on: $0) } }
        answer.covered = UInt32(clamping: covered.count)
        if !setting.isKept {
            answer.notKept = LatchBook.notKept("here (\(word.inForceMax))")
        }
        let isOfAll = scope.hosts.isEmpty && scope.services.isEmpty
        // One of two instances has answered for itself alone.
        let divided = table.divided.filter { isOfAll || covered.contains($0) || scope.hosts.contains($0) }.map(\.raw)
        for index in answer.hosts.indices where divided.contains(answer.hosts[index].host) { answer.hosts[index].final = false }
        let answered = Set(results.map(\.host))
        let unplaced = table.unplaced.filter { covers(scope, $0) }.map(\.host.raw)
        // What runs on a host that the inventory doesn't have, or on a silent one with nothing placed on it, nobody here can tell.
        let unknown = (isOfAll ? table.outsiders + inventory.hosts.map(\.name) : (scope.services.isEmpty ? [] : table.outsiders) + scope.hosts).map(\.raw)
        answer.silentHosts = Set(silent + divided + (covered.map(\.raw) + unplaced + unknown).filter { !answered.contains($0) }).sorted()
        return answer
    }

    /// Refuses, before anything is sent, what can't be meant: a misspelt name would stop nothing and look like a stop.
    private func demandKnown(_ scope: LatchScope, _ id: String) throws {
        // An id that an agent can't keep as a file would be a latch that its restart forgets.
        guard id.isEmpty || LatchBounds.isValid(id: id) else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  emergency-stop: that is no latch id. Nothing was sent",
                why: "Letters, digits, - and _, at most 64: agents keep it as a file of that name.", then: "Leave it out: one is made")
        }
        func demand(_ kind: String, _ names: [String], _ known: [String]) throws {
            for name in names where !known.contains(name) {
                let near = nearest(to: name, in: known)
                throw APIProblem(
                    slug: "unknown-\(kind)", what: "REFUSED  emergency-stop: no \(kind) is called \(Cleaned.text(name, bytesMax: 80)). NOTHING WAS SENT",
                    why: near.map { "Did you mean \($0)?" } ?? "The inventory has: \(known.joined(separator: ", "))",
                    then: near.map { "The same with --\(kind) \($0)    Or everything that it names: trading emergency-stop --reason …" }
                        ?? "trading status shows the names    On a host itself any name goes: trading --local emergency-stop")
            }
        }
        try demand("tier", scope.tiers.map(\.raw), inventory.tiers.map(\.name.raw))
        try demand("host", scope.hosts.map(\.raw), inventory.hosts.map(\.name.raw))
        // What runs and is no longer declared can be stopped by its name.
        try demand("service", scope.services.map(\.raw), inventory.services.map(\.name.raw) + table.unplaced.map(\.service.raw))
        if let fault = LatchBounds.fault(in: scope) {
            throw APIProblem(slug: "bad-request", what: "REFUSED  emergency-stop: \(fault). NOTHING WAS SENT")
        }
    }

    /// On whose word this program sets a latch that nobody signed.
    var word: LatchWord { settings.relay ? .relay(settings.name.raw) : .coordinator(settings.name.raw) }

    /// A caller's clock that is further off says nothing about order.
    private static func isNear(_ a: UInt64, _ b: UInt64) -> Bool { max(a, b) - min(a, b) <= clocksDifferMax }

    /// Microseconds by which the clocks of an operator's machine and this one may differ.
    private static let clocksDifferMax: UInt64 = 300_000_000

    // MARK: Signatures

    /// Judges what a caller signed; a coordinator signs itself what nobody has, so that every side can tell whose word it is.
    private func judgeOwn(_ latch: Latch) {
        let fleet = inventory.fleet
        signing { [self] judge in
            if judge?.isSet(latch) == true { return (latch.signature, LatchWord.signed) }
            guard !settings.relay, let own = ownSignature(LatchStatement.set(latch, fleet: fleet)) else { return ("", word) }
            return (own, .signed)
        } then: { [self] signature, word in
            if signature != latch.signature, !latch.signature.isEmpty {
                log.error(
                    "the signature of an emergency stop does not hold; it is in force on this program's own word",
                    metadata: ["latch": "\(latch.id)", "by": "\(latch.by)"])
            }
            table.judged(latch.id, signature: signature, word: word)
            var judged = table.book.latches[latch.id] ?? latch
            let isReleased = judged.release != nil
            judged.release = nil
            record([record(of: judged)])
            if !isReleased { endRuns(under: judged) }
            // Agents have the latch; whose word it is they may learn when the last kill is over. Released meanwhile it is told by nobody.
            home.scheduleTask(in: .nanoseconds(Self.toldAfter.nanoseconds)) { [self] in
                if let latch = table.book.latches[latch.id], latch.release == nil { tell([latch]) }
            }
        }
    }

    private static let toldAfter: Duration = .seconds(1)

    /// Runs `body` on a thread of the pool, with what judges signatures now, and `then` on home.
    private func signing<Answer: Sendable>(_ body: @escaping @Sendable (LatchJudge?) -> Answer, then: @escaping @Sendable (Answer) -> Void) {
        let judge = judge
        NIOThreadPool.singleton.runIfActive(eventLoop: home) { body(judge) }.whenComplete { [log] result in
            switch result {
            case .success(let answer): then(answer)
            case .failure(let error): log.error("signatures of emergency stops are not looked at", metadata: ["why": "\(error)"])
            }
        }
    }

    /// With the present lists. Full coordinators' signatures count beside operators' on what is set; on a release at a relay alone, whose
    /// own memory it is: agents look for themselves.
    private var judge: LatchJudge? {
        let full = Set(inventory.coordinators.filter { $0.role == .full }.map(\.name.raw))
        return trust.map { LatchJudge(verifier: $0.verifier, fleet: inventory.fleet, coordinators: full, releasers: settings.relay ? full : []) }
    }

    /// Blocks: reads the key. Nil where it can't be read, which is no reason to do without the latch.
    private func ownSignature(_ statement: [UInt8]) -> String? {
        do {
            let signature = try DetachedSignature.sign(
                statement, certPEM: CredentialFile.read(settings.certificatePath), keyPEM: CredentialFile.read(settings.keyPath))
            return Base64.encode(signature.der)
        } catch {
            log.error("an emergency stop can't be signed", metadata: ["why": "\(error)"])
            return nil
        }
    }

    // MARK: Released

    package func releaseLatch(_ request: APILatchRelease, by caller: Caller) async throws -> APIDone {
        let moment = now()
        let isDated = request.unixUs > 0 && Self.isNear(request.unixUs, moment.unixMicroseconds)
        let release = Latch.Release(
            by: LatchBounds.author(caller.name), reason: LatchBounds.reason(request.reason),
            unixMicroseconds: isDated ? request.unixUs : moment.unixMicroseconds)
        let wanted = table.inForce.map(\.id).filter { request.latch.isEmpty || $0 == request.latch }
        guard !wanted.isEmpty else {
            throw APIProblem(
                slug: "no-latch",
                what: "REFUSED  no emergency stop\(request.latch.isEmpty ? "" : " \(Cleaned.text(request.latch, bytesMax: 80))") is in force here", why: "",
                then: "trading status shows those in force")
        }
        let given = Dictionary(request.signatures.prefix(1_024).map { ($0.latch, $0.signature) }, uniquingKeysWith: { first, _ in first })
        let (judge, isRelay, fleet) = (judge, settings.relay, inventory.fleet)
        let releases = try await NIOThreadPool.singleton.runIfActive(eventLoop: home) { [self] in
            wanted.reduce(into: [String: Latch.Release]()) { releases, id in
                var signed = release
                signed.signature = isDated ? given[id] ?? "" : ""
                if judge?.isReleased(id, signed) == true {
                    releases[id] = signed
                } else if !isRelay {
                    signed.signature = ownSignature(LatchStatement.release(id, release, fleet: fleet)) ?? ""
                    releases[id] = signed
                }
            }
        }.get()
        guard !releases.isEmpty else {
            throw APIProblem(
                slug: "not-signed", what: "REFUSED  \(settings.name) is a relay: it releases what an operator has signed, and nothing else",
                why: "\(wanted.joined(separator: ", ")) stays in force.",
                then: "trading emergency-stop release, with an operator's certificate in the settings    Or ask a full coordinator")
        }
        let (released, silent) = try await onHome { [self] in
            let released = self.release(releases)
            return (released, silentHosts(under: released))
        }
        var done = APIDone()
        done.text = "released: \(released.map(\.id).joined(separator: ", ")). Nothing was started; trading start does that"
        if !silent.isEmpty {
            done.text +=
                ". SILENT NOW: \(silent.map(\.raw).joined(separator: ", ")): hears of the release when it answers; what ran there may run on"
        }
        return done
    }

    /// Hosts that are silent now and have, or may have, a worker that one of these counts.
    private func silentHosts(under latches: [Latch]) -> [HostName] {
        let time = now().boot
        let declared = inventory.hosts.map(\.name).filter { name in
            guard hosts[name]?.isKnown(now: time, bound: settings.reportBound) != true else { return false }
            return inventory.services.contains { service in
                service.hosts.contains(name) && latches.contains { covers($0.scope, service, on: name) }
            }
        }
        let moved = unheard(time).filter { worker in latches.contains { covers($0.scope, worker) } }.map(\.host)
        return Set(declared + moved + table.outsiders).sorted()
    }

    /// On home. The fleet's latches, and those that hosts hold on their own word: the host is told, and lets go.
    private func release(_ releases: [String: Latch.Release]) -> [Latch] {
        var released: [Latch] = []
        for latch in table.inForce {
            guard let release = releases[latch.id] else { continue }
            var latch = latch
            latch.release = release
            released.append(latch)
            if case .host(let host) = latch.word {
                _ = table.brought([latch], by: host, isWhole: false)
                var envelope = WireEnvelope()
                envelope.latches.latches = [WireLatch(latch)]
                table.session(host)?.send(envelope)
                record([record(of: latch)])
            } else {
                latchesChanged(table.merge([latch]))
            }
        }
        return released
    }

    // MARK: Brought by hosts

    /// What an agent says of latches: its own word counts for its own host, and what it passes on only where it proves whose it is.
    func brought(_ wire: [WireLatch], by host: HostName, isWhole: Bool) {
        let latches = wire.prefix(Self.broughtMax).map { $0.core(word: .host(host)) }.filter { LatchBounds.fault(in: $0) == nil }
        for latch in table.brought(latches, by: host, isWhole: isWhole) {
            if latch.release == nil { tellRuns(ofOwn: latch, on: host) }
            guard hosts[host]?.mayRecordLatch(at: now().boot) ?? false else { continue }
            log.notice(
                "a host's own emergency stop",
                metadata: ["host": "\(host)", "latch": "\(latch.id)", "by": "\(latch.by)", "released": "\(latch.release != nil)"])
            record([record(of: latch)])
        }
        let book = table.book
        let unproven = latches.filter { latch in
            guard let known = book.latches[latch.id] else { return !(latch.release?.signature ?? latch.signature).isEmpty }
            return known.release == nil && latch.release != nil
        }
        guard !unproven.isEmpty else { return }
        signing { judge in
            unproven.compactMap { latch -> Latch? in
                var latch = latch
                latch.word = .signed
                if let release = latch.release { return judge?.isReleased(latch.id, release) == true ? latch : nil }
                return judge?.isSet(latch) == true ? latch : nil
            }
        } then: { [self] proven in
            for latch in unproven where !proven.contains(where: { $0.id == latch.id }) {
                // Releases of what is not in force here are told with every session.
                guard latch.release == nil || book.latches[latch.id] != nil else { continue }
                guard hosts[host]?.mayRecordLatch(at: now().boot) ?? false else { break }
                log.error(
                    "a host brought an emergency stop, or the release of one, that it can't show whose it is; it counts for that host alone",
                    metadata: ["host": "\(host)", "latch": "\(latch.id)", "by": "\(latch.by)", "released": "\(latch.release != nil)"])
            }
            latchesChanged(table.merge(proven), isBrought: true)
        }
    }

    /// All that one side can have in force, with room.
    private static let broughtMax = 512

    /// What a hello is answered with: all in force, and the release of whatever the agent still holds.
    func known(to hello: WireHello) -> [Latch] {
        let book = table.book
        let stale = hello.latches.latches.compactMap { wire -> Latch? in
            if let latch = book.latches[wire.id] { return latch.release == nil ? nil : latch }
            if let latch = table.released(for: HostName(hello.host), wire.id) { return latch }
            // Set before all that was forgotten, and not known: it was released, and every host then declared had let go of it.
            guard !settings.relay, book.mayBeForgotten(setAt: wire.unixUs), !wire.signature.isEmpty else { return nil }
            var latch = wire.core(word: word)
            latch.release = Latch.Release(by: word.description, reason: "released before; no longer remembered", unixMicroseconds: book.forgottenThrough)
            return latch
        }
        return book.inForce + stale
    }

    // MARK: Known

    /// Latches that came to be known, or were released, here or elsewhere: told to every agent, recorded, and the runs
    /// that they cover end.
    ///
    /// `isBrought`: by a host, which may have kept them: a run that began after one was set goes on, and hosts under it say so.
    func latchesChanged(_ changed: [Latch], isBrought: Bool = false) {
        guard !changed.isEmpty else { return }
        for latch in changed where latch.release != nil { owe(latch.id) }
        tell(changed)
        record(changed.map(record(of:)))
        for latch in changed where latch.release == nil { endRuns(under: latch, begunBefore: isBrought ? latch.unixMicroseconds : .max) }
    }

    private func tell(_ latches: [Latch]) {
        var envelope = WireEnvelope()
        envelope.latches.latches = latches.map { WireLatch($0) }
        do { try table.broadcast(envelope) } catch { log.error("cannot encode latches", metadata: ["why": "\(error)"]) }
    }

    /// Every declared host must be seen without it before its id may be forgotten.
    func owe(_ id: String) {
        for host in inventory.hosts { releasesOwed[host.name, default: []].insert(id) }
    }

    /// A host's report says what is in force there: what is not among it, it has let go of.
    func acknowledge(_ inForce: [String], by host: HostName) {
        guard let owed = releasesOwed[host], !owed.isEmpty else { return }
        let held = owed.intersection(inForce)
        releasesOwed[host] = held
        let settled = owed.subtracting(held).filter { id in !releasesOwed.values.contains { $0.contains(id) } }
        if !settled.isEmpty { table.shorten(released: settled) }
    }

    func record(of latch: Latch) -> AuditRecord {
        var host: HostName?
        if case .host(let name) = latch.word { host = name }
        // A host's own word is that host's, whatever name stands in it.
        let said = latch.release?.by ?? latch.by
        let author = host.map { "agent/\($0)" } ?? said
        let claims = host == nil ? "" : said
        if let release = latch.release {
            return AuditRecord(
                .latchReleased, host: host, by: author, reason: release.reason,
                fields: [
                    ("claims", claims), ("latch", latch.id), ("word", latch.word.description), ("signature", release.signature),
                    ("unix_us", "\(release.unixMicroseconds)"),
                ])
        }
        return AuditRecord(
            .latchSet, host: host, by: author, reason: latch.reason,
            fields: [
                ("claims", claims),
                ("latch", latch.id), ("everything", "\(latch.scope.everything)"), ("tiers", latch.scope.tiers.map(\.raw).joined(separator: " ")),
                ("hosts", latch.scope.hosts.map(\.raw).joined(separator: " ")), ("services", latch.scope.services.map(\.raw).joined(separator: " ")),
                ("word", latch.word.description), ("signature", latch.signature), ("unix_us", "\(latch.unixMicroseconds)"),
            ])
    }

    func covers(_ scope: LatchScope, _ service: ServiceSpec, on host: HostName) -> Bool {
        scope.covers(service: service.name, tier: service.tier, host: host, emergencyKilled: inventory.emergencyKills(service))
    }

    func endRuns(under latch: Latch, begunBefore unixMicroseconds: UInt64 = .max) {
        eachActiveRun { machine in
            // By two clocks: only what is older beyond doubt is left out.
            let began = machine.began?.unixMicroseconds ?? 0
            guard max(began, Self.clocksDifferMax) - Self.clocksDifferMax <= unixMicroseconds else { return nil }
            return machine.plan.workers.contains { covers(latch.scope, $0) } ? .latched(latch.id) : nil
        }
    }

    /// A host that stops itself takes nobody with it: a run goes on with the others, and says that it was not alone.
    private func tellRuns(ofOwn latch: Latch, on host: HostName) {
        eachActiveRun { machine in
            machine.plan.workers.contains { $0.host == host && covers(latch.scope, $0) } ? .hostLatched(host, latch.id) : nil
        }
    }

    /// Whether an emergency stop of this scope counts the worker. One that is no longer declared counts where nothing else is named: its last
    /// declaration is not known here, and may have been one that such a stop kills.
    private func covers(_ scope: LatchScope, _ worker: WorkerName) -> Bool {
        inventory.service(worker.service).map { covers(scope, $0, on: worker.host) }
            // Of which tier it was is not known here: it may be of any that is named.
            ?? scope.covers(service: worker.service, tier: scope.tiers.first ?? .undeclared, host: worker.host, emergencyKilled: true)
    }
}
