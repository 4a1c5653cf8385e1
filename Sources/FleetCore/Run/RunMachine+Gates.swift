/// Gates, drains and readings: what is asked again until it shows what the step wants.
extension RunMachine {
    var drains: Bool { if case .drained = current?.what { true } else { false } }

    mutating func pollLater(_ now: Moment) -> [Effect] {
        if pollAt == nil {
            pollAt = now.boot + Self.pollEvery
            deadline = pollAt
        }
        return reblock(now)
    }

    mutating func timeReached(_ now: Moment) -> [Effect] {
        guard let due = pollAt, now.boot >= due else { return reblock(now) }
        pollAt = nil
        deadline = nil
        attempt += 1
        let effects: [Effect]
        switch current?.what {
        case .gate(let questions): effects = askGates(questions.filter { openGates[$0] != nil }, now)
        case .drained: effects = askDrained(now)
        case .ledger: effects = readStreams()
        default: return []
        }
        return effects + settle(now)
    }

    mutating func askGates(_ questions: [GateQuestion], _ now: Moment) -> [Effect] {
        questions.filter { !overrides.contains("gate:\($0.gate)") }.compactMap {
            send(to: $0.host, .gate($0), suffix: "\($0.owner).\($0.gate)@\($0.host)", now)
        }
    }

    mutating func askDrained(_ now: Moment) -> [Effect] {
        guard case .drained(let name, let consumer) = current?.what, !overrides.contains("stream:\(name)"),
            let stream = inventory.streams.first(where: { $0.name == name })
        else { return [] }
        stepReadings = [:]
        if case .redis(let host, _, _) = stream.via { return [send(to: host, .readStreams, suffix: host.raw, now)].compactMap { $0 } }
        let workers = (inventory.service(consumer)?.hosts ?? []).map { WorkerName(consumer, on: $0) }
        return ask(workers, now) { .snapshot($0.service) }
    }

    /// What is still between producers and consumer, in words; nil: nothing. What is unknown is not nothing (law 6).
    mutating func drainRemainder() -> String? {
        guard case .drained(let name, let consumerName) = current?.what, let stream = inventory.streams.first(where: { $0.name == name }),
            let consumer = stream.to.first(where: { $0.service == consumerName })
        else { return "the inventory does not have it" }
        if case .redis = stream.via {
            guard let reading = allReadings.first(where: { $0.stream == name && $0.consumer == consumerName }) else { return "no reading of \(name)" }
            guard reading.known else { return "\(name) can't be read: \(reading.whyUnknown)" }
            guard let lag = reading.lag else { return "the lag of \(name) is unknown" }
            return lag + reading.pending == 0 ? nil : "\(lag) unread and \(reading.pending) unacknowledged"
        }
        guard let produced = evidence.producedFinally(stream, inventory) else {
            return "what \(stream.from.map(\.raw).joined(separator: ", ")) sent is unknown"
        }
        guard case .counter(let counter)? = consumer.applied else { return "no counter says what \(consumerName) accepted" }
        guard let applied = evidence.counter(counter, of: consumerName, inventory) else { return "what \(consumerName) accepted is unknown" }
        steps[step].detail = "\(produced) sent, \(applied) accepted (reported)"
        return produced == applied ? nil : "\(produced) sent, \(applied) accepted"
    }

    var allReadings: [StreamReading] {
        stepReadings.values.flatMap { $0 }.sorted { ($0.stream, $0.consumer, $0.host) < ($1.stream, $1.consumer, $1.host) }
    }

    /// Asks every host that measures and answers; what a silent one would have said stays unknown.
    mutating func readStreams() -> [Effect] {
        stepReadings = [:]
        return inventory.measuringHosts.filter { lost[$0] == nil }.compactMap { send(to: $0, .readStreams, suffix: $0.raw, nil) }
    }

    mutating func settleLedger(_ now: Moment) -> [Effect] {
        let readings = allReadings
        readingCount += 1
        if let previousReadings, previousReadings.map(\.counts) == readings.map(\.counts) {
            evidence.after = readings
            evidence.settled = true
            return next(now)
        }
        if readingCount >= Self.readingsLimit {
            evidence.after = readings
            evidence.settled = false
            return next(now)
        }
        previousReadings = readings
        pollAt = now.boot + Self.secondReadingAfter
        deadline = pollAt
        return reblock(now)
    }
}
