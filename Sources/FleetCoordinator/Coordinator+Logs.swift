package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetTrust
internal import FleetWire
internal import NIOCore

/// Logs and audits that lie on the agents' hosts.
extension Coordinator {
    /// Lines that a caller may fall behind before the stream ends.
    static let logBuffer = 20_000

    package func logs(services: [String], host: String?, lines: UInt32, follow: Bool) async throws -> AsyncStream<APILogEntry> {
        try await onHome { [self] in
            let wanted = Set(services)
            let matching = inventory.services.filter { service in
                wanted.contains("all") || wanted.contains(service.name.raw) || !wanted.isDisjoint(with: service.aliases)
            }
            guard !matching.isEmpty else {
                throw APIProblem(
                    slug: "unknown-service", what: "REFUSED  no service or alias is called \(services.joined(separator: ", "))",
                    why: "The inventory has: \(inventory.services.map(\.name.raw).joined(separator: ", "))", then: "trading logs all")
            }
            if let host, hosts[HostName(host)] == nil {
                throw APIProblem(slug: "unknown-host", what: "REFUSED  no host is called \(host)", why: "", then: "trading status shows them")
            }
            let targets = Set(matching.flatMap(\.hosts)).filter { host == nil || $0.raw == host }
            let operation = operationID()
            let (stream, continuation) = AsyncStream.makeStream(of: APILogEntry.self, bufferingPolicy: .bufferingOldest(Self.logBuffer))
            logStreams[operation] = LogStream(hosts: targets, continuation: continuation, follow: follow)
            continuation.onTermination = { [weak self] _ in
                guard let self else { return }
                home.execute { self.cancelLogs(operation) }
            }
            for target in targets.sorted() {
                var envelope = WireEnvelope()
                envelope.logRequest.operation = operation
                envelope.logRequest.services = matching.filter { $0.hosts.contains(target) }.map(\.name.raw)
                envelope.logRequest.lines = lines
                envelope.logRequest.follow = follow
                guard let entry = table.session(target) else {
                    var missing = APILogEntry()
                    missing.host = target.raw
                    missing.text = "UNKNOWN: \(target) is not answering; its logs are not shown"
                    continuation.yield(missing)
                    logEnded(operation, target)
                    continue
                }
                entry.session.send(envelope)
            }
            if targets.isEmpty { continuation.finish() }
            return stream
        }
    }

    func logged(_ host: HostName, _ chunk: WireLogChunk) {
        guard let stream = logStreams[chunk.operation] else { return }
        for line in chunk.lines {
            var entry = APILogEntry()
            entry.host = host.raw
            entry.service = line.service
            entry.text = line.text
            if case .dropped = stream.continuation.yield(entry) {
                stream.continuation.finish()
                return
            }
        }
        if chunk.end { logEnded(chunk.operation, host) }
    }

    func logEnded(_ operation: String, _ host: HostName) {
        logStreams[operation]?.hosts.remove(host)
        guard let stream = logStreams[operation], stream.hosts.isEmpty else { return }
        logStreams[operation] = nil
        stream.continuation.finish()
    }

    private func cancelLogs(_ operation: String) {
        guard let stream = logStreams.removeValue(forKey: operation) else { return }
        var envelope = WireEnvelope()
        envelope.logRequest.operation = operation
        envelope.logRequest.cancel = true
        for host in stream.hosts { table.session(host)?.session.send(envelope) }
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
            guard let entry = table.session(host) else { return promise.fail(Coordinator.silent(host)) }
            let operation = operationID()
            awaiting[operation] = .audit(promise, host: host, lines: [])
            var envelope = WireEnvelope()
            envelope.auditRequest.operation = operation
            envelope.auditRequest.limit = limit
            entry.session.send(envelope)
            home.scheduleTask(in: .seconds(10)) { [self] in
                guard case .audit(let promise, _, _)? = awaiting.removeValue(forKey: operation) else { return }
                promise.fail(Coordinator.silent(host))
            }
        }
        return try await promise.futureResult.get()
    }

    func audited(_ chunk: WireAuditChunk) {
        guard case .audit(let promise, let host, var lines)? = awaiting[chunk.operation] else { return }
        lines += chunk.lines
        guard !chunk.end else {
            awaiting[chunk.operation] = nil
            promise.succeed(lines)
            return
        }
        awaiting[chunk.operation] = .audit(promise, host: host, lines: lines)
    }
}
