/// How long an answer may take: a command that was taken and never answered must not hold a run in silence (law 6).
extension RunMachine {
    /// How long what an agent only has to look up or read may take. QuestDB's probes are bounded by 10 s.
    package static let answerBound: Duration = .seconds(30)

    /// When the run wants to be told `timeReached`; nil: it waits for answers and orders alone.
    package var deadline: BootTime? {
        // A silent host, and a command that says what it waits for, are said already.
        let due = outstanding.filter { !$0.value.isOverdue && lost[$0.value.host] == nil && waits[$0.key] == nil }.map(\.value.due)
        return (due + [pollAt].compactMap(\.self)).min()
    }

    /// What the inventory allows the worker, and `answerBound` for the rest.
    func answerBound(of ask: Ask, _ host: HostName) -> Duration {
        func declared(_ service: ServiceName) -> ServiceSpec? { inventory.declared(WorkerName(service, on: host)) }
        let own: Duration =
            switch ask {
            case .readStreams, .gate, .verify, .snapshot: .zero
            case .quiesce(let service): declared(service)?.quiesce?.within ?? .zero
            case .resume(let service): declared(service)?.resume?.within ?? .zero
            case .stop(let service): max((declared(service)?.stop ?? StopSpec()).grace, (declared(service)?.stop ?? StopSpec()).extendTo)
            case .start(let service):
                switch declared(service)?.ready {
                case .notify(let within)?: within
                case .delay(let time)?: time
                case nil: .zero
                }
            }
        return own + Self.answerBound
    }

    /// Marks what is due. What lies outside the scope is only looked at: it is no longer waited for, which the returned notes say.
    mutating func noteOverdue(_ now: Moment) -> [Effect] {
        let due = outstanding.filter { !$0.value.isOverdue && now.boot >= $0.value.due }.sorted { $0.key < $1.key }
        var notes: [Effect] = []
        for (command, asked) in due {
            guard isOnlyLookedAt(asked) else {
                outstanding[command]?.isOverdue = true
                continue
            }
            outstanding[command] = nil
            givenUp.insert(asked.host)
            notes.append(.note(worker: nil, text: "\(asked.host) has not answered \(words(asked)); the run goes on without it"))
        }
        return notes
    }

    /// Whether what a step asks for is evidence and nothing else: it can be gone on without, and the verdict names what is missing.
    static func asksForEvidenceAlone(_ what: PlanStep.What) -> Bool {
        switch what {
        case .capture, .baseline, .ledger, .snapshot, .verify: true
        case .check, .quiesce, .gate, .stop, .drained, .start, .resume: false
        }
    }

    /// `md-2 answers, but not to the readings of its streams, for 30.0 s. It goes on when …`
    func overdueWords(_ asked: Outstanding, _ step: PlanStep) -> String {
        let without: String =
            switch step.what {
            case _ where Self.asksForEvidenceAlone(step.what):
                "  Without it: trading runs override \(id) --gate \(Self.noAnswerGate) --reason … (verdict: unproven)"
            case .gate(let questions):
                questions.first.map { "  Without the gate: trading runs override \(id) --gate \($0.gate) --reason … (verdict: unproven)" } ?? ""
            case .quiesce: "  Without it: trading runs override \(id) --gate \(Self.quiesceGate) --reason … (verdict: unproven)"
            case .drained(let stream, _): "  Without it: trading runs override \(id) --stream \(stream) --reason … (verdict: unproven)"
            default: ""
            }
        return
            "\(asked.host) talks, and has not answered \(words(asked)) for \(answerBound(of: asked.ask, asked.host).words). It goes on when it does; its agent's log says more. "
            + "To end here: trading runs abort \(id) --reason …\(aborting == nil ? without : "")"
    }

    private func words(_ asked: Outstanding) -> String {
        let of = worker(of: asked).map { " of \($0)" } ?? ""
        return switch asked.ask {
        case .readStreams: "the readings of its streams"
        case .gate(let question): "the gate \(question.gate)"
        case .quiesce: "the quiesce\(of)"
        case .resume: "the resume\(of)"
        case .stop: "the stop\(of)"
        case .start: "the start\(of)"
        case .verify: "the look at what is left\(of)"
        case .snapshot: "the snapshot\(of)"
        }
    }
}
