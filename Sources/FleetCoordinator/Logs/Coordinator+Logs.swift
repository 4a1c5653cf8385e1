package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// Logs and audits that lie on the agents' hosts.
extension Coordinator {
    /// Lines that a caller may fall behind before the stream ends.
    static let logBuffer = 20_000

    /// How long the hosts' last lines are waited for; a follower sees what there is before that.
    static let logWait: TimeAmount = .seconds(30)
    static let logWaitFollowing: TimeAmount = .seconds(3)

    package func logs(
        services: [String], host: String?, lines: UInt32, follow: Bool, since: UInt64, grep: String
    ) async throws -> AsyncStream<APILogEntry> {
        try await onHome { [self] in
            if let host, hosts[HostName(host)] == nil {
                throw APIProblem(slug: "unknown-host", what: "REFUSED  no host is called \(host)", why: "", then: "trading status shows them")
            }
            let workers = try workers(loggedAs: services).filter { host == nil || $0.host.raw == host }
            let operation = operationID()
            let (stream, continuation) = AsyncStream.makeStream(of: APILogEntry.self, bufferingPolicy: .bufferingOldest(Self.logBuffer))
            let asked = Dictionary(grouping: workers, by: \.host).mapValues { workers in
                var request = WireLogRequest()
                request.operation = operation
                request.services = workers.map(\.service.raw)
                request.lines = lines
                request.follow = follow
                request.sinceUnixUs = since
                request.grep = grep
                return request
            }
            logStreams[operation] = LogStream(asked: asked, isFollowed: follow, began: Clock.unixMicroseconds(), continuation: continuation)
            continuation.onTermination = { [weak self] _ in
                guard let self else { return }
                home.execute { self.cancelLogs(operation) }
            }
            for target in asked.keys.sorted() { askLogs(operation, of: target) }
            if asked.isEmpty {
                logStreams[operation] = nil
                continuation.finish()
            }
            home.scheduleTask(in: follow ? Self.logWaitFollowing : Self.logWait) { [self] in stopWaiting(operation) }
            return stream
        }
    }

