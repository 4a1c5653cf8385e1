internal import FleetAPI
internal import FleetCore
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import NIOCore
internal import NIOHTTP1
internal import SwiftProtobuf

/// What the agent answers for its own host: the routes marked A.
struct LocalRoutes {
    let agent: Agent
    let peer: LocalPeer
    let reply: LocalHandler
    let keepAlive: Bool

    func route(_ head: HTTPRequestHead, _ body: [UInt8]) {
        let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = String(parts.first ?? "")
        let query = QueryItems(parts.count > 1 ? String(parts[1]) : "")
        do {
            switch (head.method, path) {
            case (.GET, Route.status): try answer(status())
            case (.POST, Route.stop), (.POST, Route.pipelineStop): try run("stop", body, aliased: path == Route.pipelineStop)
            case (.POST, Route.start), (.POST, Route.pipelineStart): try run("start", body, aliased: path == Route.pipelineStart)
            case (.POST, Route.restart), (.POST, Route.pipelineRestart): try run("restart", body, aliased: path == Route.pipelineRestart)
            case (.POST, Route.quiesce): try run("quiesce", body)
            case (.POST, Route.resume): try run("resume", body)
            case (.POST, Route.hold): try hold(order(APIHoldRequest.self, body))
            case (.POST, Route.emergencyStop): try emergencyStop(decode(APIEmergencyRequest.self, body))
            case (.POST, Route.emergencyRelease): try release(decode(APILatchRelease.self, body))
            case (.POST, Route.accept): try acceptStore(order(APIAcceptRequest.self, body))
            case (.POST, Route.lock): try mark(.lock, order(APIMarkRequest.self, body))
            case (.POST, Route.unlock): try mark(.unlock, order(APIMarkRequest.self, body))
            case (.POST, Route.note): try mark(.note, order(APIMarkRequest.self, body))
            case (.GET, _) where path.hasPrefix(Route.worker("")): try worker(String(path.dropFirst(Route.worker("").count)))
            case (.POST, Route.layout): try layout(order(APILayoutAsk.self, body))
            case (.GET, Route.runs):
                var list = APIRunList()
                list.runs = agent.localRuns.all
                try answer(list)
            case (.POST, _) where path.hasPrefix(Route.runs + "/"): try intervene(String(path.dropFirst(Route.runs.count + 1)), order(APIOverride.self, body))
            case (.GET, Route.logs): logs(query)
            case (.GET, Route.audit): try audit(query)
            case (.GET, _) where path.hasPrefix(Route.runs + "/"): try runs(String(path.dropFirst(Route.runs.count + 1)), head)
            default:
                throw APIProblem(
                    slug: "not-found", what: "REFUSED  \(head.method.rawValue) \(path): the agent has no such route",
                    why: "It answers for its own host only.", then: "ask the coordinator for the rest")
            }
        } catch let problem as APIProblem {
            reply.answer(problem, keepAlive: keepAlive)
        } catch {
            reply.answer(APIProblem(slug: "internal", what: "FAILED  \(path): \(error)"), keepAlive: keepAlive)
        }
    }

    private func answer(_ message: some Message) throws { reply.answer(try APIJSON.encode(message), keepAlive: keepAlive) }

    /// An answer that comes later, from the loop.
    private func later(_ message: some Message) {
        do { try answer(message) } catch { reply.answer(APIProblem(slug: "internal", what: "FAILED  \(error)"), keepAlive: keepAlive) }
    }

    /// As `decode`, but a field that is not known is refused: it might have narrowed what is ordered.
    private func order<M: Message>(_ type: M.Type, _ body: [UInt8]) throws -> M {
        if body.isEmpty { return M() }
        do { return try APIJSON.decodeOrder(type, from: body) } catch {
            throw APIProblem(slug: "bad-request", what: "REFUSED  the body is not the JSON of this route: \(error)", then: "see api.proto")
        }
    }

    private func decode<M: Message>(_ type: M.Type, _ body: [UInt8]) throws -> M {
        if body.isEmpty { return M() }
        do { return try APIJSON.decode(type, from: body) } catch {
            throw APIProblem(slug: "bad-request", what: "REFUSED  the body is not the JSON of this route: \(error)", why: "", then: "see api.proto")
        }
    }

    // MARK: Status

