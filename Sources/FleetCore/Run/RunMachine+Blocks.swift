/// Blocks, and what a person does about them.
extension RunMachine {
    /// Hosts of the plan that don't answer and that nobody has attested off.
    var silentInPlan: Set<HostName> { Set(plan.workers.map(\.host).filter { lost[$0] != nil && !off.contains($0) }) }

    /// Says BLOCKED, or takes it back, by what is true now.
    mutating func reblock(_ now: Moment) -> [Effect] {
        guard state == .active, let current else { return [] }
        if current.what == .check, outstanding.isEmpty, aborting == nil, silentInPlan.isEmpty { return next(now) }
        let owing = current.what == .check ? silentInPlan : waitingFor
        if let host = owing.filter({ lost[$0] != nil }).min() {
            let what: String =
                if aborting != nil {
                    "the abort waits for \(host) to resume"
                } else if case .stop(let tier, _) = current.what {
                    "tier \(tier) can't be proven stopped"
                } else {
                    "step \(current.number) waits for \(host)"
                }
            return block(
                "host-unknown",
                "step \(current.number): \(what). \(host) has not answered (\(lost[host] ?? "")); its workers may be running. It goes on when \(host) answers. "
                    + (aborting == nil
                        ? "If it is off: trading runs attest \(id) --host \(host) --powered-off --reason …"
                        : "To end without it: trading runs abort \(id) --reason …"),
                about: host.raw)
        }
        if let (command, wait) = waits.min(by: { $0.key < $1.key }) { return block(wait.slug, wait.text, about: command.raw) }
        if let (command, asked) = outstanding.filter({ $0.value.isOverdue }).min(by: { $0.key < $1.key }) {
            return block(Self.noAnswerGate, "step \(current.number): \(overdueWords(asked, current))", about: command.raw)
        }
        if aborting != nil { return unblock() }
        if !failures.isEmpty { return outstanding.isEmpty ? [] : unblock() }
        if let since = gateSince, case .gate = current.what {
            let late = openGates.filter { now.boot >= since + $0.key.wait }.sorted { ($0.key.gate, $0.key.host) < ($1.key.gate, $1.key.host) }
            guard let (question, value) = late.first else { return unblock() }
            return block(
                question.gate,
                "step \(current.number): \(Self.words(question, value)); for \((now.boot - since).words). "
                    + (evidence.tierOrder.isEmpty ? "Nothing has been stopped. " : "")
                    + "It goes on by itself at \(question.wants). Give up: trading runs abort \(id) --reason …  Without the gate: trading runs override \(id) --gate \(question.gate) --reason … (verdict: unproven)",
                about: question.description)
        }
        if case .drained(let stream, let consumer) = current.what, let since = gateSince, now.boot >= since + Self.drainBound {
            return block(
                "not-drained",
                "step \(current.number): stream \(stream) -> \(consumer) is not drained: \(steps[step].detail). "
                    + "Without it: trading runs override \(id) --stream \(stream) --reason … (verdict: unproven)", about: stream.raw)
        }
        return unblock()
    }

    /// `order-gateway@ex-1 has 2 open orders, the gate wants 0`
    private static func words(_ question: GateQuestion, _ value: String) -> String {
        let name = question.gate.split(separator: "-").joined(separator: " ")
        let has = Int(value) == nil ? "says of \(name): \(value)" : "has \(value) \(name)"
        return "\(question.owner)@\(question.host) \(has), the gate wants \(question.wants)"
    }

    /// A new subject is a new record; the same one with other figures only changes what is shown.
    mutating func block(_ slug: String, _ text: String, about subject: String) -> [Effect] {
        let new = Block(slug: slug, text: text)
        guard blocked != new else { return [] }
        let isNew = blocked?.slug != slug || blockedOn != subject
        blocked = new
        blockedOn = subject
        guard isNew else { return [.blockChanged] }
        blockRecords[subject, default: 0] += 1
        // A host that comes and goes all the time fills no audit.
        guard blockRecords[subject, default: 0] <= Self.blockRecordsMax else { return [.blockChanged] }
        return [.record(.runBlocked, worker: nil, fields: [.init("slug", slug), .init("text", text)]), .blockChanged]
    }

    mutating func unblock() -> [Effect] {
        guard blocked != nil else { return [] }
        blocked = nil
        return [.blockChanged]
    }

