/// What a start reads before anything runs: the streams twice, and the workers at their ends before and after.
extension RunMachine {
    /// A baseline is a cut: what two readings in a row say alike was so at one moment between them, buffer and sink together; and what was
    /// launched is known before and after from the agents themselves.
    package struct Baseline: Equatable, Sendable {
        /// What differed between the two readings.
        package internal(set) var moving: [StreamName] = []
        package internal(set) var readings: [StreamReading] = []
        package internal(set) var before: [WorkerName: LedgerBook.RestLook] = [:]
        package internal(set) var after: [WorkerName: LedgerBook.RestLook] = [:]
        var stage = Stage.before

        enum Stage: Equatable, Sendable { case before, first, second, after }

        /// Without an answer a worker is not known to rest.
        mutating func looked(_ worker: WorkerName, _ reply: RunReply) {
            guard case .done(let done) = reply else { return }
            let look = LedgerBook.RestLook(isDown: done.treeEmpty, lastLaunch: done.launches?.mark)
            if stage == .before { before[worker] = look } else { after[worker] = look }
        }
    }

    /// Asks for every worker at an end of the plan's streams that is not on a silent host.
    mutating func askRest(_ now: Moment) -> [Effect] {
        let ending = plan.ending
        let services = inventory.streams.filter { $0.services.contains(where: ending.contains) }.flatMap(\.services)
        var seen: Set<WorkerName> = []
        let workers = services.flatMap(inventory.workers(of:)).filter {
            seen.insert($0).inserted && lost[$0.host] == nil && !givenUp.contains($0.host)
        }
        return ask(workers, now) { .verify($0.service) }
    }

    mutating func settleBaseline(_ now: Moment) -> [Effect] {
        attempt += 1
        let effects: [Effect]
        switch baseline.stage {
        case .before:
            baseline.stage = .first
            effects = askReadings(of: readsStreams, now)
        case .first:
            baseline.readings = allReadings
            baseline.stage = .second
            effects = askReadings(of: readsStreams, now)
        case .second:
            let (first, second) = (baseline.readings, allReadings)
            let isEqual = { (reading: StreamReading) in
                first.contains { $0.stream == reading.stream && $0.consumer == reading.consumer && $0.host == reading.host && $0.counts == reading.counts }
            }
            baseline.moving = Set(second.filter { !isEqual($0) }.map(\.stream)).sorted()
            baseline.readings = second
            baseline.stage = .after
            effects = askRest(now)
        case .after: return [.keepBaseline(baseline)] + next(now)
        }
        return effects + settle(now)
    }
}
