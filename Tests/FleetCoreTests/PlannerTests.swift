import FleetCore
import TestSupport
import Testing

struct PlannerTests {
    private let inventory = RunFixture.inventory

    private func fleet(_ states: [WorkerName: ObservedWorker.State] = [:], silent: Set<HostName> = []) -> ObservedFleet {
        let workers = Dictionary(uniqueKeysWithValues: inventory.workers.map { ($0, ObservedWorker(state: states[$0] ?? .running)) })
        return ObservedFleet(workers: workers, reporting: Set(inventory.hosts.map(\.name)).subtracting(silent), silence: ["st-1": "has not answered for 14 s"])
    }

    @Test("a stop is check, capture, quiesce, gate, the tiers, verify, ledger, snapshot, and a last look")
    func stopShape() throws {
        let plan = try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(all: true))
        #expect(
            plan.steps.map(\.label) == [
                "check", "capture", "quiesce", "gate", "market-data", "market-data", "strategies", "execution", "verify", "ledger", "snapshot",
                "verify",
            ])
        #expect(PlanChecker(inventory: inventory, plan: plan).violations().isEmpty)
        #expect(try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(all: true)).canonical == plan.canonical)
    }

    @Test("a silent host in scope is refused in words that say what to type; excluded by name it is noted")
    func silent() throws {
        let planner = Planner(inventory: inventory, fleet: fleet(silent: ["st-1"]))
        #expect(
            throws: PlanRefusal(
                slug: "host-unknown", what: "REFUSED  stop: st-1 has not answered for 14 s", why: "strategy may be running there. Nothing was done.",
                then: "When it is back, order again; without it: add --exclude-host st-1 (its workers are then not covered)")
        ) { try planner.plan(.stop, OperationScope(all: true)) }
        let plan = try planner.plan(.stop, OperationScope(all: true, excludedHosts: ["st-1"]))
        #expect(plan.notCovered == ["strategy@st-1 (unknown) is excluded by name"])
        #expect(!plan.workers.contains("strategy@st-1"))
    }

    @Test("a host whose agent has no part of the inventory is refused by name, whatever is ordered; excluded it is noted", arguments: RunKind.allCases)
    func withoutPart(kind: RunKind) throws {
        var fleet = fleet()
        fleet.workers["strategy@st-1"] = nil
        fleet.otherPart["st-1"] = "has no part of the inventory yet"
        let planner = Planner(inventory: inventory, fleet: fleet)
        let error = #expect(throws: PlanRefusal.self) { try planner.plan(kind, OperationScope(all: true)) }
        #expect(error?.slug == "no-part" && error?.what == "REFUSED  \(kind.rawValue): st-1 has no part of the inventory yet")
        #expect(error?.why == "Its agent says nothing of strategy. Nothing was done." && error?.then.contains("--exclude-host st-1") == true)
        #expect(try !planner.plan(kind, OperationScope(all: true, excludedHosts: ["st-1"])).workers.contains("strategy@st-1"))
        #expect(throws: Never.self) { try planner.plan(kind, OperationScope(services: ["feed"])) }
    }

    @Test("by an older part a worker that its agent knows can be stopped, and is not started by another declaration")
    func olderPart() throws {
        var fleet = fleet(["feed@md-1": .stopped])
        fleet.otherPart["md-1"] = "goes by another part"
        let planner = Planner(inventory: inventory, fleet: fleet)
        let stop = try planner.plan(.stop, OperationScope(all: true))
        #expect(stop.workers.contains("recorder@md-1") && stop.unseen == ["md-1 goes by another part: it stops and is looked at by that"])
        #expect(try planner.plan(.stop, OperationScope(services: ["strategy"])).unseen.isEmpty)
        for kind in [RunKind.start, .restart] {
            let error = #expect(throws: PlanRefusal.self) { try planner.plan(kind, OperationScope(all: true)) }
            #expect(error?.slug == "no-part" && error?.why == "Nothing was done.")
        }
    }

    @Test("a name that the inventory does not have is refused with those it has", arguments: ["nobody", "feed@ex-1"])
    func unknown(name: String) {
        let error = #expect(throws: PlanRefusal.self) { try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(services: [name])) }
        #expect(error?.slug == "unknown-service")
        #expect(error?.why.contains("feed, recorder, strategy, gateway") == true)
    }

    @Test("nothing named is refused")
    func nothing() {
        let error = #expect(throws: PlanRefusal.self) { try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope()) }
        #expect(error?.slug == "bad-request")
    }

    @Test("a worker is left out by name, of one host or of all, and stands as not covered")
    func except() throws {
        let planner = Planner(inventory: inventory, fleet: fleet())
        for name in ["strategy", "strategy@st-1"] {
            let plan = try planner.plan(.stop, OperationScope(all: true, excludedWorkers: [name]))
            #expect(plan.workers == ["feed@md-1", "recorder@md-1", "gateway@ex-1"])
            #expect(plan.notCovered == ["strategy@st-1 (running) is excluded by name"])
            #expect(PlanChecker(inventory: inventory, plan: plan).violations().isEmpty)
        }
        let typed = #expect(throws: PlanRefusal.self) { try planner.plan(.stop, OperationScope(all: true, excludedWorkers: ["stratgy"])) }
        #expect(typed?.slug == "unknown-service")
        let nothing = #expect(throws: PlanRefusal.self) { try planner.plan(.stop, OperationScope(services: ["feed"], excludedWorkers: ["feed"])) }
        #expect(nothing?.slug == "nothing-to-do" && nothing?.what == "REFUSED  stop: nothing is left of what was named")
    }

    @Test("everything and a part of it at once is refused: the lesser may be meant")
    func allAndParts() throws {
        let planner = Planner(inventory: inventory, fleet: fleet())
        for scope in [
            OperationScope(all: true, services: ["feed"]), OperationScope(all: true, tiers: ["execution"]), OperationScope(all: true, hosts: ["st-1"]),
        ] {
            #expect(throws: PlanRefusal.self) { try planner.plan(.stop, scope) }
        }
    }

    @Test("a plan without one worker, whichever, is as sound as with it")
    func exceptAnyone() throws {
        for seed in UInt64(1)...150 {
            var random = SplitMix64(seed: seed)
            let fleet = RandomFleet(&random)
            let left = random.pick(fleet.inventory.workers)
            guard fleet.inventory.workers.count > 1 else { continue }
            let scope = OperationScope(all: true, excludedWorkers: [left.description])
            let plan = try Planner(inventory: fleet.inventory, fleet: fleet.observed).plan(.stop, scope)
            #expect(!plan.workers.contains(left) && plan.notCovered.count == 1, "seed \(seed)")
            #expect(PlanChecker(inventory: fleet.inventory, plan: plan).violations().isEmpty, "seed \(seed)")
        }
    }

    @Test("dependents that are left running are named")
    func dependents() throws {
        let plan = try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(services: ["feed"]))
        #expect(plan.notes == ["recorder reads ticks and is left running", "strategy reads ticks and is left running"])
    }

    @Test("what is stopped already is left alone and noted; a start starts only that")
    func partly() throws {
        let planner = Planner(inventory: inventory, fleet: fleet(["feed@md-1": .stopped, "gateway@ex-1": .failed]))
        #expect(try planner.plan(.stop, OperationScope(all: true)).notes.contains("feed@md-1 was stopped before"))
        #expect(try planner.plan(.start, OperationScope(all: true)).workers == ["feed@md-1", "gateway@ex-1"])
    }

    @Test("a drain whose producer is left running, or whose ends say no counts, is noted and not waited for")
    func hopelessDrains() throws {
        var inventory = inventory
        inventory.streams = [StreamSpec(name: "orders", from: ["strategy", "feed"], to: [ConsumerSpec(service: "gateway", policy: .drain)])]
        let all = try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(all: true))
        #expect(all.notes == ["orders can't be shown drained for gateway: it declares no counters of both ends"])
        #expect(PlanChecker(inventory: inventory, plan: all).violations().isEmpty)
        let part = try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(services: ["strategy", "gateway"]))
        #expect(part.notes == ["orders is not drained for gateway: feed@md-1 is left running and goes on filling it"])
    }

    @Test("a gate at another service is asked once per host where that service may run")
    func gateAt() throws {
        var inventory = inventory
        inventory.services[3].hosts = ["ex-1", "md-1"]
        inventory.services[2].hosts = ["st-1", "ex-1"]
        inventory.services[3].gates = []
        inventory.services[2].gates = [GateSpec(name: "flat", probe: HTTPProbeSpec(url: "", pointer: "", equals: "0"), at: "gateway")]
        var fleet = fleet()
        fleet.workers["strategy@ex-1"] = ObservedWorker(state: .running)
        fleet.workers["gateway@md-1"] = ObservedWorker(state: .stopped)
        let plan = try Planner(inventory: inventory, fleet: fleet).plan(.stop, OperationScope(all: true))
        let questions = plan.steps.flatMap { step -> [GateQuestion] in if case .gate(let questions) = step.what { questions } else { [] } }
        #expect(questions.map(\.host) == ["ex-1"])
    }

    // MARK: The checker itself

    private func stop() throws -> Plan { try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(all: true)) }

    private func broken(_ change: (inout [PlanStep]) -> Void) throws -> [String] {
        var plan = try stop()
        change(&plan.steps)
        for index in plan.steps.indices { plan.steps[index].number = index + 1 }
        return PlanChecker(inventory: inventory, plan: plan).violations()
    }

    @Test("the checker finds tiers and streams out of order, missing steps and workers stopped twice")
    func checker() throws {
        #expect(try broken { $0.swapAt(6, 7) } == ["step 8 stops a tier after one that comes behind it, in step 7"])
        #expect(try broken { $0.swapAt(4, 5) } == ["ticks -> recorder (buffer): the producer stops in step 5, the consumer in step 6"])
        #expect(try broken { $0.remove(at: 6) } == ["strategy@st-1 is stopped 0 times"])
        #expect(try broken { $0.append($0[6]) }.contains("strategy@st-1 is stopped 2 times"))
        #expect(try broken { $0.remove(at: 8) } == ["verify, ledger and snapshot don't stand in this order between the last stop and the first start"])
        #expect(try broken { $0.remove(at: 9) } == ["verify, ledger or snapshot of every stopped worker is missing"])
        #expect(try broken { $0.removeLast() } == ["nothing is looked at again after the ledger and the snapshot"])
        #expect(try broken { $0.swapAt(2, 3) } == [])  // the gate is not the strategy's
        #expect(try broken { $0.append($0.remove(at: 3)) }.contains("step 12 asks a gate after the first stop"))
        #expect(try broken { $0.remove(at: 0) } == ["the first step is not the check"])
        #expect(try broken { $0.remove(at: 1) } == ["nothing is captured before the first stop"])
        #expect(
            try broken { $0.append(PlanStep(number: 0, label: "x", text: "", what: .start("strategies", ["strategy@st-1"]))) }.contains(
                "step 13 (x) has no place in a stop"))
    }

    @Test("the checker finds a drain without its gate, and one in the wrong place")
    func checkerDrains() throws {
        var inventory = inventory
        inventory.streams[0].to[0].policy = .drain
        let plan = try Planner(inventory: inventory, fleet: fleet()).plan(.stop, OperationScope(all: true))
        #expect(PlanChecker(inventory: inventory, plan: plan).violations().isEmpty)
        var without = plan
        without.steps.remove(at: 5)
        for index in without.steps.indices { without.steps[index].number = index + 1 }
        #expect(PlanChecker(inventory: inventory, plan: without).violations() == ["ticks -> recorder (drain): nothing waits for it to drain"])
        var early = plan
        early.steps.swapAt(4, 5)
        for index in early.steps.indices { early.steps[index].number = index + 1 }
        #expect(PlanChecker(inventory: inventory, plan: early).violations().count == 1)
    }
}

extension WorkerName: ExpressibleByStringLiteral {
    /// For tests only: a literal that is no worker's name is a mistake of the test.
    package init(stringLiteral text: String) {
        let parts = text.split(separator: "@").map(String.init)
        self.init(ServiceName(parts[0]), on: HostName(parts[1]))
    }
}
