package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import NIOCore

/// Layouts: what each host's agent sees, plans, changes and verifies, asked of all at once.
extension Coordinator {
    /// Reading a host's topology takes milliseconds, its clock's state up to seconds.
    private static let lookBound: Duration = .seconds(20)
    /// The kernel may take long to find the room for large pages.
    private static let applyBound: Duration = .seconds(120)

    package func layout(_ request: APILayoutAsk, by caller: Caller) async throws -> APILayoutAnswers {
        let isApply = request.request.what == .apply
        guard !isApply || !request.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  layout apply: no reason given", then: "Add --reason \"…\"")
        }
        for host in request.hosts where inventory.host(HostName(host)) == nil {
            throw APIProblem(
                slug: "unknown-host", what: "REFUSED  no host is called \(host)",
                why: "The inventory has: \(inventory.hosts.map(\.name.raw).joined(separator: ", "))", then: "trading status shows them")
        }
        let names = inventory.hosts.map(\.name).filter { request.hosts.isEmpty || request.hosts.contains($0.raw) }
        let overridden = try named(overrides: request.request.overrideWorkers, on: names)
        let answers = await withTaskGroup(of: APIHostLayout.self) { group in
            for host in names {
                var asked = request.request
                asked.overrideWorkers = overridden.filter { $0.host == host }.map(\.service.raw)
                group.addTask { await self.layout(of: host, asked, request.reason, caller) }
            }
            return await group.reduce(into: [APIHostLayout]()) { $0.append($1) }
        }
        var all = APILayoutAnswers()
        all.hosts = names.compactMap { name in answers.first { $0.host == name.raw } }
        return all
    }

    /// A name that means nobody would look as if a live worker had been spared by its override.
    private func named(overrides: [String], on hosts: [HostName]) throws -> [WorkerName] {
        guard !overrides.isEmpty else { return [] }
        let workers = try named(OperationScope(services: overrides)).filter { hosts.contains($0.host) }
        guard !workers.isEmpty else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  layout apply: --override names no worker of \(hosts.map(\.raw).joined(separator: ", "))",
                then: "trading layout plan  names the workers that a change would touch")
        }
        return workers.sorted()
    }

    private func layout(of host: HostName, _ request: WireLayoutRequest, _ reason: String, _ caller: Caller) async -> APIHostLayout {
        var answer = APIHostLayout()
        answer.host = host.raw
        do {
            var command = WireCommand()
            command.operation = try await onHome { [self] in operationID() }
            command.origin = caller.name
            command.reason = reason
            command.layout = request
            let result = try await ask(host, command, bound: request.what == .apply ? Self.applyBound : Self.lookBound)
            if result.hasLayout { answer.answer = result.layout }
            if result.outcome != .done {
                answer.problem = APIProblem(
                    slug: result.slug, what: "\(result.outcome == .refused ? "REFUSED " : "FAILED  ") layout of \(host): \(result.text)")
            }
            if request.what == .apply {
                let citations = result.records.map { "\(host):\($0.sequence):\($0.hash.prefix(16))" }
                let record = Self.record(host, answer.answer.changes, reason, caller, citations)
                home.execute { [self] in self.record([record]) }
            }
        } catch let problem as APIProblem {
            answer.problem = problem
        } catch {
            answer.problem = APIProblem(slug: "internal", what: "FAILED   layout of \(host): \(error)")
        }
        return answer
    }

    private static func record(_ host: HostName, _ changes: [WireLayoutChange], _ reason: String, _ caller: Caller, _ citations: [String]) -> AuditRecord {
        let done = changes.filter(\.done)
        let refused = changes.filter { !$0.done }
        return AuditRecord(
            done.isEmpty && !refused.isEmpty ? .layoutRefused : .layoutChanged, host: host, by: caller.name, reason: reason,
            fields: [
                ("done", done.map(\.subject).joined(separator: "; ")), ("not_done", refused.map(\.subject).joined(separator: "; ")),
                ("evidence", citations.joined(separator: " ")),
            ])
    }
}
