import FleetCore
import TestSupport
import Testing

/// Random fleets, random faults, random operators: first everything breaks, then the fleet heals and every run must end.
struct RunPropertyTests {
    private static let brokenSteps = 120
    /// A healed run of the largest fleet needs some 600.
    private static let healedStepsMax = 6_000

    @Test("in 1,000 random fleets every plan is sound, the laws hold under any faults, and every run ends once healed")
    func randomFleets() {
        var endings: [String: Int] = [:]
        for seed in seeds(1_000, of: "random fleets") {
            let (ending, violations) = Self.run(seed)
            endings[ending, default: 0] += 1
            for violation in violations.prefix(3) { Issue.record("\(violation) [\(howToRepeat(seed, "RunPropertyTests"))]") }
            if violations.count > 0 { break }
        }
        print("random fleets: \(endings.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))")
    }

    @Test("without faults and operators every stop completes as proven steps, in few events")
    func calmFleets() {
        for seed in seeds(150, of: "calm fleets") {
            let (ending, violations) = Self.run(seed, calm: true)
            let problems = violations + (["completed", "nothing to do"].contains(ending) ? [] : ["a calm run ended as \(ending)"])
            for problem in problems.prefix(3) { Issue.record("\(problem) [\(howToRepeat(seed, "RunPropertyTests"))]") }
            if problems.count > 0 { break }
        }
    }

    private static func run(_ seed: UInt64, calm: Bool = false) -> (ending: String, violations: [String]) {
        var random = SplitMix64(seed: seed)
        let fleet = RandomFleet(&random, calm: calm)
        let kind: RunKind = random.chance(75) ? .stop : random.pick(RunKind.allCases)
        let plan: Plan
        do {
            plan = try Planner(inventory: fleet.inventory, fleet: fleet.observed).plan(kind, fleet.scope(&random))
        } catch {
            return ("refused", ["a reporting fleet was refused: \(error)"])
        }
        let unsound = PlanChecker(inventory: fleet.inventory, plan: plan).violations()
        guard unsound.isEmpty else { return ("unsound", unsound) }
        var scene = Scene(fleet: fleet, plan: plan, random: random, calm: calm)
        return scene.play(broken: calm ? 0 : brokenSteps, healed: healedStepsMax)
    }
}

/// One run, its agents, its operator and its judge.
private struct Scene {
    var machine: RunMachine
    var agents: SimulatedAgents
    var judge: RunJudge
    var random: SplitMix64
    let calm: Bool
    /// Half of the operators override; the others only retry.
    let overrides: Bool
    let fleet: RandomFleet
    var now = Moment(boot: BootTime(nanoseconds: 1_000_000_000), unixMicroseconds: 1)
    var lost: Set<HostName> = []

    init(fleet: RandomFleet, plan: Plan, random: SplitMix64, calm: Bool) {
        var random = random
        self.fleet = fleet
        self.calm = calm
        overrides = random.chance(50) && !calm
        self.random = random
        machine = RunMachine(id: 7, plan: plan, inventory: fleet.inventory, book: RunFixture.book(fleet.inventory), by: "eng-1", reason: "test")
        agents = SimulatedAgents(fleet)
        judge = RunJudge(inventory: fleet.inventory, plan: plan)
    }

    mutating func play(broken: Int, healed: Int) -> (String, [String]) {
        if !calm, random.chance(15), let host = random.pickAny(fleet.inventory.hosts)?.name { lose(host) }
        tell(.begin)
        agents.faults = !calm
        for _ in 0..<broken where !machine.state.isEnded {
            breakSomething()
            advance()
            if let violation = judge.violations.first { return ("broken", [violation]) }
        }
        heal()
        var steps = 0
        while !machine.state.isEnded, steps < healed, judge.violations.isEmpty {
            steps += 1
            if !calm { repair() }
            advance()
        }
        guard judge.violations.isEmpty else { return ("broken", judge.violations) }
        guard machine.state.isEnded else {
            return (
                "hung",
                [
                    "does not end: step \(machine.step + 1) of \(machine.plan.steps.count) \(machine.current?.text ?? "-"), blocked: \(machine.blocked?.text ?? "no"), owed: \(judge.owed)"
                ]
            )
        }
        for event: RunMachine.Event in [
            .timeReached, .hostReturned("h0"), .hostLost("h0", why: "late"), .retryOrdered(by: "x"), .abortOrdered(by: "x", reason: "y"), .latched("l"),
            .hostLatched("h0", "own"),
        ] { tell(event) }
        return (word, judge.violations + atTheEnd())
    }

