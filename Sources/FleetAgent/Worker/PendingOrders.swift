internal import FleetCore

/// Orders with a time limit whose first effect still waits for its record, and what it takes to take one back.
///
/// The limit holds right before the effect (DESIGN, "Commands"), and by then other events may have come. So the machine as
/// it was before the first such order is kept, with every event since: an order that has expired is left out and the rest
/// is told again. An order is settled by its first effect; after that it can't be taken back.
struct PendingOrders {
    /// What a worker says is kept up to here; past it only what changes its life is. A journal that hangs is waited for no
    /// longer than a launch's bound, 15 s.
    static let notificationsMax = 1_024

    private struct Entry {
        let event: WorkerMachine.Event
        let at: BootTime
        /// While that order is pending.
        var operation: String?
    }

    /// The machine before the first entry; nil: nothing is pending.
    private var base: WorkerMachine?
    private var entries: [Entry] = []

    /// Effects of an event that was told again, and the order it is, if that is pending still.
    struct Told: Equatable {
        let effects: [WorkerMachine.Effect]
        let operation: String?
    }

    var isEmpty: Bool { base == nil }

    func isPending(_ operation: String) -> Bool { entries.contains { $0.operation == operation } }

    /// An event has been handled; `operation` when it is an order with a time limit, `before` the machine without it.
    mutating func told(_ event: WorkerMachine.Event, operation: String?, before: WorkerMachine, at now: BootTime) {
        if base == nil {
            guard operation != nil else { return }
            base = before
        }
        if case .notified = event, entries.count >= Self.notificationsMax { return }
        entries.append(Entry(event: event, at: now, operation: operation))
    }

    /// The order's first effect is about to be carried out, or it has none.
    mutating func settle(_ operation: String) {
        for index in entries.indices where entries[index].operation == operation { entries[index].operation = nil }
        trim()
    }

    /// The machine as if the order had never come, and what every event since comes to without it.
    ///
    /// Nil when the order is not pending.
    mutating func takeBack(_ operation: String) -> (machine: WorkerMachine, told: [Told])? {
        guard var machine = base, isPending(operation) else { return nil }
        entries.removeAll { $0.operation == operation }
        let told = entries.map { Told(effects: machine.handle($0.event, now: $0.at), operation: $0.operation) }
        trim()
        return (machine, told)
    }

    /// Forgets what lies before the first order that is pending still.
    private mutating func trim() {
        guard let first = entries.firstIndex(where: { $0.operation != nil }) else {
            base = nil
            entries = []
            return
        }
        for entry in entries[..<first] { _ = base?.handle(entry.event, now: entry.at) }
        entries.removeFirst(first)
    }
}

extension WorkerMachine.Event {
    /// The order that this event is, if it is one.
    var order: Order? {
        switch self {
        case .startRequested(let order, _), .stopRequested(let order, _), .quiesceRequested(let order), .resumeRequested(let order),
            .holdWaitRequested(let order, _), .holdReleaseRequested(let order, _), .lockRequested(let order, _), .unlockRequested(let order),
            .remarkRequested(let order, _):
            order
        default: nil
        }
    }
}
