import FleetCore
import Testing

@Suite("Locks in plans")
struct LockedPlanTests {
    private let inventory = RunFixture.inventory
    private let lock = ObservedWorker.Lock(by: "ops-1", when: "14:02", text: "bad param file")

    private func planner(_ locked: WorkerName, _ state: ObservedWorker.State) -> Planner {
        var workers = Dictionary(uniqueKeysWithValues: inventory.workers.map { ($0, ObservedWorker(state: state == .running ? .running : .stopped)) })
        workers[locked] = ObservedWorker(state: state, lock: lock)
        return Planner(inventory: inventory, fleet: ObservedFleet(workers: workers, reporting: Set(inventory.hosts.map(\.name))))
    }

    @Test("a start of everything leaves a locked worker alone and says so; its digest covers the lock")
    func startAll() throws {
        let planner = planner("strategy@st-1", .stopped)
        let plan = try planner.plan(.start, OperationScope(all: true))
        #expect(!plan.workers.contains("strategy@st-1") && plan.workers.count == inventory.workers.count - 1)
        #expect(plan.notes.contains("left alone: strategy@st-1 (stopped, locked by ops-1 14:02: \"bad param file\")"))
        #expect(plan.canonical.contains("locked strategy@st-1 by ops-1"))
        #expect(PlanChecker(inventory: inventory, plan: plan, locked: ["strategy@st-1"]).violations().isEmpty)
    }

    @Test(
        "a stop of everything looks at a locked worker that it leaves alone, whatever state it is in",
        arguments: [ObservedWorker.State.stopped, .failed, .backoff])
    func lookedAt(state: ObservedWorker.State) throws {
        let plan = try planner("strategy@st-1", state).plan(.stop, OperationScope(all: true))
        #expect(!plan.workers.contains("strategy@st-1") && plan.stoppedBefore.contains("strategy@st-1"))
        #expect(PlanChecker(inventory: inventory, plan: plan, locked: ["strategy@st-1"]).violations().isEmpty)
    }

    @Test("what names a locked worker is refused with who locked it, when and why", arguments: [RunKind.start, .restart, .quiesce, .resume])
    func named(kind: RunKind) {
        let planner = planner("strategy@st-1", .stopped)
        let error = #expect(throws: PlanRefusal.self) { try planner.plan(kind, OperationScope(services: ["strategy"])) }
        #expect(error?.slug == "locked" && error?.what == "REFUSED  strategy@st-1 is locked")
        #expect(error?.why.hasPrefix("by ops-1 14:02: \"bad param file\". Nothing was ") == true)
        #expect(error?.then.hasPrefix("trading unlock strategy@st-1 --reason") == true)
    }

    @Test("a stop that would have to stop a locked worker is refused, also when everything is meant; a stopped one is left alone")
    func stop() throws {
        let running = planner("strategy@st-1", .running)
        let error = #expect(throws: PlanRefusal.self) { try running.plan(.stop, OperationScope(all: true)) }
        #expect(error?.slug == "locked" && error?.then.contains("add --except strategy@st-1") == true)
        let without = try running.plan(.stop, OperationScope(all: true, excludedWorkers: ["strategy@st-1"]))
        #expect(!without.workers.contains("strategy@st-1") && without.locked.isEmpty)
        let stopped = try planner("strategy@st-1", .stopped).plan(.stop, OperationScope(services: ["strategy"]))
        #expect(stopped.workers.isEmpty && stopped.locked.count == 1)
    }

    @Test("a quiesce of everything goes past a locked worker")
    func quiesce() throws {
        let plan = try planner("strategy@st-1", .running).plan(.quiesce, OperationScope(all: true))
        #expect(!plan.workers.contains("strategy@st-1") && plan.locked.count == 1)
    }

    @Test("the checker finds a step that acts on a locked worker")
    func checker() throws {
        let workers = Dictionary(uniqueKeysWithValues: inventory.workers.map { ($0, ObservedWorker(state: .running)) })
        let fleet = ObservedFleet(workers: workers, reporting: Set(inventory.hosts.map(\.name)))
        let plan = try Planner(inventory: inventory, fleet: fleet).plan(.stop, OperationScope(all: true))
        #expect(
            PlanChecker(inventory: inventory, plan: plan, locked: ["gateway@ex-1"]).violations().contains {
                $0.hasSuffix("acts on gateway@ex-1, which is locked")
            })
    }
}
