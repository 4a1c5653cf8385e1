import FleetCore
import TestSupport
import Testing

/// What the verdict of a stop rests on, over random fleets: honest ones are never accused, and no piece of evidence can go missing
/// unnoticed.
struct EvidencePropertyTests {
    @Test("of 1,000 honest fleets with restarts, crashes and trims no stop is contradicted, and each in which nothing is unknown is proven")
    func honestFleets() {
        var verdicts: [String: Int] = [:]
        for seed in seeds(1_000, of: "honest fleets") {
            guard let stop = Stop(seed, crashes: true) else { continue }
            let verdict = StopVerdict.judge(stop.machine, ending: stop.ending)
            verdicts[verdict.verdict.rawValue, default: 0] += 1
            let isKnown = stop.isKnown
            if verdict.verdict == .contradicted || (verdict.verdict != .proven && isKnown) {
                Issue.record(
                    "an honest fleet, \(isKnown ? "all known" : "something unknown"), is called \(verdict) [\(howToRepeat(seed, "EvidencePropertyTests"))]")
                return
            }
        }
        print("honest fleets: \(verdicts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))")
        #expect(verdicts["proven", default: 0] > 300 && verdicts["unproven", default: 0] > 50, "the test tries both: \(verdicts)")
    }

    @Test("one piece of evidence less and a proven stop is no longer proven, and the piece is named")
    func evidenceTakenAway() {
        var taken: [String: Int] = [:]
        for seed in seeds(1_000, of: "taken evidence") {
            guard let honest = Stop(seed, crashes: false), honest.ending == nil, StopVerdict.judge(honest.machine).verdict == .proven else { continue }
            var random = SplitMix64(seed: seed ^ 0x5eed)
            guard let theft = honest.theft(&random) else { continue }
            guard let robbed = Stop(seed, crashes: false, theft: theft) else {
                Issue.record("\(theft) ends the run unsaid [\(howToRepeat(seed, "EvidencePropertyTests"))]")
                return
            }
            taken[theft.kind, default: 0] += 1
            let verdict = StopVerdict.judge(robbed.machine, ending: robbed.ending)
            let isNamed = (verdict.because + [robbed.machine.blocked?.text ?? ""]).contains { text in theft.names.contains { text.contains($0) } }
            if verdict.verdict == .proven || !isNamed {
                Issue.record("without \(theft) it is \(verdict) [\(howToRepeat(seed, "EvidencePropertyTests"))]")
                return
            }
        }
        print("taken evidence: \(taken.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))")
        for kind in Theft.kinds { #expect(taken[kind, default: 0] > 0, "nothing tried for \(kind): \(taken)") }
    }
}

/// What a robbed run is not told.
struct Theft: CustomStringConvertible {
    /// An answer that stays out, a session that ends, a check, a launch, a history, an exit, a reading, a gate's value, a look.
    static let kinds = ["answer", "session", "check", "checks", "launch", "history", "exit", "reading", "readings", "tree", "tree-end"]

    let kind: String
    let command: RunMachine.Ask
    let host: HostName
    /// One of these stands in the verdict's reasons, or in the block.
    let names: [String]

    /// Told with every answer about the worker, and taken out of all of them.
    var isOfLaunches: Bool { kind == "launch" || kind == "history" }

    var description: String { "\(kind) of \(command) on \(host)" }
}

/// A stop of everything, of a fleet that has lived a while, to its end or to where it blocks for good.
private struct Stop {
    var machine: RunMachine
    var agents: SimulatedAgents
    let fleet: RandomFleet
    private(set) var answers: [(ask: RunMachine.Ask, host: HostName, done: RunReply.Done)] = []
    private(set) var ending: String?
    private var now = Moment(boot: BootTime(nanoseconds: 1_000_000_000), unixMicroseconds: 1)

    /// Nil: nothing to stop.
    init?(_ seed: UInt64, crashes: Bool, theft: Theft? = nil) {
        var random = SplitMix64(seed: seed)
        fleet = RandomFleet(&random, calm: true)
        agents = SimulatedAgents(fleet)
        agents.faults = false
        for _ in 0..<random.below(40) { agents.live(crashes: crashes, &random) }
        guard let plan = try? Planner(inventory: fleet.inventory, fleet: fleet.observed).plan(.stop, OperationScope(all: true)), !plan.workers.isEmpty else {
            return nil
        }
        machine = RunMachine(id: 7, plan: plan, inventory: fleet.inventory, book: RunFixture.book(fleet.inventory), by: "eng-1", reason: "test")
        tell(.begin, theft)
        var patience = 50
        for _ in 0..<6_000 where !machine.state.isEnded {
            // What is not known, or was taken away, may make it wait for a person for ever.
            if machine.blocked != nil { patience -= 1 }
            if patience == 0 { break }
            agents.step(&random)
            now.boot = now.boot + .milliseconds(200)
            now.unixMicroseconds += 200_000
            while let (command, reply) = agents.deliver(&random) { answer(command, reply, theft) }
            tell(.timeReached, theft)
        }
        if !machine.state.isEnded { ending = machine.blocked.map { "blocked: \($0.text)" } ?? "it waits for what does not come" }
    }

