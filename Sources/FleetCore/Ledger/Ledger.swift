/// The balance of one stream for one consumer: produced = applied + in flight + buffered + discarded, as deltas from a
/// baseline, at a quiescent cut (DESIGN: "Ledger").
package struct LedgerLine: Equatable, Sendable {
    package var stream: StreamName
    package var consumer: ServiceName
    package var policy: ConsumerSpec.Policy
    package var produced: Count
    package var applied: Count
    package var inFlight: Count
    package var buffered: Count
    package var discarded: Count
    /// What lay in the buffer at the baseline and came on top.
    package var carried: Int64
    /// produced + carried - (applied + in flight + buffered + discarded); nil: something is unknown.
    package var difference: Int64?
    package var verdict: Verdict
    /// Why it is less than proven, or what its proof is limited to.
    package var note: String

    package struct Count: Equatable, Sendable {
        package enum Evidence: Sendable { case measured, reported, unknown }

        package var value: Int64?
        package var evidence: Evidence
        package var why: String

        package static func measured(_ value: Int64) -> Count { Count(value: value, evidence: .measured, why: "") }
        package static func reported(_ value: Int64) -> Count { Count(value: value, evidence: .reported, why: "") }
        package static func unknown(_ why: String) -> Count { Count(value: nil, evidence: .unknown, why: why) }
    }
}

/// proven: shown. unproven: nothing speaks against it, something is missing. contradicted: the figures say otherwise.
package enum Verdict: String, Sendable, Comparable {
    case proven, unproven, contradicted

    private var rank: Int {
        switch self {
        case .proven: 0
        case .unproven: 1
        case .contradicted: 2
        }
    }

    /// Worse is greater.
    package static func < (a: Verdict, b: Verdict) -> Bool { a.rank < b.rank }
}