    private var word: String {
        switch machine.state {
        case .completed: "completed"
        case .aborted: "aborted"
        case .failed: "failed"
        case .waiting, .active: "unended"
        }
    }

    private func atTheEnd() -> [String] {
        guard machine.plan.kind == .stop, machine.state == .completed else { return [] }
        var found: [String] = []
        let verdict = StopVerdict.judge(machine)
        if machine.evidence.overrides.isEmpty {
            for worker in machine.plan.workers where agents.alive.contains(worker) { found.append("\(worker) lives after a completed stop") }
            for worker in machine.plan.workers where machine.evidence.stops[worker]?.treeEmpty != true {
                found.append("no proof for \(worker) after a completed stop")
            }
            for tier in machine.evidence.tierOrder where !tier.proven { found.append("tier \(tier.name) is called unproven without an override") }
        } else if verdict.verdict == .proven {
            found.append("an overridden stop is called proven")
        }
        if verdict.verdict == .contradicted, machine.evidence.overrides.isEmpty { found.append("an honest fleet is called \(verdict)") }
        return found
    }

    // MARK: What happens

    private mutating func tell(_ event: RunMachine.Event) {
        judge.told(event)
        let before = machine.step
        let effects = machine.handle(event, now: now)
        for case .send(let command, let host, let ask) in effects { agents.send(command, host, ask) }
        judge.gave(effects, to: event, machine, stepBefore: before, now: now)
    }

    private mutating func lose(_ host: HostName) {
        agents.lose(host)
        lost.insert(host)
        tell(.hostLost(host, why: "silence"))
    }

    private mutating func restore(_ host: HostName) {
        agents.connect(host)
        lost.remove(host)
        tell(.hostReturned(host))
    }

    private mutating func advance() {
        agents.step(&random)
        let milliseconds = random.chance(5) ? 5_000 : random.below(80)
        now.boot = now.boot + .milliseconds(milliseconds)
        now.unixMicroseconds += UInt64(milliseconds) * 1_000
        for _ in 0...random.below(3) {
            if let (command, reply) = agents.deliver(&random) { tell(.answered(command, reply)) }
        }
        if let deadline = machine.deadline, now.boot >= deadline, random.chance(80) { tell(.timeReached) }
        if random.chance(3) { tell(.timeReached) }
    }

    private mutating func breakSomething() {
        let host = random.pick(fleet.inventory.hosts).name
        switch random.below(100) {
        case 0..<6: if !lost.contains(host) { lose(host) }
        case 6..<16: if let host = random.pickAny(lost.sorted()) { restore(host) }
        case 16..<18: if !lost.contains(host) { tell(.hostReturned(host)) }  // a new session that replaced a live one
        case 18..<24: tell(.retryOrdered(by: "eng-1"))
        case 24..<27: agents.releaseHolds(kill: random.chance(80))
        case 27..<30 where overrides: tell(.overridden(RunOverride(what: .hostOff(host), by: "eng-1", reason: "pulled")))
        case 30..<33 where overrides:
            if let gate = random.pickAny(fleet.inventory.services.flatMap(\.gates))?.name ?? (random.chance(50) ? "quiesce" : nil) {
                tell(.overridden(RunOverride(what: .gate(gate), by: "eng-1", reason: "known")))
            }
        case 33..<36 where overrides:
            if let stream = random.pickAny(fleet.inventory.streams)?.name {
                tell(.overridden(RunOverride(what: .stream(stream), by: "eng-1", reason: "known")))
            }
        case 36 where random.chance(40): tell(.abortOrdered(by: "eng-1", reason: "no"))
        case 37 where random.chance(10): tell(random.chance(50) ? .latched("l1") : .hostLatched("h0", "own"))
        default: break
        }
    }

    private mutating func heal() {
        agents.faults = false
        for host in lost.sorted() { restore(host) }
        agents.releaseHolds(kill: true)
    }

    /// A person does what the block says, once it says so.
    private mutating func repair() {
        guard let blocked = machine.blocked, random.chance(30) else { return }
        agents.releaseHolds(kill: true)
        if blocked.slug == "not-gone", !machine.evidence.attestedOff.isEmpty, random.chance(20) {
            // A host called off has come back with what runs on it: nothing the run may touch.
            return tell(.abortOrdered(by: "eng-1", reason: "it was not off"))
        }
        if blocked.text.contains("runs retry") { tell(.retryOrdered(by: "eng-1")) }
        if blocked.slug == "not-drained", case .drained(let stream, _)? = machine.current?.what {
            tell(.overridden(RunOverride(what: .stream(stream), by: "eng-1", reason: "counted by hand")))
        }
    }
}
