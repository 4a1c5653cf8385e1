package import FleetAPI
package import FleetCore
internal import FleetJournal
internal import FleetWire
internal import NIOCore

/// Locks and notes: a person's words on workers, kept by the agents of their hosts.
extension Coordinator {
    /// How long an agent may take to write a mark down.
    private static let markBound: Duration = .seconds(10)

    package func mark(_ verb: MarkVerb, _ request: APIMarkRequest, by caller: Caller) async throws -> APIDone {
        guard verb == .note || !request.reason.allSatisfy(\.isWhitespace) else {
            throw APIProblem(slug: "no-reason", what: "REFUSED  \(verb.rawValue): no reason given", then: "Add --reason \"…\"")
        }
        let scope = OperationScope(services: request.services)
        let workers = try named(scope).sorted()
        let outcomes = await withTaskGroup(of: Outcome.self) { group in
            for worker in workers { group.addTask { await self.mark(verb, worker, request.reason, caller) } }
            return await group.reduce(into: [Outcome]()) { $0.append($1) }.sorted { $0.worker < $1.worker }
        }
        home.execute { [self] in record(outcomes.compactMap { Self.record($0, verb, request.reason, caller) }) }
        let unchanged = outcomes.filter { $0.problem == nil && $0.isUnchanged }.map(\.worker.description)
        let done = outcomes.filter { $0.problem == nil && !$0.isUnchanged }.map(\.worker.description)
        let past = verb.past(clearing: request.reason.isEmpty)
        guard let failed = outcomes.first(where: { $0.problem != nil }), let problem = failed.problem else {
            var answer = APIDone()
            let locks = verb == .unlock ? outcomes.compactMap { outcome in outcome.lock.map { (outcome.worker, $0) } } : []
            let words = done.isEmpty ? [] : ["\(done.joined(separator: ", ")) \(past)"]
            let others =
                unchanged.isEmpty ? [] : ["\(unchanged.joined(separator: ", ")) \(unchanged.count == 1 ? "was" : "were") not locked: nothing was changed there"]
            answer.text = (words + others + (locks.isEmpty ? [] : try await tellings(locks, caller))).joined(separator: ". ")
            return answer
        }
        let others = outcomes.filter { $0.problem != nil && $0.worker != failed.worker }.map { "\($0.worker): \($0.problem?.what ?? "")" }
        throw APIProblem(
            slug: problem.slug,
            what: done.isEmpty ? problem.what : "PARTLY   \(verb.rawValue): \(done.count) of \(workers.count); not \(failed.worker)",
            why: ([done.isEmpty ? problem.why : "\(done.joined(separator: ", ")) \(past). \(failed.worker): \(problem.what)"] + others).joined(separator: "\n"),
            then: problem.then)
    }

    private struct Outcome: Sendable {
        let worker: WorkerName
        var problem: APIProblem?
        var citations: [String] = []
        /// An unlock of what was not locked: its agent recorded nothing.
        var isUnchanged = false
        /// What an unlock took off.
        var lock: WireMark?
    }

    /// Who locked what was unlocked, and which receivers are told; nothing for one's own.
    private func tellings(_ locks: [(WorkerName, WireMark)], _ caller: Caller) async throws -> [String] {
        let theirs = locks.filter { $0.1.by != caller.name }
        return try await onHome { [self] in
            theirs.map { worker, lock in
                let receivers = inventory.alerts.filter { $0.takes(.unlocked, page: lock.person) }.map(\.name).sorted()
                let told =
                    receivers.isEmpty || alerts == nil ? "no receiver of alerts takes it: tell \(lock.person)" : "tells \(receivers.joined(separator: ", "))"
                return "\(worker) was locked by \(lock.person) \(zone.moment(lock.unixUs, now: now().unixMicroseconds)): \"\(lock.text)\" (\(told))"
            }
        }
    }