    private func status() -> APIFleetStatus {
        var status = APIFleetStatus()
        status.fleet = agent.fleet.raw
        status.unixUs = Clock.unixMicroseconds()
        status.inventoryDigest = agent.part.inventoryDigest
        status.timezone = agent.localRuns.zone.name
        var host = APIHostStatus()
        host.host = agent.host.raw
        host.known = true
        host.ever = true
        host.restricted = agent.sessions.contains { $0.wire.isRestricted }
        host.report = agent.report()
        host.declared = agent.part.workers.map(\.service)
        host.declaredTiers = Dictionary(agent.part.workers.map { ($0.service, $0.tier) }) { first, _ in first }
        status.hosts = [host]
        status.latches = agent.latches.book.inForce.map { WireLatch($0) }
        status.activeRuns = agent.localRuns.activeRuns
        for tier in agent.part.workers.map(\.tier) where !status.tiers.contains(tier) { status.tiers.append(tier) }
        let now = Clock.boottime()
        func age(_ at: UInt64) -> UInt64 { UInt64(clamping: (now - BootTime(nanoseconds: at)).nanoseconds) }
        status.dependencies = agent.prober.dependencies.map { report in
            var out = APIDependencyStatus()
            out.name = report.name
            out.host = agent.host.raw
            out.known = true
            out.report = report
            out.ageNs = age(report.atBoottimeNs)
            return out
        }
        status.streams = agent.prober.streams.map { reading in
            var out = APIStreamStatus()
            out.stream = reading.stream
            out.consumer = reading.consumer
            out.inFlight = Self.figure(reading.known && reading.groupExists, reading.pending, reading)
            out.buffered = Self.figure(reading.known && reading.lagKnown, reading.lag, reading)
            // One host alone sees neither all producers nor the sink.
            out.balance = "UNKNOWN"
            out.ageNs = age(reading.atBoottimeNs)
            return out
        }
        status.needsAPerson = needsAPerson()
        return status
    }

    private static func figure(_ known: Bool, _ value: Int64, _ reading: WireStreamReading) -> WireFigure {
        var figure = WireFigure()
        figure.known = known
        if known { figure.value = value }
        figure.evidence = known ? .measured : .unknown
        figure.atBoottimeNs = reading.atBoottimeNs
        figure.whyUnknown = known ? "" : (reading.whyUnknown.isEmpty ? "Redis does not tell" : reading.whyUnknown)
        return figure
    }

    private func needsAPerson() -> [String] {
        var lines = agent.latches.book.inForce.map { "emergency stop \($0.id) by \($0.by): \"\($0.reason)\"" }
        for shell in agent.shells {
            switch shell.machine.phase {
            case .held: lines.append("! \(shell.name) outlived its grace and is held")
            case .failed(let why): lines.append("! \(shell.name) failed: \(why)")
            case .dumping: lines.append("! \(shell.name) is dumping core, and still holds its sockets")
            default: break
            }
            let health = shell.machine.health(now: Clock.boottime())
            if !["", "ok"].contains(health) { lines.append("! \(shell.name): \(health)") }
            if let lock = shell.machine.lock { lines.append("  \(shell.name) locked \(agent.localRuns.words(lock))") }
            if let remark = shell.machine.remark { lines.append("  \(shell.name) noted \(agent.localRuns.words(remark))") }
        }
        lines += agent.layout.drift.prefix(8).map { "  drift: \(DriftText.words($0))" }
        return lines + agent.warnings.map { "  \($0)" }
    }

    // MARK: Verbs