    mutating func overridden(_ override: RunOverride, _ now: Moment) -> [Effect] {
        if case .hostOff(let host) = override.what, lost[host] == nil {
            return [.note(worker: nil, text: "\(host) answers: it is not powered off, and nothing was changed. trading status \(host)")]
        }
        evidence.overrides.append(override.words)
        let record = Effect.record(.runOverride, worker: nil, fields: [.init("what", override.words), .init("by", override.by)])
        switch override.what {
        case .gate(let name): overrides.insert("gate:\(name)")
        case .stream(let name): overrides.insert("stream:\(name)")
        case .hostOff(let host):
            evidence.attestedOff.insert(host)
            off.insert(host)
        }
        guard state == .active, let current else { return [record] }
        switch override.what {
        case .gate(let name): waive(gate: name, in: current)
        case .stream(let name):
            if case .drained(name, _) = current.what { waiveOutstanding { _ in true } }
        case .hostOff(let host):
            if current.what == .check { steps[step].state = .overridden }
            let owed = outstanding.filter { $0.value.host == host }.sorted { $0.key < $1.key }
            let failed = failures.filter { $0.value.asked.host == host }.sorted { $0.key < $1.key }
            waiveOutstanding { $0.host == host }
            for (command, _) in failed { failures[command] = nil }
            for (command, asked) in owed + failed.map({ ($0.key, $0.value.asked) }) where aborting == nil { attest(command, asked) }
            if aborting != nil { notResumed += owed.map { "\(worker(of: $0.value)?.description ?? host.raw): its host is attested powered off" } }
        }
        return [record] + settle(now)
    }

    private mutating func waive(gate name: String, in current: PlanStep) {
        switch current.what {
        case .gate: waiveOutstanding { if case .gate(let question) = $0.ask { question.gate == name } else { false } }
        case .quiesce where name == Self.quiesceGate && aborting == nil:
            waiveOutstanding { if case .quiesce = $0.ask { true } else { false } }
            failures = [:]
            steps[step].state = .overridden
        case let what where name == Self.noAnswerGate && Self.asksForEvidenceAlone(what): waiveOverdue()
        case .stop, .verify:
            guard name == Self.leftBehindGate, aborting == nil, failures.contains(where: { $0.value.slug == name }) else { return }
            for (command, failure) in failures where failure.slug == name {
                failures[command] = nil
                if let worker = worker(of: failure.asked) { accepted.insert(worker) }
            }
            steps[step].state = .overridden
        default: break
        }
    }

    private mutating func waiveOverdue() {
        guard aborting == nil, outstanding.contains(where: { $0.value.isOverdue }) else { return }
        givenUp.formUnion(outstanding.values.filter(\.isOverdue).map(\.host))
        waiveOutstanding(\.isOverdue)
        steps[step].state = .overridden
    }

    /// An answer still out is no longer waited for.
    private mutating func waiveOutstanding(_ isWaived: (Outstanding) -> Bool) {
        for (command, asked) in outstanding where isWaived(asked) {
            outstanding[command] = nil
            waits[command] = nil
        }
    }

    mutating func retry(_ by: String, _ now: Moment) -> [Effect] {
        guard !failures.isEmpty, aborting == nil else { return [] }
        let again = failures.sorted { $0.key < $1.key }
        failures = [:]
        attempt += 1
        let effects: [Effect] = [.record(.runOverride, worker: nil, fields: [.init("what", "retry"), .init("by", by)])] + unblock()
        let sends = again.compactMap { _, failure in
            worker(of: failure.asked).flatMap { send(to: failure.asked.host, failure.asked.ask, suffix: $0.description, now) }
        }
        return effects + sends + settle(now)
    }

    /// Before the first stop signal an abort resumes what the run has quiesced, not what was quiesced before it; later it leaves everything as it is. A
    /// second abort does not wait for the resuming.
    mutating func abort(_ why: String, _ by: String, _ now: Moment) -> [Effect] {
        if let aborting {
            let owed = outstanding.values.compactMap { worker(of: $0)?.description }.sorted()
            return end(.aborted("\(aborting); may still be quiesced: \((notResumed + owed).joined(separator: "; "))"), .runAborted, now)
        }
        guard state == .active, let current else { return end(.aborted(why), .runAborted, now) }
        let quiesced = plan.steps.prefix(current.number).flatMap { step -> [WorkerName] in if case .quiesce(let workers) = step.what { workers } else { [] } }
        let toResume = quiesced.filter { inventory.service($0.service)?.resume != nil && !plan.quiescedBefore.contains($0) }
        let reachable = toResume.filter { lost[$0.host] == nil }
        guard evidence.tierOrder.isEmpty, !reachable.isEmpty else {
            let unknown = evidence.tierOrder.isEmpty ? toResume : []
            let left = unknown.isEmpty ? "" : "; may still be quiesced: \(unknown.map(\.description).joined(separator: ", "))"
            return end(.aborted(why + left), .runAborted, now)
        }
        outstanding = [:]
        failures = [:]
        waits = [:]
        openGates = [:]
        gateSince = nil
        pollAt = nil
        attempt += 1
        aborting = why
        notResumed = toResume.filter { lost[$0.host] != nil }.map { "\($0): its host does not answer" }
        steps[step].state = .failed
        steps[step].ended = now
        let resuming = reachable.map(\.description).joined(separator: ", ")
        return [.record(.runOverride, worker: nil, fields: [.init("what", "abort \(why); resuming \(resuming)"), .init("by", by)])]
            + unblock() + [.stepChanged(step), .note(worker: nil, text: "aborted \(why); resuming \(resuming)")]
            + ask(reachable, now) { .resume($0.service) }
    }
}