    private func mark(_ verb: MarkVerb, _ worker: WorkerName, _ text: String, _ caller: Caller) async -> Outcome {
        do {
            var command = WireCommand()
            let (operation, lock) = try await onHome { [self] in
                let report = hosts[worker.host]?.worker(worker.service)
                let lock = report?.hasLock == true ? report?.lock : nil
                if verb == .unlock, lock != nil { alerts?.unlocks(worker, by: caller.name, reason: text) }
                return (operationID(), lock)
            }
            command.operation = operation
            command.service = worker.service.raw
            command.origin = caller.name
            command.reason = text
            switch verb {
            case .lock: command.lock = WireEmpty()
            case .unlock: command.unlock = WireEmpty()
            case .note: command.remark.text = text
            }
            let result = try await ask(worker.host, command, bound: Self.markBound)
            let citations = result.records.map { "\(worker.host):\($0.sequence):\($0.hash.prefix(16))" }
            guard result.outcome == .done else {
                if verb == .unlock { home.execute { self.alerts?.unlockRefused(worker) } }
                let problem = APIProblem(slug: result.slug, what: "REFUSED  \(result.text)", why: "Nothing was done.", then: "trading status \(worker)")
                return Outcome(worker: worker, problem: problem, citations: citations)
            }
            let isUnlock = verb == .unlock
            return Outcome(worker: worker, citations: citations, isUnchanged: isUnlock && citations.isEmpty, lock: isUnlock && !citations.isEmpty ? lock : nil)
        } catch let problem as APIProblem {
            return Outcome(worker: worker, problem: problem)
        } catch {
            return Outcome(worker: worker, problem: APIProblem(slug: "internal", what: "FAILED   \(verb.rawValue) of \(worker): \(error)"))
        }
    }

    private static func record(_ outcome: Outcome, _ verb: MarkVerb, _ reason: String, _ caller: Caller) -> AuditRecord? {
        guard outcome.problem == nil, !outcome.isUnchanged else { return nil }
        let event: AuditEvent =
            switch verb {
            case .lock: .workerLocked
            case .unlock: .workerUnlocked
            case .note: .workerNoted
            }
        let lock = outcome.lock.map { [("locked_by", $0.by), ("lock", $0.text)] } ?? []
        return AuditRecord(
            event, worker: outcome.worker, by: caller.name, reason: reason, fields: [("evidence", outcome.citations.joined(separator: " "))] + lock)
    }

    // MARK: One worker's page

    /// How long an agent may take to look at one worker.
    private static let detailBound: Duration = .seconds(5)

    package func worker(_ name: String) async throws -> APIWorkerPage {
        guard let worker = WorkerName(name), inventory.workers.contains(worker) else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  no worker is called \(name)",
                why: "The inventory has: \(inventory.workers.map(\.description).joined(separator: ", "))", then: "Write it as service@host")
        }
        var (page, command) = try await onHome { [self] in
            var page = APIWorkerPage()
            page.worker = worker.description
            let time = now().boot
            if let host = hosts[worker.host] {
                if let report = host.worker(worker.service) { page.report = report }
                if let last = host.reportAt { page.ageNs = UInt64(max(0, (time - last).nanoseconds)) }
            }
            var command = WireCommand()
            command.operation = operationID()
            command.service = worker.service.raw
            command.readDetail = WireEmpty()
            return (page, command)
        }
        do {
            let result = try await ask(worker.host, command, bound: Self.detailBound)
            if result.outcome == .done, result.hasDetail {
                page.detail = result.detail
                if result.hasWorker {
                    page.report = result.worker
                    page.ageNs = 0
                }
            } else {
                page.problem = APIProblem(slug: result.slug.isEmpty ? "bad-answer" : result.slug, what: "NOT SEEN \(result.text)")
            }
        } catch let problem as APIProblem {
            page.problem = problem
        }
        return page
    }
}

/// What a person puts on a worker or takes off it.
extension MarkVerb {
    func past(clearing: Bool) -> String {
        switch self {
        case .lock: "locked: no verb but an emergency stop acts on it"
        case .unlock: "unlocked; nothing was started"
        case .note: clearing ? "have their notes taken away" : "noted"
        }
    }
}
