/// From where the ledger of each stream counts, and which cuts earlier certificates have settled: a fold of the coordinator's records.
package struct LedgerBook: Equatable, Sendable {
    /// A stream at rest: nothing fed it, and none of its consumers that count by themselves ran.
    package struct Opening: Equatable, Sendable {
        package var readings: [StreamReading]
        /// The last launch of every worker at either end. A worker whose agent did not tell it is missing.
        package var marks: [WorkerName: LaunchMark]

        package init(readings: [StreamReading] = [], marks: [WorkerName: LaunchMark] = [:]) {
            self.readings = readings
            self.marks = marks
        }
    }

    /// An agent's answer about one worker, asked for beside the readings: a report may be a second old.
    package struct RestLook: Equatable, Sendable {
        /// No process of it is there.
        package var isDown: Bool
        /// Nil: its agent did not tell it.
        package var lastLaunch: LaunchMark?

        package init(isDown: Bool, lastLaunch: LaunchMark?) {
            self.isDown = isDown
            self.lastLaunch = lastLaunch
        }
    }

    package struct Settled: Equatable, Sendable {
        package var run: UInt64
        /// What `Ledger` saw at that cut; the same again means that nothing has changed since.
        package var cut: String

        package init(run: UInt64, cut: String) {
            self.run = run
            self.cut = cut
        }
    }

    package private(set) var openings: [StreamName: Opening] = [:]
    /// By `STREAM/CONSUMER`.
    package private(set) var settled: [String: Settled] = [:]

    package init() {}

    package static func key(_ stream: StreamName, _ consumer: ServiceName) -> String { "\(stream)/\(consumer)" }

    /// Opens the ledger of every stream with an end among `services` that rests, and returns what is new. A stream with an end that
    /// runs, or is unknown, keeps its opening: its ledger spans the coming launches too. One that waits to be restarted rests until it is
    /// launched, which the marks show.
    ///
    /// `before` and `after` are looks at its workers before and after the readings: a launch in between is neither in the marks nor in
    /// the readings for certain, and such a stream does not rest. Nor does one of `moving`, whose readings differed.
    package mutating func open(
        _ readings: [StreamReading], moving: [StreamName] = [], of services: Set<ServiceName>, _ inventory: Inventory, before: [WorkerName: RestLook],
        after: [WorkerName: RestLook]
    ) -> [StreamName: Opening] {
        var opened: [StreamName: Opening] = [:]
        for stream in inventory.streams where stream.services.contains(where: services.contains) && !moving.contains(stream.name) {
            guard rests(stream, inventory, before), rests(stream, inventory, after) else { continue }
            var opening = Opening(readings: readings.filter { $0.stream == stream.name })
            // Without a reading of it a stream keeps the opening that it has: its ledger then spans more.
            guard stream.via == .direct || stream.to.allSatisfy({ consumer in opening.readings.contains { $0.consumer == consumer.service && $0.known } })
            else { continue }
            let workers = stream.services.flatMap(inventory.workers(of:))
            guard workers.allSatisfy({ before[$0]?.lastLaunch == after[$0]?.lastLaunch }) else { continue }
            for worker in workers { opening.marks[worker] = after[worker]?.lastLaunch }
            opened[stream.name] = opening
        }
        for (stream, opening) in opened { keep(opening, of: stream) }
        return opened
    }

    private func rests(_ stream: StreamSpec, _ inventory: Inventory, _ looks: [WorkerName: RestLook]) -> Bool {
        let counting = stream.to.filter { if case .counter? = $0.applied { true } else { false } }.map(\.service)
        return (stream.from + counting).flatMap(inventory.workers(of:)).allSatisfy { looks[$0]?.isDown ?? false }
    }

    package mutating func keep(_ opening: Opening, of stream: StreamName) { openings[stream] = opening }

    package mutating func settle(_ stream: StreamName, _ consumer: ServiceName, run: UInt64, cut: String) {
        settled[Self.key(stream, consumer)] = Settled(run: run, cut: cut)
    }
}
