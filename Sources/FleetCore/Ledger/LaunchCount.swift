/// A counter added up over every launch of its services since a stream's opening.
package struct LaunchCount: Equatable, Sendable {
    /// What is known to have been counted.
    package var counted: Int64 = 0
    /// Launches that may have counted more than they said, each in words.
    package var open: [String] = []
    /// Launches that were never ready and said nothing. They count as zero where the other end agrees.
    package var unready: [String] = []
    /// Why nothing can be said at all; nil: something can.
    package var missing: String?

    package init() {}

    /// `counted` is the whole of it.
    package var isExact: Bool { missing == nil && open.isEmpty && unready.isEmpty }

    /// Why it is not exact; nil: it is.
    package var doubt: String? { missing ?? open.first ?? unready.first }

    static func + (a: LaunchCount, b: LaunchCount) -> LaunchCount {
        var sum = LaunchCount()
        sum.open = a.open + b.open
        sum.unready = a.unready + b.unready
        sum.missing = a.missing ?? b.missing
        if let counted = Bounded.sum([a.counted, b.counted]) { sum.counted = counted } else { sum.missing = "it is beyond what can be counted" }
        return sum
    }

    static func missing(_ why: String) -> LaunchCount {
        var count = LaunchCount()
        count.missing = why
        return count
    }
}

extension RunEvidence {
    /// What the producers of a stream counted since its opening; nil: it declares no counter.
    package func produced(_ stream: StreamSpec, since opening: LedgerBook.Opening?, _ inventory: Inventory) -> LaunchCount? {
        guard let counter = stream.produced else { return nil }
        return stream.from.map { counted(counter, by: $0, since: opening, inventory) }.reduce(LaunchCount(), +)
    }

    /// What a service counted on all of its hosts since a stream's opening.
    package func counted(_ counter: String, by service: ServiceName, since opening: LedgerBook.Opening?, _ inventory: Inventory) -> LaunchCount {
        guard let spec = inventory.service(service), let counter = spec.counters.first(where: { $0.name == counter }) else {
            return .missing("\(service) declares no counter \(counter)")
        }
        return inventory.workers(of: service).map { counted(counter, spec, by: $0, since: opening) }.reduce(LaunchCount(), +)
    }

    private func counted(_ counter: CounterSpec, _ spec: ServiceSpec, by worker: WorkerName, since opening: LedgerBook.Opening?) -> LaunchCount {
        guard let opening else { return .missing("there is no baseline: the stream was not at rest when \(worker) was started") }
        guard let mark = opening.marks[worker] else { return .missing("how often \(worker) had been launched at the baseline is not known") }
        guard let history = launches[worker] else { return .missing("the launches of \(worker) were not told") }
        switch history.since(mark) {
        case .failure(let fault): return .missing("\(worker): \(fault)")
        case .success(let accounts):
            return accounts.map { account in
                counted(counter, spec, by: worker, account, isLast: account == history.launches.last)
            }.reduce(LaunchCount(), +)
        }
    }

    private func counted(_ counter: CounterSpec, _ spec: ServiceSpec, by worker: WorkerName, _ account: LaunchAccount, isLast: Bool) -> LaunchCount {
        var count = LaunchCount()
        let live = isLast ? snapshots[worker]?[counter.name] : nil
        switch account.end {
        case .never: break
        case .open:
            if let live { count.counted = live } else { count.open = ["the last word of \(worker)'s launch \(account.number) on \(counter.name) is not known"] }
        case .ended(let exit):
            var said = live
            if case .notify(let key) = counter.how {
                said = nil
                if let text = exit.notified[key] {
                    switch Bounded.count(text) {
                    case .success(let value): said = value
                    case .failure(let fault): return .missing("\(worker) said of \(counter.name): \(fault)")
                    }
                }
            }
            count.counted = said ?? 0
            // A count that was polled over HTTP is older than the end.
            var isFinal = if case .exited = exit.how { spec.stop.isClean(exit) } else { false }
            if case .http = counter.how { isFinal = false }
            if said != nil, isFinal { break }
            if said == nil, !account.wasReady {
                count.unready = ["\(worker)'s launch \(account.number) ended before it was ready (\(exit.words)) and said nothing of \(counter.name)"]
            } else {
                count.open = [
                    said == nil
                        ? "\(worker)'s launch \(account.number) ended without a final \(counter.name) (\(exit.words))"
                        : "\(worker)'s launch \(account.number) ended with \(exit.words): \(counter.name) \(count.counted) may not be its last count"
                ]
            }
        }
        return count
    }
}