    /// Every counter that a line needs covers the whole time.
    var isKnown: Bool {
        fleet.inventory.streams.allSatisfy { stream in
            stream.to.allSatisfy { consumer in
                let counts = if case .counter? = consumer.applied { true } else { false }
                if stream.via == .direct {
                    return stream.produced != nil && counts && !stream.from.contains(where: agents.crashed.contains)
                        && !agents.crashed.contains(consumer.service)
                }
                return !counts || !agents.crashed.contains(consumer.service)
            }
        }
    }

    private mutating func tell(_ event: RunMachine.Event, _ theft: Theft?) {
        for case .send(let command, let host, let ask) in machine.handle(event, now: now) {
            asked[command] = (ask, host)
            agents.send(command, host, ask)
        }
    }

    private var asked: [CommandID: (RunMachine.Ask, HostName)] = [:]

    private mutating func answer(_ command: CommandID, _ reply: RunReply, _ theft: Theft?) {
        guard let (ask, host) = asked[command], machine.wants(command) else { return }
        guard case .done(var done) = reply else { return tell(.answered(command, reply), theft) }
        answers.append((ask, host, done))
        if let theft, theft.host == host, theft.command == ask || (theft.isOfLaunches && service(of: theft.command) == service(of: ask)) {
            switch theft.kind {
            case "answer": return tell(.answered(command, .failed(slug: "unknown", text: "\(host) lost the answer")), theft)
            case "session": return tell(.hostLost(host, why: "cut"), theft)
            case "check": done.checks.removeAll { $0.what == .sockets }
            case "checks": done.checks = []
            case "launch": done.launches = done.launches.map { LaunchHistory(Array($0.launches.dropFirst())) }
            case "history": done.launches = nil
            case "exit": done.exit = nil
            case "reading": if !done.streams.isEmpty { done.streams.removeFirst() }
            case "readings": done.streams = []
            case "tree": done.treeEmpty = false
            case "tree-end": done.exit?.tree = nil
            default: break
            }
        }
        tell(.answered(command, .done(done)), theft)
    }

    private func service(of ask: RunMachine.Ask) -> ServiceName? {
        switch ask {
        case .stop(let service), .verify(let service), .snapshot(let service): service
        default: nil
        }
    }

    /// A piece of evidence that this stop had, of a kind that chance picks.
    func theft(_ random: inout SplitMix64) -> Theft? {
        let kind = random.pick(Theft.kinds)
        var found: [Theft] = []
        for (ask, host, done) in answers {
            let worker: WorkerName? =
                switch ask {
                case .stop(let service), .verify(let service): WorkerName(service, on: host)
                default: nil
                }
            let isStop = if case .stop = ask { true } else { false }
            let names = [worker?.description ?? "\(host)", "\(host)"]
            switch kind {
            case "answer", "session":
                // A first reading of the streams is no evidence: nothing has been stopped by then.
                if worker != nil { found.append(Theft(kind: kind, command: ask, host: host, names: names)) }
            case "check", "checks", "exit", "tree-end": if isStop { found.append(Theft(kind: kind, command: ask, host: host, names: [names[0]])) }
            case "tree": if worker != nil { found.append(Theft(kind: kind, command: ask, host: host, names: [names[0]])) }
            case "launch", "history":
                // Only launches that a line counts.
                guard let worker, counts(worker), let history = done.launches, history.launches.count > (kind == "launch" ? 1 : 0) else { continue }
                if kind == "history" || history.launches.count > 1 { found.append(Theft(kind: kind, command: ask, host: host, names: [worker.description])) }
            case "reading", "readings":
                guard ask == .readStreams, let first = done.streams.first(where: \.known), done.streams.first == first else { continue }
                found.append(Theft(kind: kind, command: ask, host: host, names: [first.stream.raw]))
            default: break
            }
        }
        return random.pickAny(found)
    }

    /// Whether a line without a buffer of its own counts what this worker said.
    private func counts(_ worker: WorkerName) -> Bool {
        fleet.inventory.streams.contains { stream in
            stream.to.contains { consumer in
                let counts = if case .counter? = consumer.applied { consumer.service == worker.service } else { false }
                return counts || (stream.via == .direct && stream.from.contains(worker.service))
            }
        }
    }
}
