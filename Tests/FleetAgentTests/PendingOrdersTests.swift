import FleetCore
import Testing

@testable import FleetAgent

struct PendingOrdersTests {
    private var machine = WorkerMachine(worker: WorkerName("feed", on: "md-1"), policy: WorkerPolicy(), now: .zero)
    private var orders = PendingOrders()

    private mutating func tell(_ event: WorkerMachine.Event, pending: Bool = false, _ seconds: Int = 1) {
        let before = machine
        let now = BootTime.zero + .seconds(seconds)
        _ = machine.handle(event, now: now)
        orders.told(event, operation: pending ? event.order?.operation : nil, before: before, at: now)
    }

    private func order(_ operation: String, _ verb: Verb) -> Order { Order(operation: operation, verb: verb, by: "ctl-1", reason: "") }

    private mutating func run() {
        tell(.startRequested(order("s", .start), launch: "a1"))
        tell(.processStarted(pid: 7))
        tell(.timeReached(launch: "a2"))
        #expect(machine.phase == .running("a1", pid: 7))
    }

    @Test("nothing is kept while no order is pending")
    mutating func idle() {
        run()
        let taken = orders.takeBack("s")
        #expect(orders.isEmpty && taken == nil)
    }

    @Test("an order taken back leaves the machine as if it had never come")
    mutating func back() throws {
        run()
        let before = machine
        tell(.stopRequested(order("o1", .stop), killNow: false), pending: true)
        #expect(machine != before && orders.isPending("o1"))
        let taken = orders.takeBack("o1")
        let (machine, told) = try #require(taken)
        #expect(machine == before && told.isEmpty && orders.isEmpty)
    }

    @Test("what came since is not lost with it")
    mutating func since() throws {
        run()
        tell(.stopRequested(order("o1", .stop), killNow: false), pending: true)
        tell(.gone(WorkerExit(how: .exited(3), at: .zero)))
        let taken = orders.takeBack("o1")
        let (machine, told) = try #require(taken)
        // Without the stop it has ended by itself.
        if case .backoff = machine.phase {} else { Issue.record("\(machine.phase)") }
        #expect(told.count == 1 && told[0].operation == nil)
        #expect(told[0].effects.contains { if case .record(.workerExit, nil, _) = $0 { true } else { false } })
    }

    @Test("a second order that waits behind it is judged anew without it, and is pending still")
    mutating func behind() throws {
        tell(.startRequested(order("o1", .start), launch: "a1"), pending: true)
        tell(.stopRequested(order("o2", .stop), killNow: false), pending: true)
        let taken = orders.takeBack("o1")
        let (machine, told) = try #require(taken)
        #expect(machine.phase == .stopped && machine.slot == nil)
        #expect(told.map(\.operation) == ["o2"] && told[0].effects.last == .answer(order("o2", .stop), .done(killed: false, held: false)))
        #expect(orders.isPending("o2") && !orders.isPending("o1"))
    }

    @Test("what was settled stays when a later one is taken back")
    mutating func settled() throws {
        run()
        tell(.stopRequested(order("o1", .stop), killNow: false), pending: true)
        orders.settle("o1")
        #expect(orders.isEmpty)
        let stopping = machine
        tell(.stopRequested(order("o2", .stop), killNow: true), pending: true)
        let taken = orders.takeBack("o2")
        let (machine, _) = try #require(taken)
        #expect(machine == stopping)
    }

    @Test("settling the first moves what is kept up to the second")
    mutating func moved() throws {
        run()
        tell(.stopRequested(order("o1", .stop), killNow: false), pending: true)
        tell(.extensionSaid(.seconds(20)), 2)
        let stopping = machine
        tell(.stopRequested(order("o2", .stop), killNow: true), pending: true, 3)
        orders.settle("o1")
        let taken = orders.takeBack("o2")
        let (machine, told) = try #require(taken)
        #expect(machine == stopping && told.isEmpty)
    }

    @Test("a worker that talks without end while an order waits does not fill the memory, and its end still counts")
    mutating func bounded() throws {
        run()
        tell(.stopRequested(order("o1", .stop), killNow: false), pending: true)
        for index in 0..<(2 * PendingOrders.notificationsMax) { tell(.notified("X_A=\(index)")) }
        tell(.gone(WorkerExit(how: .exited(0), at: .zero)))
        let taken = orders.takeBack("o1")
        let (machine, told) = try #require(taken)
        #expect(told.count <= PendingOrders.notificationsMax + 1 && machine.launch == nil)
    }
}
