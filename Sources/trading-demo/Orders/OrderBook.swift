/// The gateway's open orders and the simulated venue behind them, as one value: time comes in, nothing is awaited.
///
/// An accepted order is filled or cancelled by the venue after a random, seeded time. A cancel takes effect when the
/// venue acknowledges it; until then the order is open and may still fill.
struct OrderBook: Sendable {
    struct Settings: Equatable, Sendable {
        var seed: UInt64 = 1
        var venueAckNanoseconds: UInt64 = 20_000_000
        var lifeNanoseconds: ClosedRange<UInt64> = 50_000_000...500_000_000
        var openLimit = 10_000
    }

    struct Counts: Equatable, Sendable {
        var accepted = 0
        var fills = 0
        var cancelled = 0
        var refused = 0
        var repeated = 0
    }

    enum Answer: Equatable {
        case accepted
        /// Taken before under the same id.
        case repeated
        case quiesced
        case full
    }

    /// Ids remembered for answering repeats; far more than a strategy can have unanswered.
    static let memoryLimit = 65_536

    private enum Stage: Equatable { case open, cancelling, stuck }
    private enum Outcome: Equatable { case fill, cancel, acknowledge }

    private struct OpenOrder {
        var owner: String
        var stage: Stage
    }

    private struct VenueEvent {
        var due: UInt64
        var id: String
        var outcome: Outcome
    }

    private(set) var counts = Counts()
    private(set) var isQuiesced = false
    private let settings: Settings
    private var random: SplitMix64
    private var orders: [String: OpenOrder] = [:]
    /// A binary heap by `due`. Events of orders that are gone are skipped when their time comes.
    private var events: [VenueEvent] = []
    private var known: Set<String> = []
    private var knownInOrder: [String] = []
    private var knownHead = 0

    /// `stuck` orders are open from the start; the venue answers nothing about them.
    init(_ settings: Settings, stuck: Int = 0, stuckOwner: String = "") {
        self.settings = settings
        random = SplitMix64(seed: settings.seed)
        for number in 0..<stuck { orders["stuck/\(number + 1)"] = OpenOrder(owner: stuckOwner, stage: .stuck) }
    }

    var open: Int { orders.count }
    func open(of owner: String) -> Int { orders.values.reduce(0) { $0 + ($1.owner == owner ? 1 : 0) } }
    var cancelling: Int { orders.values.reduce(0) { $0 + ($1.stage == .cancelling ? 1 : 0) } }
    /// When `advance` has something to do next.
    var nextDue: UInt64? { events.first?.due }

    mutating func take(id: String, owner: String, now: UInt64) -> Answer {
        if known.contains(id) {
            counts.repeated += 1
            return .repeated
        }
        if isQuiesced || orders.count >= settings.openLimit {
            counts.refused += 1
            return isQuiesced ? .quiesced : .full
        }
        remember(id)
        counts.accepted += 1
        orders[id] = OpenOrder(owner: owner, stage: .open)
        let life = UInt64.random(in: settings.lifeNanoseconds, using: &random)
        let outcome: Outcome = Int.random(in: 0..<4, using: &random) == 0 ? .cancel : .fill
        schedule(VenueEvent(due: now + life, id: id, outcome: outcome))
        return .accepted
    }

    /// Takes no new orders and asks the venue to cancel every open one.
    mutating func quiesce(now: UInt64) {
        isQuiesced = true
        for id in orders.filter({ $0.value.stage == .open }).keys.sorted() {
            orders[id]?.stage = .cancelling
            let jitter = UInt64.random(in: 0...(settings.venueAckNanoseconds / 4 + 1), using: &random)
            schedule(VenueEvent(due: now + settings.venueAckNanoseconds + jitter, id: id, outcome: .acknowledge))
        }
    }

    mutating func resume() { isQuiesced = false }

    /// The venue answers for the stuck orders after all.
    mutating func unstick(now: UInt64) {
        for id in orders.filter({ $0.value.stage == .stuck }).keys.sorted() {
            orders[id]?.stage = .cancelling
            schedule(VenueEvent(due: now + settings.venueAckNanoseconds, id: id, outcome: .acknowledge))
        }
    }

    /// Lets everything happen at the venue that is due.
    mutating func advance(to now: UInt64) {
        while let first = events.first, first.due <= now {
            let event = popEvent()
            guard orders.removeValue(forKey: event.id) != nil else { continue }
            if event.outcome == .fill { counts.fills += 1 } else { counts.cancelled += 1 }
        }
    }

    private mutating func remember(_ id: String) {
        known.insert(id)
        if knownInOrder.count < Self.memoryLimit {
            knownInOrder.append(id)
        } else {
            known.remove(knownInOrder[knownHead])
            knownInOrder[knownHead] = id
            knownHead = (knownHead + 1) % Self.memoryLimit
        }
    }

    private mutating func schedule(_ event: VenueEvent) {
        events.append(event)
        var index = events.count - 1
        while index > 0, events[index].due < events[(index - 1) / 2].due {
            events.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    private mutating func popEvent() -> VenueEvent {
        events.swapAt(0, events.count - 1)
        let event = events.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < events.count && events[child].due < events[least].due { least = child }
            if least == index { return event }
            events.swapAt(index, least)
            index = least
        }
    }
}