    /// The workers whose logs these name, declared or not: services, aliases, SERVICE@HOST, or all.
    private func workers(loggedAs names: [String]) throws -> [WorkerName] {
        let wanted = Set(names)
        let declared = Set(inventory.workers)
        let others = hosts.flatMap { name, host in (host.report?.workers ?? []).map { WorkerName(ServiceName($0.service), on: name) } }
            .filter { !declared.contains($0) }.sorted()
        let found = (inventory.workers + others).filter { worker in
            let aliases = inventory.service(worker.service)?.aliases ?? []
            return wanted.contains("all") || wanted.contains(worker.service.raw) || wanted.contains(worker.description) || !wanted.isDisjoint(with: aliases)
        }
        guard !found.isEmpty else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  no service, alias or worker is called \(names.joined(separator: ", "))",
                why: "The inventory has: \(inventory.services.map(\.name.raw).joined(separator: ", "))", then: "trading logs all")
        }
        return found
    }

    private func askLogs(_ operation: String, of host: HostName) {
        guard let session = table.session(host) else { return logsSilent(operation, host, "UNKNOWN: \(host) is not answering; its logs are not shown") }
        guard let request = logStreams[operation]?.question(host, in: session.id) else { return }
        var envelope = WireEnvelope()
        envelope.logRequest = request
        if let (_, text) = session.refusal(of: envelope) { return logEnded(operation, host, because: "NOTE: \(host): \(text)") }
        session.send(envelope)
    }

    /// A host has no session: a follower goes on with it when it is back.
    func logsSilent(_ operation: String, _ host: HostName, _ text: String) {
        guard var stream = logStreams[operation], stream.asked[host] != nil else { return }
        guard stream.isFollowed else { return logEnded(operation, host, because: text) }
        guard stream.silent.insert(host).inserted else { return }
        stream.merger.take([Self.note(host, "\(text) until it is back")], floor: Clock.unixMicroseconds(), at: Clock.boottime())
        logStreams[operation] = stream
        linesCame(operation, host)
        tellLater(operation)
    }

    /// A host has a new session, whether the one before was seen to end or not: followers are told what it wrote meanwhile.
    func logsReturn(_ host: HostName) {
        for operation in logStreams.keys.sorted() {
            guard let stream = logStreams[operation], stream.isFollowed, stream.asked[host] != nil else { continue }
            if stream.silent.contains(host) {
                logStreams[operation]?.merger.take([Self.note(host, "NOTE: \(host) answers again")], floor: Clock.unixMicroseconds(), at: Clock.boottime())
            }
            askLogs(operation, of: host)
            tellLater(operation)
        }
    }

    func logged(_ host: HostName, _ chunk: WireLogChunk) {
        guard var stream = logStreams[chunk.operation], stream.asked[host] != nil else { return }
        var entries = chunk.lines.map { line in
            var entry = APILogEntry()
            entry.host = host.raw
            entry.service = line.service
            entry.text = line.text
            entry.unixUs = line.unixUs
            entry.stderr = line.stderr
            entry.file = line.file
            return entry
        }
        if !chunk.text.isEmpty { entries.append(Self.note(host, "NOTE: \(chunk.text)")) }
        let now = Clock.unixMicroseconds()
        stream.take(entries, of: host, floor: stream.awaited.isEmpty ? now : 0, at: Clock.boottime(), now: now)
        // A chunk without a word says that the last lines have all come.
        for service in entries.isEmpty ? stream.pastCame(of: host) : [] {
            let text = "NOTE: more than \(LogFollowing.linesMax) lines of \(service) were written meanwhile; the older ones are not shown: trading logs --since"
            stream.merger.take([Self.note(host, text)], floor: now, at: Clock.boottime())
        }
        logStreams[chunk.operation] = stream
        if entries.isEmpty || chunk.end { linesCame(chunk.operation, host) }
        if chunk.end { return logEnded(chunk.operation, host, because: nil) }
        tellLater(chunk.operation)
    }

    private func tellLater(_ operation: String) {
        guard let stream = logStreams[operation], stream.awaited.isEmpty, stream.telling == nil, let dueAt = stream.merger.dueAt else { return }
        let left = max(.zero, dueAt - Clock.boottime())
        logStreams[operation]?.telling = home.scheduleTask(in: .nanoseconds(left.nanoseconds)) { [self] in
            logStreams[operation]?.telling = nil
            tell(operation)
        }
    }

    /// A host has no more to say; `because`: what its reader is told.
    func logEnded(_ operation: String, _ host: HostName, because: String?) {
        guard logStreams[operation]?.asked.removeValue(forKey: host) != nil else { return }
        if let because { logStreams[operation]?.merger.take([Self.note(host, because)], floor: Clock.unixMicroseconds(), at: Clock.boottime()) }
        linesCame(operation, host)
        guard let stream = logStreams[operation], stream.asked.isEmpty else { return tellLater(operation) }
        logStreams[operation]?.isFollowed = false
        tell(operation)
        logStreams[operation] = nil
        stream.telling?.cancel()
        stream.continuation.finish()
    }

    private func linesCame(_ operation: String, _ host: HostName) {
        guard logStreams[operation]?.awaited.remove(host) != nil, logStreams[operation]?.awaited.isEmpty == true else { return }
        tell(operation)
    }

    private func stopWaiting(_ operation: String) {
        guard let stream = logStreams[operation], !stream.awaited.isEmpty else { return }
        let late = stream.awaited.sorted().map { Self.note($0, "UNKNOWN: \($0) has not sent its last lines yet") }
        logStreams[operation]?.merger.take(late, floor: Clock.unixMicroseconds(), at: Clock.boottime())
        logStreams[operation]?.awaited = []
        tell(operation)
    }

    private func tell(_ operation: String) {
        guard var stream = logStreams[operation] else { return }
        let before = stream.merger.dropped
        // A follower's last lines of one host may be younger than the first that another is about to add.
        var entries = stream.isFollowed ? stream.merger.drain(at: Clock.boottime()) : stream.merger.drain()
        logStreams[operation] = stream
        if stream.merger.dropped > before {
            var note = APILogEntry()
            note.text = "NOTE: \(stream.merger.dropped - before) older lines are not shown. Name fewer services or hosts, or fewer lines"
            entries.insert(note, at: 0)
        }
        for entry in entries {
            // Its reader is too far behind; the end of the stream cancels the rest.
            if case .dropped = stream.continuation.yield(entry) { return stream.continuation.finish() }
        }
        tellLater(operation)
    }

    private static func note(_ host: HostName, _ text: String) -> APILogEntry {
        var entry = APILogEntry()
        entry.host = host.raw
        entry.text = text
        return entry
    }

    private func cancelLogs(_ operation: String) {
        guard let stream = logStreams.removeValue(forKey: operation) else { return }
        stream.telling?.cancel()
        var envelope = WireEnvelope()
        envelope.logRequest.operation = operation
        envelope.logRequest.cancel = true
        for host in stream.asked.keys.sorted() { table.session(host)?.send(envelope) }
    }

    // MARK: Audit

    package func audit(host: String?, limit: UInt32) async throws -> APIAuditPage {
        var page = APIAuditPage()
        page.host = host ?? ""
        let lines: [String]
        if let host {
            lines = try await agentAudit(HostName(host), limit: limit)
        } else {
            guard let journal else {
                throw APIProblem(slug: "not-here", what: "REFUSED  \(settings.name) is a relay and keeps no audit", why: "", then: "Ask a full coordinator")
            }
            lines = try journal.lastLines(Int(limit)).map { String(decoding: $0, as: UTF8.self) }
        }
        page.lines = lines
        return page
    }

    private func agentAudit(_ host: HostName, limit: UInt32) async throws -> [String] {
        let promise = home.makePromise(of: [String].self)
        home.execute { [self] in
            guard let session = table.session(host) else { return promise.fail(Coordinator.silent(host)) }
            let operation = operationID()
            var envelope = WireEnvelope()
            envelope.auditRequest.operation = operation
            envelope.auditRequest.limit = limit
            if let (slug, text) = session.refusal(of: envelope) {
                return promise.fail(APIProblem(slug: slug, what: "REFUSED  \(host): \(text)", then: "trading status \(host)"))
            }
            awaiting[operation] = .audit(promise, host: host, lines: [])
            session.send(envelope)
            home.scheduleTask(in: .seconds(10)) { [self] in
                guard case .audit(let promise, _, _)? = awaiting.removeValue(forKey: operation) else { return }
                promise.fail(Coordinator.silent(host))
            }
        }
        return try await promise.futureResult.get()
    }

    /// Lines of one page; more of them are no page.
    private static let auditLinesMax = 100_000

    func audited(_ sender: HostName, _ chunk: WireAuditChunk) {
        guard case .audit(let promise, let host, var lines)? = awaiting[chunk.operation] else { return }
        guard sender == host else { return forged("audit", by: sender, of: host, chunk.operation) }
        lines += chunk.lines.prefix(Self.auditLinesMax - lines.count)
        guard !chunk.end else {
            awaiting[chunk.operation] = nil
            promise.succeed(lines)
            return
        }
        awaiting[chunk.operation] = .audit(promise, host: host, lines: lines)
    }
}
