import FleetAPI
import FleetClient
import FleetCore
import FleetWire
import Glibc
import LinuxHost

/// An emergency stop of this host, with its agent or without it.
struct LocalEmergency {
    let settings: FleetClientSettings
    let request: APIEmergencyRequest
    let yes: Bool
    let began: ContinuousClock.Instant

    /// How long the agent may take before this program acts itself.
    ///
    /// It acts anyway: a kill can't be done once too often.
    private static let agentBudget: Duration = .milliseconds(50)

    func run() async throws -> Never {
        guard let runDirectory = settings.runDirectory else {
            throw FleetClientSettingsError(
                "--local emergency-stop needs the agent's run directory: write `run_dir = /run/trading` into "
                    + (settings.file.isEmpty ? "/etc/trading/client.conf" : settings.file))
        }
        if !yes {
            try EmergencyConfirmation.demandTerminal()
            Terminal.out(["KILLS NOW on this host, no flushing: \(request.scope.everything ? "every worker" : "what the inventory's emergency_stop names")."])
            try EmergencyConfirmation.type(settings.fleet?.raw ?? "all")
        }
        let asked = askAgent()
        let answered = await first(asked)
        let report = LocalEmergencyStop.run(runDirectory: runDirectory, stateDirectory: settings.stateDirectory, latch: latch)
        var outcome = answered
        if outcome == nil, !report.everythingGone { outcome = await last(asked) }
        try finish(report, outcome)
    }

    private var latch: LatchFile {
        LatchFile(
            id: request.latch, by: LatchBounds.author("local:\(Self.user)"), reason: request.reason, unixMicroseconds: Clock.unixMicroseconds(),
            scope: LatchFile.Scope(
                everything: request.scope.everything, tiers: request.scope.tiers, hosts: [LatchFile.Scope.thisHost],
                services: request.scope.services))
    }

    private static var user: String {
        // The kill waits for it: no longer than a person would notice.
        Account.name(of: getuid(), within: .milliseconds(200)) ?? "uid \(getuid())"
    }

    // MARK: The agent

    private enum Word: Sendable {
        case answer(Result<APIEmergencyAnswer, APIProblem>)
        case budgetOver
    }

    private func askAgent() -> AsyncStream<Word> {
        let (words, feed) = AsyncStream.makeStream(of: Word.self)
        guard let socket = settings.agentSocket else {
            feed.finish()
            return words
        }
        let request = request
        Task {
            do {
                let answer: APIEmergencyAnswer = try await APIClient(.unix(name: "agent", path: socket)).post(
                    Route.emergencyStop, request, within: EmergencyCall.answerBound)
                feed.yield(.answer(.success(answer)))
            } catch let problem as APIProblem {
                feed.yield(.answer(.failure(problem)))
            } catch {
                feed.yield(.answer(.failure(APIProblem(slug: "no-agent", what: "UNREACHABLE agent: \(error)"))))
            }
            feed.finish()
        }
        Task {
            do { try await Task.sleep(for: Self.agentBudget) } catch { return }
            feed.yield(.budgetOver)
        }
        return words
    }

    private func first(_ words: AsyncStream<Word>) async -> Result<APIEmergencyAnswer, APIProblem>? {
        for await word in words {
            switch word {
            case .answer(let answer): return answer
            case .budgetOver: return nil
            }
        }
        return nil
    }

    private func last(_ words: AsyncStream<Word>) async -> Result<APIEmergencyAnswer, APIProblem>? {
        for await word in words { if case .answer(let answer) = word { return answer } }
        return nil
    }

    // MARK: What came of it

    private func finish(_ report: LocalEmergencyStop.Report, _ answer: Result<APIEmergencyAnswer, APIProblem>?) throws -> Never {
        let took = began.duration(to: .now)
        var lines: [String] = []
        var byAgent: [WireEmergencyResult.Gone] = []
        switch answer {
        case .success(let answer):
            byAgent = answer.hosts.flatMap(\.workers)
            lines.append("the agent took it")
        case .failure(let problem): lines.append("without the agent: \(problem.what)")
        case nil: lines.append("without the agent: it did not answer within \(Self.agentBudget.words)")
        }
        var gone: [String: Bool] = [:]
        for worker in byAgent { gone[worker.service] = worker.gone }
        for worker in report.workers { gone[worker.service] = worker.gone || gone[worker.service] == true }
        for (service, isGone) in gone.sorted(by: { $0.key < $1.key }) {
            let text = report.workers.first { $0.service == service }?.text ?? ""
            lines.append("\(isGone ? "✓" : "?") \(ScreenText.left(service, 24)) \(isGone ? "gone" : "not confirmed")\(text.isEmpty ? "" : ": \(text)")")
        }
        if !report.spared.isEmpty { lines.append("spared: \(report.spared.joined(separator: ", "))") }
        for write in report.latchWrites { if let error = write.error { lines.append("NOT WRITTEN: latch \(write.path): \(error)") } }
        // What this user may not look at, the agent may have seen to.
        let agentSawAll: Bool = if case .success(let answer) = answer { answer.silentHosts.isEmpty && answer.hosts.allSatisfy(\.final) } else { false }
        if !agentSawAll { lines += report.problems.map { "NOT SEEN: \($0)" } }
        let open = gone.filter { !$0.value }.count
        let isLookedAt = agentSawAll || report.problems.isEmpty
        lines.append(
            isLookedAt || !gone.isEmpty
                ? "GONE \(gone.count - open) of \(gone.count) in \(took.words)\(open > 0 ? " · UNKNOWN \(open)" : "")"
                : "NOTHING IS CONFIRMED GONE: what runs here could not be looked at")
        let isNamed = !request.scope.services.isEmpty || !request.scope.tiers.isEmpty
        if gone.isEmpty, isNamed, isLookedAt { lines.append("! NOTHING OF THAT NAME ran here: look at the spelling, and at what is spared above") }
        let kept = report.latchWrites.contains { $0.error == nil } || agentSawAll
        if !kept { lines.append("THE LATCH IS NOT KEPT: an agent that hears nothing of it may launch again") }
        if kept || agentSawAll {
            lines.append("In force until: trading --local emergency-stop release --latch \(request.latch) --reason \"…\"")
        } else {
            lines.append("As root, or as a user whom the agent and the run directory admit, the same does more: sudo trading --local emergency-stop …")
        }
        Terminal.out(Terminal.style.apply(lines.flatMap { ScreenText.wrapped($0, width: Terminal.style.width, indent: "  ") }))
        throw Failure.quietly(open == 0 && kept && !(gone.isEmpty && isNamed) && isLookedAt ? .done : .unknown)
    }
}