    private func run(_ kind: String, _ body: [UInt8], aliased: Bool = false) throws {
        var request = try order(APIRunRequest.self, body)
        if aliased {
            // A scope that was given is meant.
            if !request.hasScope { request.scope.all = true }
            if request.reason.isEmpty { request.reason = "\(kind) through /api/pipeline" }
        }
        let scope = request.scope
        let names = scope.tiers + scope.hosts + scope.services
        guard !scope.all || names.isEmpty else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(kind): everything was named, and parts of it beside it", why: "Nothing was done.",
                then: "name all, or the services and tiers that are meant")
        }
        guard scope.all || !names.isEmpty else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(kind): nothing was named", then: "name a service, a tier, or everything: {\"scope\": {\"all\": true}}")
        }
        try answer(agent.localRuns.order(kind: kind, request, by: peer.origin))
    }

    private func runs(_ rest: String, _ head: HTTPRequestHead) throws {
        let parts = rest.split(separator: "/")
        guard let first = parts.first, let id = UInt64(first), let run = agent.localRuns.run(id) else {
            throw APIProblem(
                slug: "unknown-run", what: "REFUSED  no local run \(rest)", why: "The agent keeps its last runs until it restarts.",
                then: "trading --local runs")
        }
        if parts.count == 1 { return try answer(run) }
        guard parts.count == 2, parts[1] == "events" else { throw APIProblem(slug: "not-found", what: "REFUSED  no \(rest)") }
        let last = head.headers.first(name: "last-event-id").flatMap { UInt64($0) } ?? 0
        let reply = reply
        let runs: LocalRuns = agent.localRuns
        var listener: Int?
        reply.beginEvents { if let listener { runs.cancel(id, listener: listener) } }
        listener = runs.listen(id, after: last) { event in
            do { reply.event(id: event.sequence, kind: event.kind, try APIJSON.encode(event)) } catch { reply.endEvents() }
            if event.kind == "ended" { reply.endEvents() }
        }
        if listener == nil { reply.endEvents() }
    }

    private func intervene(_ rest: String, _ request: APIOverride) throws {
        let parts = rest.split(separator: "/")
        guard parts.count == 2, let id = UInt64(parts[0]), parts[1] == Intervention.abort.rawValue else {
            throw APIProblem(
                slug: "not-found", what: "REFUSED  runs \(rest): a run of one host can be aborted, and nothing else",
                why: "It has no gates and proves nothing of other hosts.", then: "trading --local runs abort ID --reason …")
        }
        try answer(agent.localRuns.abort(id, by: peer.origin, reason: request.reason))
    }

    private func hold(_ request: APIHoldRequest) throws {
        let service = WorkerName(request.worker)?.service.raw ?? request.worker
        guard let shell = agent.shell(service) else {
            throw APIProblem(slug: "unknown-service", what: "REFUSED  no service \(request.worker) on \(agent.host)")
        }
        let ask: Agent.Ask = request.release ? .holdRelease(kill: request.kill) : .holdWait(.nanoseconds(Int64(clamping: request.waitNs)))
        agent.order(ask, shell, by: peer.origin, reason: request.reason, run: nil) { result in
            if result.outcome == .done {
                var done = APIDone()
                done.text = request.release ? "\(shell.name): hold released\(request.kill ? ", killed" : "")" : "\(shell.name): waits on"
                later(done)
            } else {
                reply.answer(APIProblem(slug: result.slug, what: "REFUSED  hold \(request.worker)", why: result.text), keepAlive: keepAlive)
            }
        }
    }

    // MARK: Locks, notes and one worker's page

    private func mark(_ verb: MarkVerb, _ request: APIMarkRequest) throws {
        guard verb == .note || !request.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  \(verb) without a reason", then: "add --reason TEXT")
        }
        guard !request.services.isEmpty else { throw APIProblem(slug: "bad-request", what: "REFUSED  \(verb): nothing was named") }
        let shells = try request.services.map { name in try shell(named: name) }
        let locks = verb == .unlock ? shells.compactMap { shell in shell.machine.lock.map { "\(shell.name) was locked \(agent.localRuns.words($0))" } } : []
        let ask: Agent.Ask =
            switch verb {
            case .lock: .lock
            case .unlock: .unlock
            case .note: .note(request.reason)
            }
        let gathering = MarkGathering(names: shells.map(\.name.description)) { problem in
            if let problem { return reply.answer(problem, keepAlive: keepAlive) }
            var done = APIDone()
            let past = verb == .note ? (request.reason.isEmpty ? "without a note" : "noted") : "\(verb)ed"
            done.text = "\(shells.map(\.name.description).joined(separator: ", ")) \(past)"
            if !locks.isEmpty { done.text += ". \(locks.joined(separator: "; ")). The coordinator tells the receivers of alerts once this host reports it" }
            later(done)
        }
        for shell in shells {
            agent.order(ask, shell, by: peer.origin, reason: request.reason, run: nil) { gathering.take($0, of: shell.name.description) }
        }
    }

    private func shell(named name: String) throws -> WorkerShell {
        let (service, host) = WorkerName(name).map { ($0.service.raw, $0.host) } ?? (name, agent.host)
        guard host == agent.host, let shell = agent.shell(service) else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  no service \(name) on \(agent.host)",
                why: "It has \(agent.shells.map(\.service).joined(separator: ", ")).")
        }
        return shell
    }

    private func worker(_ name: String) throws {
        let shell = try shell(named: name)
        let name = shell.name.description
        let reply = LocalReply(reply, keepAlive)
        agent.detail(of: shell) { detail in
            var page = APIWorkerPage()
            page.worker = name
            page.report = ReportBuilder.worker(shell, now: Clock.boottime())
            if let detail { page.detail = detail } else { page.problem = APIProblem(slug: "busy", what: "NOT SEEN the agent has too much other work waiting") }
            reply.answer(page)
        }
    }

    // MARK: Emergency stop

    private func emergencyStop(_ request: APIEmergencyRequest) throws {
        let id = request.latch.isEmpty ? "local-" + Random.hex(8) : request.latch
        guard LatchFile.isValid(id: id) else {
            throw APIProblem(slug: "bad-request", what: "REFUSED  \"\(id)\" is no latch id", why: "Letters, digits, - and _, at most 64.")
        }
        guard !request.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  an emergency stop without a reason", then: "add --reason TEXT")
        }
        var scope = request.scope.core
        guard scope.hosts.allSatisfy({ $0 == agent.host }) else {
            throw APIProblem(slug: "not-here", what: "REFUSED  \(agent.host) stops nothing on other hosts", then: "ask a coordinator or relay")
        }
        // Latches spread to the whole fleet; what is asked of one host's agent is meant for this host.
        scope.hosts = [agent.host]
        if let fault = LatchBounds.fault(in: scope) { throw APIProblem(slug: "bad-request", what: "REFUSED  emergency-stop: \(fault). Nothing was done") }
        let latch = Latch(
            id: id, by: LatchBounds.author(peer.origin), reason: LatchBounds.reason(request.reason), unixMicroseconds: Clock.unixMicroseconds(), scope: scope,
            word: .host(agent.host))
        let loop = agent.loop
        let host = agent.host.raw
        let reply = LocalReply(reply, keepAlive)
        agent.emergencyStop(latch, from: peer.origin) { result in
            guard result.final else { return }
            loop.execute {
                var answer = APIEmergencyAnswer()
                answer.latch = id
                var result = result
                result.host = host
                answer.hosts = [result]
                reply.answer(answer)
            }
        }
    }

    private func release(_ request: APILatchRelease) throws {
        guard !request.reason.isEmpty else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  a release without a reason", then: "add --reason TEXT")
        }
        let (released, fleets) = agent.latches.release(request.latch.isEmpty ? nil : request.latch, by: peer.origin, reason: request.reason)
        guard !released.isEmpty else {
            if let latch = fleets.first {
                throw APIProblem(
                    slug: "not-here", what: "REFUSED  emergency stop \(latch.id) by \(latch.by) is the fleet's, not this host's own",
                    why: "A coordinator or relay is connected (\(agent.sessions.map(\.origin).joined(separator: ", "))): it releases it for every host.",
                    then: "trading emergency-stop release --latch \(latch.id) --reason …    On a host that nobody reaches, this command releases it here")
            }
            throw APIProblem(
                slug: "not-latched",
                what: "REFUSED  no emergency stop in force\(request.latch.isEmpty ? "" : " of the id \(Cleaned.text(request.latch, bytesMax: 80))")")
        }
        var done = APIDone()
        done.text = "released \(released.map(\.id).joined(separator: ", ")) on \(agent.host); nothing was started"
        if !fleets.isEmpty { done.text += ". Still in force, the fleet's: \(fleets.map(\.id).joined(separator: ", "))" }
        try answer(done)
    }

    // MARK: Whom this host follows

    private func acceptStore(_ request: APIAcceptRequest) throws {
        guard !request.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  coordinator accept without a reason", then: "add --reason TEXT")
        }
        guard isValidName(request.store) else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \"\(Cleaned.text(request.store, bytesMax: 80))\" is no store",
                then: "trading --local status shows the stores that would like to be followed")
        }
        let claimants = agent.claimants(of: request.store)
        let words = claimants.map { "\($0.name) with \($0.key.isEmpty ? "no key" : "key \(StoreKey.fingerprint($0.key))")" }
        guard Set(words).count <= 1 else {
            throw APIProblem(
                slug: "other-coordinator", what: "REFUSED  more than one says that it has store \(request.store): \(words.joined(separator: ", "))",
                why: "At most one of them is right. Nothing was changed.",
                then: "each coordinator's log names its key at its start    End the false one, then accept again")
        }
        guard request.unseen || !claimants.isEmpty else {
            let stores = Set(agent.sessions.filter { !$0.isRelay }.map { Cleaned.text($0.wire.welcome.storeID, bytesMax: 80) }).sorted()
            throw APIProblem(
                slug: "other-coordinator", what: "REFUSED  no coordinator that is connected has store \(request.store). Nothing was changed",
                why: stores.isEmpty ? "None is connected." : "Connected: \(stores.joined(separator: ", "))",
                then: "accept one of those    The first that comes with that store, whoever it is: --unseen")
        }
        agent.accept(store: request.store, claimant: claimants.first, by: peer.origin, reason: LatchBounds.reason(request.reason))
        var done = APIDone()
        done.text =
            "\(agent.host) follows the coordinator of store \(request.store) from now on, and no other: "
            + (words.first ?? "none is connected now, the first that comes with that store")
        try answer(done)
    }

    // MARK: Layout

    private func layout(_ ask: APILayoutAsk) throws {
        guard ask.hosts.allSatisfy({ $0 == agent.host.raw }) else {
            throw APIProblem(slug: "not-here", what: "REFUSED  \(agent.host) knows the layout of no other host", then: "ask the coordinator")
        }
        guard ask.request.what != .apply || !ask.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  layout apply without a reason", then: "add --reason TEXT")
        }
        let host = agent.host.raw
        let reply = LocalReply(reply, keepAlive)
        agent.layout.handle(ask.request, by: peer.origin, reason: ask.reason, run: nil, operation: "local-" + Random.hex(8)) { result in
            var one = APIHostLayout()
            one.host = host
            one.answer = result.layout
            if result.outcome != .done {
                let word = result.outcome == .refused ? "REFUSED" : "FAILED"
                one.problem = APIProblem(slug: result.slug, what: "\(word)  layout of \(host)", why: result.text)
            }
            var answers = APILayoutAnswers()
            answers.hosts = [one]
            reply.answer(answers)
        }
    }

    // MARK: Logs and audit

    private func logs(_ query: QueryItems) {
        let operation = "local-" + Random.hex(8)
        let follow = query.first("follow") == "1"
        let filter = LogFilter(
            lines: query.first("lines").flatMap { Int($0) } ?? 100, since: query.first("since").flatMap { UInt64($0) } ?? 0,
            text: Array((query.first("grep") ?? "").utf8))
        let (reply, host) = (reply, agent.host.raw)
        let logs: LogService = agent.logs
        reply.beginEvents { logs.cancel(operation) }
        logs.read(
            LogService.Question(operation: operation, services: query.all("service"), filter: filter, follow: follow)
        ) { answer in
            var alive = answer.lines.isEmpty && !answer.end ? reply.beat() : true
            for line in answer.lines where alive {
                var entry = APILogEntry()
                entry.host = host
                entry.service = line.service
                entry.text = String(decoding: line.text, as: UTF8.self)
                entry.unixUs = line.unixMicroseconds
                entry.stderr = line.isError
                entry.file = line.file
                do { alive = reply.event(id: nil, kind: nil, try APIJSON.encode(entry)) } catch { alive = false }
            }
            if answer.end {
                if !answer.text.isEmpty { reply.event(id: nil, kind: "problem", Array(JSON.string(answer.text).text.utf8)) }
                reply.endEvents()
            }
            return alive
        }
    }

    private func audit(_ query: QueryItems) throws {
        let limit = query.first("limit").flatMap { Int($0) } ?? 100
        let host = agent.host.raw
        let reply = LocalReply(reply, keepAlive)
        let accepted = agent.housework.submit(lane: "audit") { [path = agent.paths.journal, loop = agent.loop] in
            let lines = AuditPages.last(path, limit)
            loop.execute {
                var page = APIAuditPage()
                page.host = host
                page.lines = lines.map { String(decoding: $0, as: UTF8.self) }
                reply.answer(page)
            }
        }
        if !accepted { throw APIProblem(slug: "busy", what: "REFUSED  the agent has too much other work waiting", then: "ask again") }
    }
}

/// A reply that is given later, from another thread's completion.
///
/// `@unchecked Sendable`: used on the agent's loop only.
private final class LocalReply: @unchecked Sendable {
    private let handler: LocalHandler
    private let keepAlive: Bool

    init(_ handler: LocalHandler, _ keepAlive: Bool) {
        self.handler = handler
        self.keepAlive = keepAlive
    }

    func answer(_ message: some Message) {
        do { handler.answer(try APIJSON.encode(message), keepAlive: keepAlive) } catch {
            handler.answer(APIProblem(slug: "internal", what: "FAILED  \(error)"), keepAlive: keepAlive)
        }
    }
}
