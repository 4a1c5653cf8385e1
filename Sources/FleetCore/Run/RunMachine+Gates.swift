/// Gates, drains and readings: what is asked again until it shows what the step wants.
extension RunMachine {
    var drains: Bool { if case .drained = current?.what { true } else { false } }

    mutating func pollLater(_ now: Moment) -> [Effect] {
        if pollAt == nil {
            pollAt = now.boot + Self.pollEvery
        }
        return reblock(now)
    }

    mutating func timeReached(_ now: Moment) -> [Effect] {
        let notes = noteOverdue(now)
        guard let due = pollAt, now.boot >= due else { return notes + (notes.isEmpty ? reblock(now) : settle(now)) }
        pollAt = nil
        attempt += 1
        let effects: [Effect]
        switch current?.what {
        case .gate(let questions): effects = askGates(questions.filter { openGates[$0] != nil }, now)
        case .drained: effects = askDrained(now)
        case .ledger: effects = askReadings(of: readsStreams, now)
        default: return notes
        }
        return notes + effects + settle(now)
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
        // A producer that this run has stopped has told its launches with its end; one that was stopped before is asked.
        let producers = stream.from.flatMap(inventory.workers(of:)).filter { evidence.stops[$0] == nil && lost[$0.host] == nil }
        return ask(producers + inventory.workers(of: consumer).filter { lost[$0.host] == nil }, now) { .snapshot($0.service) }
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
        let opening = book.openings[name]
        let producers = stream.from.map(\.raw).joined(separator: ", ")
        guard let produced = evidence.produced(stream, since: opening, inventory) else { return "no counter says what \(producers) sent" }
        if let why = produced.missing ?? produced.open.first { return "what \(producers) sent is unknown: \(why)" }
        guard case .counter(let counter)? = consumer.applied else { return "no counter says what \(consumerName) accepted" }
        let applied = evidence.counted(counter, by: consumerName, since: opening, inventory)
        if let why = applied.missing ?? applied.open.first { return "what \(consumerName) accepted is unknown: \(why)" }
        steps[step].detail = "\(produced.counted) sent, \(applied.counted) accepted (reported)"
        return produced.counted == applied.counted ? nil : "\(produced.counted) sent, \(applied.counted) accepted"
    }

    var allReadings: [StreamReading] {
        stepReadings.values.flatMap { $0 }.sorted { ($0.stream, $0.consumer, $0.host) < ($1.stream, $1.consumer, $1.host) }
    }

    /// Asks those that answer; what a silent one would have said stays unknown.
    mutating func askReadings(of hosts: [HostName], _ now: Moment) -> [Effect] {
        stepReadings = [:]
        return hosts.filter { lost[$0] == nil && !givenUp.contains($0) }.compactMap { send(to: $0, .readStreams, suffix: $0.raw, now) }
    }

    /// The hosts that can measure a stream with an end in the plan.
    var readsStreams: [HostName] {
        let ending = plan.ending
        return inventory.measuringHosts { stream in stream.services.contains(where: ending.contains) }
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
        return reblock(now)
    }
}