package struct Ledger: Sendable {
    package let inventory: Inventory
    /// Taken when the stream stood still before the last start.
    package let baseline: [StreamReading]
    package let evidence: RunEvidence
    /// What a live worker's launch says about its counters: nil when it was launched once since the baseline, else why
    /// its counts don't cover the whole time.
    package let brokenCounts: [ServiceName: String]

    package init(inventory: Inventory, baseline: [StreamReading], evidence: RunEvidence, brokenCounts: [ServiceName: String] = [:]) {
        self.inventory = inventory
        // A sink that did not exist at the baseline held nothing then.
        self.baseline = baseline.map { reading in
            var reading = reading
            if reading.sinkAbsent { reading.applied = 0 }
            return reading
        }
        self.evidence = evidence
        self.brokenCounts = brokenCounts
    }

    /// The lines of every stream whose producers were all stopped: only there is a cut.
    package func lines(stopped: Set<ServiceName>) -> [LedgerLine] {
        inventory.streams.filter { stream in stream.from.allSatisfy(stopped.contains) }.flatMap { stream in
            stream.to.filter { stopped.contains($0.service) }.map { consumer in
                switch stream.via {
                case .redis: redisLine(stream, consumer)
                case .direct: directLine(stream, consumer)
                }
            }
        }
    }

    // MARK: Through Redis

    private func redisLine(_ stream: StreamSpec, _ consumer: ConsumerSpec) -> LedgerLine {
        var line = LedgerLine(
            stream: stream.name, consumer: consumer.service, policy: consumer.policy, produced: .unknown("not read"), applied: .unknown("not read"),
            inFlight: .unknown("not read"), buffered: .unknown("not read"), discarded: .measured(0), carried: 0, difference: nil, verdict: .unproven,
            note: "")
        guard let end = reading(evidence.after, stream, consumer), end.known else {
            line.note = "\(stream.name) could not be read at the cut\(reading(evidence.after, stream, consumer).map { ": \($0.whyUnknown)" } ?? "")"
            return line
        }
        guard let start = reading(baseline, stream, consumer), start.known else {
            line.note = "there is no baseline: the stream was not at rest, or not readable, when it was started"
            return line
        }
        guard end.runID == start.runID || start.runID.isEmpty else {
            return redisRestarted(line, start, end)
        }
        let added = end.entriesAdded - start.entriesAdded
        guard added >= 0 else {
            line.verdict = .contradicted
            line.note = "the stream's count of entries went back, from \(start.entriesAdded) to \(end.entriesAdded): it was deleted or reset"
            return line
        }
        produce(stream, added: added, &line)
        guard let lag = unread(end), let lagBefore = unread(start) else {
            line.note = "Redis can't tell the lag of \(consumer.service)'s group\(unread(end) == nil ? "" : " at the baseline")"
            return line
        }
        line.carried = lagBefore + start.pending
        // Redis leaves entries-read out where it has not had to compute it; where the group stands follows from its lag.
        let read = (end.entriesRead ?? end.entriesAdded - lag) - (start.entriesRead ?? start.entriesAdded - lagBefore)
        let acknowledged = read - end.pending + start.pending
        switch consumer.policy {
        case .discard:
            line.inFlight = .measured(0)
            line.buffered = .measured(0)
            line.discarded = .measured(lag + end.pending)
        case .buffer, .drain:
            line.inFlight = .measured(end.pending)
            line.buffered = .measured(lag)
            if lag > end.length {
                line.verdict = .contradicted
                line.note = "\(lag - end.length) short: Redis trimmed entries the group had not read"
                return line
            }
        }
        switch consumer.applied {
        case .sqlite, .questdb:
            if let now = end.applied, let before = start.applied {
                line.applied = .measured(now - before)
            } else {
                let why = end.applied == nil ? end.whyAppliedUnknown : start.whyAppliedUnknown
                line.applied = .unknown(why.isEmpty ? "the sink of \(consumer.service) was not read" : why)
            }
        case .counter(let name): line.applied = said(name, by: consumer.service)
        case nil:
            line.applied = .measured(acknowledged)
            line.note += "\(line.note.isEmpty ? "" : "; ")proves acknowledged, not applied"
        }
        return balance(line, added: added)
    }

    private func redisRestarted(_ line: LedgerLine, _ start: StreamReading, _ end: StreamReading) -> LedgerLine {
        var line = line
        line.note = "Redis was restarted since the baseline"
        if end.entriesAdded < start.entriesAdded {
            line.verdict = .contradicted
            line.note += " and has lost entries: \(start.entriesAdded) had been added then, \(end.entriesAdded) now"
        }
        return line
    }

    private func produce(_ stream: StreamSpec, added: Int64, _ line: inout LedgerLine) {
        guard stream.produced != nil else {
            line.produced = .measured(added)
            line.note = "from the buffer on: the producer declares no counter"
            return
        }
        if let broken = stream.from.compactMap({ brokenCounts[$0] }).first {
            line.produced = .unknown(broken)
        } else if let said = evidence.producedFinally(stream, inventory) {
            line.produced = .reported(said)
        } else {
            line.produced = .unknown("\(stream.from.map(\.raw).joined(separator: ", ")) ended without a final count")
        }
    }

    private func balance(_ line: LedgerLine, added: Int64?) -> LedgerLine {
        var line = line
        func note(_ text: String) { line.note = line.note.isEmpty ? text : "\(line.note); \(text)" }
        let counts = [line.applied, line.inFlight, line.buffered, line.discarded]
        if let missing = ([line.produced] + counts).first(where: { $0.value == nil }) {
            line.verdict = .unproven
            note(missing.why)
            return line
        }
        guard evidence.settled || added == nil else {
            line.verdict = .unproven
            note("no two equal readings were had: something still writes to it")
            return line
        }
        let produced = line.produced.value ?? 0
        let difference = produced + line.carried - counts.reduce(0) { $0 + ($1.value ?? 0) }
        line.difference = difference
        if line.carried != 0 { note("\(line.carried) lay in the buffer before") }
        if let added, added != produced {
            line.verdict = .contradicted
            note("the producer counted \(produced), the buffer took \(added)")
        } else if difference == 0 {
            line.verdict = .proven
        } else if difference < 0, -difference <= line.inFlight.value ?? 0 {
            line.verdict = .unproven
            note("\(-difference) of those in flight may have been applied already: they were committed and not acknowledged")
        } else {
            line.verdict = .contradicted
            note(difference > 0 ? "\(difference) short" : "\(-difference) more than were produced")
        }
        return line
    }

    // MARK: Without a buffer

    private func directLine(_ stream: StreamSpec, _ consumer: ConsumerSpec) -> LedgerLine {
        var line = LedgerLine(
            stream: stream.name, consumer: consumer.service, policy: consumer.policy, produced: .unknown("no counter"), applied: .unknown("no counter"),
            inFlight: .measured(0), buffered: .measured(0), discarded: .measured(0), carried: 0, difference: nil, verdict: .unproven, note: "")
        produce(stream, added: 0, &line)
        if stream.produced == nil { line.produced = .unknown("the stream declares no counter of what is produced") }
        if case .counter(let name)? = consumer.applied {
            line.applied = said(name, by: consumer.service)
        } else {
            line.applied = .unknown("the stream declares no counter of what is applied")
        }
        if consumer.policy == .discard, let produced = line.produced.value, let applied = line.applied.value, produced > applied {
            line.discarded = .reported(produced - applied)
            line.note = "what was not applied counts as discarded by policy"
        }
        return balance(line, added: nil)
    }

    // MARK: Counts

    /// Of a stream that nothing was ever added to, nothing is left to read, whether its group exists yet or not.
    private func unread(_ reading: StreamReading) -> Int64? { reading.lag ?? (reading.entriesAdded == 0 ? 0 : nil) }

    private func said(_ counter: String, by service: ServiceName) -> LedgerLine.Count {
        if let broken = brokenCounts[service] { return .unknown(broken) }
        return evidence.counter(counter, of: service, inventory).map(LedgerLine.Count.reported) ?? .unknown("\(service) did not say \(counter)")
    }

    private func reading(_ readings: [StreamReading], _ stream: StreamSpec, _ consumer: ConsumerSpec) -> StreamReading? {
        let mine = readings.filter { $0.stream == stream.name && $0.consumer == consumer.service }
        guard case .redis(let host, _, _) = stream.via else { return mine.first }
        // Redis is read on one host, the sink perhaps on another: one reading from both.
        guard var reading = mine.first(where: { $0.host == host && $0.known }) ?? mine.first(where: { $0.host == host }) else { return nil }
        if case .sqlite? = consumer.applied {
            // A file on each host: what all of them hold together.
            let sinks = (inventory.service(consumer.service)?.hosts ?? []).map { host in (host, mine.first { $0.host == host }) }
            reading.applied = sinks.reduce(Int64?(0)) { sum, sink in sum.flatMap { sum in sink.1?.applied.map { sum + $0 } } }
            if let (host, missing) = sinks.first(where: { $0.1?.applied == nil }) {
                let why = missing.map(\.whyAppliedUnknown) ?? ""
                reading.whyAppliedUnknown = why.isEmpty ? "the sink of \(consumer.service) on \(host) was not read" : why
            }
        } else if reading.applied == nil, let sink = mine.first(where: { $0.applied != nil }) ?? mine.first(where: { !$0.whyAppliedUnknown.isEmpty }) {
            reading.applied = sink.applied
            reading.whyAppliedUnknown = sink.whyAppliedUnknown
        }
        return reading
    }
}
