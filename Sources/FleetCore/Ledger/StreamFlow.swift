/// A stream and one consumer of it as they stand now, for people. Every figure of it counts from one moment: the stream's baseline, or
/// its making where there is none.
///
/// No proof: figures of a flow are not of one instant, and a sink is not looked at. A certificate's `LedgerLine` is.
package struct StreamFlow: Equatable, Sendable {
    package private(set) var produced = LedgerLine.Count.unknown("it is not counted")
    package private(set) var applied = LedgerLine.Count.unknown("it is not counted")
    package private(set) var inFlight = LedgerLine.Count.unknown("it is not counted")
    package private(set) var buffered = LedgerLine.Count.unknown("it is not counted")
    package private(set) var balance = Balance.unknown

    package enum Balance: Equatable, Sendable, CustomStringConvertible {
        /// What was produced is applied, in flight or buffered.
        case exact
        /// It is not at this instant: the figures are of a flow.
        case flowing
        /// Nothing counts what is applied: the figure is what the consumer's group has acknowledged, and checks nothing.
        case acknowledged
        /// So many are unread and no longer in the buffer.
        case short(Int64)
        /// A worker at its ends has had more launches since the baseline than a report tells: a stop adds them up, a status does not.
        case restarted
        /// Nothing that would count it is declared.
        case notCounted
        case unknown

        package var description: String {
            switch self {
            case .exact: "exact"
            case .flowing: "flowing"
            case .acknowledged: "acknowledged"
            case .short(let count): "SHORT \(count)"
            case .restarted: "restarted"
            case .notCounted: "not counted"
            case .unknown: "UNKNOWN"
            }
        }
    }

    /// `reading` is the buffer's. Of `evidence` the counters of live workers and the launches that are told count.
    package init(
        _ stream: StreamSpec, _ consumer: ConsumerSpec, _ inventory: Inventory, since opening: LedgerBook.Opening?, reading: StreamReading?,
        _ evidence: RunEvidence
    ) {
        let counter: String? =
            switch consumer.applied {
            case .counter(let name): name
            case .sqlite, .questdb: "applied"
            case nil: nil
            }
        let accepted = counter.map { Sum($0, [consumer.service], inventory, opening, evidence) }
        if case .redis = stream.via {
            buffer(stream, consumer, since: opening, reading, accepted)
        } else {
            direct(stream.produced.map { Sum($0, stream.from, inventory, opening, evidence) }, accepted)
        }
    }

    private enum Sum {
        case counted(Int64)
        /// There were more launches since the opening than a report tells.
        case restarted(String)
        case unknown(String)

        var count: LedgerLine.Count {
            switch self {
            case .counted(let value): .reported(value)
            case .restarted(let why), .unknown(let why): .unknown(why)
            }
        }

        var isRestarted: Bool { if case .restarted = self { true } else { false } }

        /// Of all workers of these services: since the opening, or as they are where there is none.
        init(_ counter: String, _ services: [ServiceName], _ inventory: Inventory, _ opening: LedgerBook.Opening?, _ evidence: RunEvidence) {
            let workers = services.flatMap(inventory.workers(of:))
            if let worker = workers.first(where: { evidence.snapshots[$0] == nil }) {
                self = .unknown("\(worker) is not heard of")
            } else if let opening, workers.allSatisfy({ opening.marks[$0] != nil && evidence.launches[$0] != nil }) {
                let count = services.map { evidence.counted(counter, by: $0, since: opening, inventory) }.reduce(LaunchCount(), +)
                let doubt = count.missing ?? count.open.first
                if let doubt, workers.contains(where: { StreamFlow.isBeyondReport(evidence.launches[$0], since: opening.marks[$0]) }) {
                    self = .restarted("\(doubt) here; the next stop adds up its launches")
                } else {
                    self = doubt.map(Self.unknown) ?? .counted(count.counted)
                }
            } else if let worker = workers.first(where: { evidence.snapshots[$0]?[counter] == nil }) {
                self = .unknown("\(worker) has not said \(counter)")
            } else {
                self =
                    Bounded.sum(workers.compactMap { evidence.snapshots[$0]?[counter] }).map(Self.counted)
                    ?? .unknown("\(counter) of all hosts together is beyond what can be counted")
            }
        }
    }

    fileprivate static func isBeyondReport(_ history: LaunchHistory?, since mark: LaunchMark?) -> Bool {
        guard let history, let mark, let first = history.launches.first else { return false }
        return history.journal == mark.journal && history.launches.count == LaunchHistory.recent && first.number > mark.number + 1
    }

    private mutating func buffer(_ stream: StreamSpec, _ consumer: ConsumerSpec, since opening: LedgerBook.Opening?, _ now: StreamReading?, _ accepted: Sum?) {
        guard let now, now.known else {
            let why = now?.whyUnknown ?? ""
            let unread = LedgerLine.Count.unknown(why.isEmpty ? "\(stream.name) has not been read" : why)
            (produced, applied, inFlight, buffered) = (unread, unread, unread, unread)
            return
        }
        let then = opening?.readings.first { $0.consumer == consumer.service && $0.known && $0.runID == now.runID && $0.entriesAdded <= now.entriesAdded }
        produced = .measured(now.entriesAdded - (then?.entriesAdded ?? 0))
        inFlight = .measured(now.pending)
        guard let lag = now.unread else {
            applied = .unknown("Redis can't tell the lag of \(consumer.service)'s group")
            buffered = applied
            return
        }
        buffered = .measured(lag)
        let lay = then.map { ($0.unread ?? 0) + $0.pending } ?? 0
        // What the group has taken and acknowledged, in one atomic reading with the rest.
        applied = .measured(now.entriesAdded - lag - now.pending - (then.map { $0.entriesAdded - lay } ?? 0))
        balance = .acknowledged
        // Without a baseline a counter is of another span than the buffer's.
        switch then == nil ? nil : accepted {
        case .counted(let count)?:
            applied = .reported(count)
            balance = Bounded.sum([count, now.pending, lag]) == Bounded.sum([produced.value ?? 0, lay]) ? .exact : .flowing
        case .unknown(let why)?: (applied, balance) = (.unknown(why), .unknown)
        case .restarted?, nil: break
        }
        if consumer.policy != .discard, lag > now.length { balance = .short(lag - now.length) }
    }

    private mutating func direct(_ sent: Sum?, _ accepted: Sum?) {
        guard let sent, let accepted else {
            balance = .notCounted
            return
        }
        (produced, applied, buffered) = (sent.count, accepted.count, .measured(0))
        guard let out = produced.value, let taken = applied.value else {
            inFlight = .unknown((produced.value == nil ? produced : applied).why)
            if sent.isRestarted || accepted.isRestarted { balance = .restarted }
            return
        }
        inFlight = .reported(max(0, out - taken))
        balance = out == taken ? .exact : .flowing
    }
}

extension StreamReading {
    /// Entries that the group has not read; nil: Redis can't tell. Of a stream that nothing was ever added to nothing is left to read,
    /// whether its group exists yet or not.
    var unread: Int64? { lag ?? (entriesAdded == 0 ? 0 : nil) }
}
