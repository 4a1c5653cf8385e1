import TestSupport
import Testing

@testable import FleetCore

/// What was once seen to run counts until its host, or a person, says otherwise.
struct OpenLaunchesTests {
    private let inventory = RunFixture.inventory

    private func told(_ open: OpenLaunches, _ host: HostName, _ running: Set<ServiceName>) -> OpenLaunches.Change? {
        open.change(by: host, running: running, declared: ["gateway"], undeclaredMax: 3)
    }

    @Test("a host's word changes what is on record of that host alone, and the same word changes nothing")
    func changes() throws {
        var open = OpenLaunches()
        open.apply(try #require(told(open, "ex-1", ["gateway", "old"])))
        open.apply(try #require(told(open, "md-1", ["gateway"])))
        #expect(told(open, "ex-1", ["old", "gateway"]) == nil)
        let change = try #require(told(open, "ex-1", ["old", "new"]))
        #expect(change == OpenLaunches.Change(host: "ex-1", begun: ["new"], ended: ["gateway"]))
        #expect(change.begunAlone == OpenLaunches.Change(host: "ex-1", begun: ["new"], ended: []))
        #expect(OpenLaunches.Change(host: "ex-1", begun: [], ended: ["gateway"]).begunAlone == nil)
        open.apply(change)
        #expect(open.services == ["ex-1": ["old", "new"], "md-1": ["gateway"]])
    }

    @Test("a host that says other names without end is kept to as many as it may have beside the inventory, and what is declared always has room")
    func bounded() throws {
        var open = OpenLaunches()
        for round in 0..<5 {
            guard let begun = told(open, "ex-1", Set((0..<4).map { ServiceName("x\(round)-\($0)") }))?.begunAlone else { continue }
            open.apply(begun)
        }
        let known = try #require(open.services["ex-1"])
        #expect(known.count == 3)
        #expect(told(open, "ex-1", known.union(["gateway", "more"]))?.begun == ["gateway"])
    }

    @Test("a person settles what the inventory doesn't have on a host, never what it has there")
    func settling() throws {
        var open = OpenLaunches()
        for (host, services) in [("ex-1", ["gateway", "feed"]), ("gone-1", ["feed"])] as [(HostName, Set<ServiceName>)] {
            open.apply(try #require(told(open, host, services)))
        }
        #expect(open.unplaced(on: "ex-1", declared: ["gateway"]) == ["feed@ex-1"] && open.unplaced(on: "gone-1", declared: []) == ["feed@gone-1"])
        #expect(open.settling("ex-1", declared: ["gateway"], isHeard: true) == .refused(["feed@ex-1"]))
        guard case .change(let change) = open.settling("ex-1", declared: ["gateway"], isHeard: false) else { return #expect(Bool(false), "refused") }
        open.apply(change)
        #expect(open.services == ["ex-1": ["gateway"], "gone-1": ["feed"]])
        #expect(open.settling("ex-1", declared: ["gateway"], isHeard: false) == .nothing)
    }

    @Test("what was attested gone of a host counts again once its agent dials in from outside the inventory, and not past the host's own word")
    func returned() throws {
        var open = OpenLaunches()
        open.apply(try #require(told(open, "gone-1", ["feed"])))
        #expect(open.returned("gone-1") == nil)
        guard case .change(let change) = open.settling("gone-1", declared: [], isHeard: false) else {
            Issue.record("refused")
            return
        }
        open.apply(change)
        #expect(open.services.isEmpty)
        open.apply(try #require(open.returned("gone-1")))
        #expect(open.unplaced(on: "gone-1", declared: []) == ["feed@gone-1"] && open.returned("gone-1") == nil)
        for words in [[["gateway"], []], [[]]] as [[Set<ServiceName>]] {
            open.apply(change)
            for running in words { open.apply(try #require(told(open, "gone-1", running))) }
            #expect(open.returned("gone-1") == nil && open.services.isEmpty && told(open, "gone-1", []) == nil)
        }
    }

    @Test("what a start was ordered of may run until its host has spoken behind it; what its host said runs has run until a stop of it is proven")
    func ordered() throws {
        var open = OpenLaunches()
        open.order(["feed@md-1", "gateway@ex-1"])
        #expect(open.open(on: "md-1") == ["feed"] && open.hosts == ["ex-1", "md-1"])
        #expect(open.unplaced(on: "md-1", declared: []) == ["feed@md-1"])
        let down = open.change(by: "md-1", running: [], declared: ["feed"], undeclaredMax: 4, pending: ["feed"])
        #expect(down == nil, "the order may be on its way")
        let ended = try #require(told(open, "md-1", []))
        #expect(ended == OpenLaunches.Change(host: "md-1", begun: [], ended: ["feed"]))
        open.apply(ended)
        #expect(open.open(on: "md-1").isEmpty && open.ranUnder("feed@md-1") == nil, "it never ran")
        let begun = try #require(told(open, "ex-1", ["gateway"]))
        #expect(begun == OpenLaunches.Change(host: "ex-1", begun: ["gateway"], ended: []))
        open.apply(begun, journal: "j1")
        open.apply(try #require(told(open, "ex-1", [])))
        #expect(open.open(on: "ex-1").isEmpty && open.ranUnder("gateway@ex-1") == "j1")
        open.proven(["gateway@ex-1"])
        #expect(open.ranUnder("gateway@ex-1") == nil)
    }

    // MARK: Plans

    private func planner(
        _ state: ObservedWorker.State = .stopped, unheard: [WorkerName] = [], beside: [WorkerName] = []
    ) -> Planner {
        let workers = (inventory.workers.map { ($0, state) } + beside.map { ($0, .running) }).map { ($0.0, ObservedWorker(state: $0.1)) }
        var fleet = ObservedFleet(
            workers: Dictionary(uniqueKeysWithValues: workers), reporting: Set(inventory.hosts.map(\.name)).union(beside.map(\.host)))
        fleet.unheard = unheard
        return Planner(inventory: inventory, fleet: fleet)
    }

    @Test("a service of which a worker may run where the inventory no longer has it is started nowhere", arguments: [RunKind.start, .restart])
    func moved(_ kind: RunKind) throws {
        for (planner, words) in [
            (planner(unheard: ["gateway@ex-9"]), "may still run on ex-9"), (planner(beside: ["gateway@md-1"]), "runs on md-1"),
        ] {
            for scope in [OperationScope(all: true), OperationScope(services: ["gateway"]), OperationScope(tiers: ["execution"])] {
                let refusal = #expect(throws: PlanRefusal.self) { try planner.plan(kind, scope) }
                #expect(refusal?.slug == "moved" && refusal?.what.contains(words) == true, "\(refusal.map(String.init(describing:)) ?? "")")
            }
            #expect(throws: Never.self) { try planner.plan(kind, OperationScope(services: ["feed"])) }
            // One dead host, or one that lies, must not hold up the rest: what is left out by name is said, and goes on.
            for scope in [
                OperationScope(all: true, excludedWorkers: ["gateway"]), OperationScope(services: ["gateway"], excludedWorkers: ["gateway@ex-9"]),
                OperationScope(all: true, excludedWorkers: ["gateway@ex-9", "gateway@md-1"]),
            ]
            where scope.excludedWorkers.allSatisfy({
                $0 == "gateway" || (planner.fleet.unheard + planner.fleet.undeclared(in: inventory)).map(\.description).contains($0)
            }) {
                #expect(throws: Never.self) { try planner.plan(kind, scope) }
            }
        }
        // A restart of what runs makes no copy of it.
        if kind == .restart {
            #expect(throws: Never.self) { try self.planner(.running, unheard: ["gateway@ex-9"]).plan(.restart, OperationScope(services: ["gateway"])) }
        }
    }

    @Test("a service that the inventory has on several hosts is started beside a copy that is there no more, which is noted")
    func severalHosts() throws {
        var inventory = inventory
        for index in inventory.services.indices where inventory.services[index].name == "gateway" { inventory.services[index].hosts = ["ex-1", "st-1"] }
        var fleet = ObservedFleet(
            workers: Dictionary(uniqueKeysWithValues: inventory.workers.map { ($0, ObservedWorker(state: .stopped)) }),
            reporting: Set(inventory.hosts.map(\.name)))
        fleet.unheard = ["gateway@ex-9"]
        let plan = try Planner(inventory: inventory, fleet: fleet).plan(.start, OperationScope(services: ["gateway"]))
        #expect(plan.notes.contains("gateway@ex-9 may run beside what is started") && plan.starting == ["gateway@ex-1", "gateway@st-1"])
    }

    @Test("a stop whose scope covers one that can't be reached says so and is at most unproven; by its own name it is refused")
    func stops() throws {
        let planner = planner(.running, unheard: ["gateway@ex-9"])
        for scope in [OperationScope(all: true), OperationScope(services: ["gateway"]), OperationScope(tiers: ["execution"])] {
            let plan = try planner.plan(.stop, scope)
            #expect(plan.unseen == [ObservedFleet.words(unheard: "gateway@ex-9")] && !plan.covered.contains("gateway@ex-9"))
            #expect(PlanChecker(inventory: inventory, plan: plan).violations().isEmpty)
        }
        #expect(try planner.plan(.stop, OperationScope(services: ["feed"])).unseen.isEmpty)
        let without = try planner.plan(.stop, OperationScope(all: true, excludedWorkers: ["gateway@ex-9"]))
        #expect(without.unseen.isEmpty && without.notCovered == ["gateway@ex-9 (unknown) is excluded by name"])
        #expect(throws: PlanRefusal.self) { try planner.plan(.stop, OperationScope(services: ["gateway@ex-9"])) }
    }
}
