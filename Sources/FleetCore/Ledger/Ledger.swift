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
    /// From where is counted.
    package let book: LedgerBook
    package let evidence: RunEvidence

    package init(inventory: Inventory, book: LedgerBook, evidence: RunEvidence) {
        self.inventory = inventory
        self.book = book
        self.evidence = evidence
    }

    /// A line for each consumer of every stream with an end among the workers of the plan: counted where both ends are shown at rest,
    /// open and unproven where one is not.
    package func lines(of plan: Plan) -> [LedgerLine] {
        let ending = plan.ending
        return inventory.streams.flatMap { stream in
            let feeds = stream.from.contains(where: ending.contains)
            return stream.to.filter { feeds || ending.contains($0.service) }.map { consumer in line(stream, consumer) }
        }
    }

    private func line(_ stream: StreamSpec, _ consumer: ConsumerSpec) -> LedgerLine {
        var line = LedgerLine(
            stream: stream.name, consumer: consumer.service, policy: consumer.policy, produced: .unknown("not read"), applied: .unknown("not read"),
            inFlight: .unknown("not read"), buffered: .unknown("not read"), discarded: .measured(0), carried: 0, difference: nil, verdict: .unproven,
            note: "")
        let ends = (stream.from + [consumer.service]).flatMap(inventory.workers(of:))
        if let running = ends.first(where: { !isDown($0) }) {
            let why = evidence.looks[running].map { ", \($0.problem)" } ?? ""
            line.note = "open: \(running) is not shown stopped\(why)"
            line.produced = .unknown("the stream is open")
            line.applied = .unknown("the stream is open")
            line.inFlight = .unknown("the stream is open")
            line.buffered = .unknown("the stream is open")
            return line
        }
        if let host = inventory.measuringHosts({ $0.name == stream.name }).first(where: { evidence.contested[$0] != nil }) {
            line.note = "\(host) measures it, and two instances of \(host) live: whose reading it is can't be told"
            return line
        }
        switch stream.via {
        case .redis: line = redisLine(line, stream, consumer)
        case .direct: line = directLine(line, stream, consumer)
        }
        if line.verdict == .proven, let earlier = book.settled[LedgerBook.key(stream.name, consumer.service)], earlier.cut == cut(of: line) {
            line.note += "\(line.note.isEmpty ? "" : "; ")settled by run \(earlier.run), unchanged since"
        }
        return line
    }

    private func isDown(_ worker: WorkerName) -> Bool { evidence.stops[worker] != nil || evidence.looks[worker]?.treeEmpty == true }

    /// What was seen of a stream at its cut, to be compared with that of a later run.
    package func cut(of line: LedgerLine) -> String {
        let readings = evidence.after.filter { $0.stream == line.stream && $0.consumer == line.consumer }.map { $0.counts.joined(separator: ",") }
        let ends = inventory.streams.first { $0.name == line.stream }.map { $0.from + [line.consumer] } ?? []
        let marks = ends.flatMap(inventory.workers(of:)).map { "\($0)=\(evidence.launches[$0]?.mark.text ?? "")" }
        return (readings + marks).joined(separator: " ")
    }

    // MARK: Through Redis

    private func redisLine(_ line: LedgerLine, _ stream: StreamSpec, _ consumer: ConsumerSpec) -> LedgerLine {
        var line = line
        guard let end = reading(evidence.after, stream, consumer), end.known else {
            line.note = "\(stream.name) could not be read at the cut\(reading(evidence.after, stream, consumer).map { ": \($0.whyUnknown)" } ?? "")"
            return line
        }
        let opening = book.openings[stream.name]
        guard let start = opening.flatMap({ reading($0.readings.map(\.countingAbsentSink), stream, consumer) }), start.known else {
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
        produce(stream, added: added, since: opening, &line)
        if line.verdict == .contradicted { return line }
        guard let lag = end.unread, let lagBefore = start.unread else {
            line.note = "Redis can't tell the lag of \(consumer.service)'s group\(end.unread == nil ? "" : " at the baseline")"
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
        case .counter(let name):
            let said = evidence.counted(name, by: consumer.service, since: opening, inventory)
            line.applied = said.missing.map(LedgerLine.Count.unknown) ?? .reported(said.counted)
            return balance(line, isCut: evidence.settled, pendingBefore: start.pending, pendingAtCut: end.pending, applied: said)
        case nil:
            line.applied = .measured(acknowledged)
            line.note += "\(line.note.isEmpty ? "" : "; ")proves acknowledged, not applied"
        }
        return balance(line, isCut: evidence.settled, pendingBefore: start.pending, pendingAtCut: end.pending)
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

    /// The buffer's own count carries the proof; what the producers say is compared with it as far as it reaches.
    private func produce(_ stream: StreamSpec, added: Int64, since opening: LedgerBook.Opening?, _ line: inout LedgerLine) {
        line.produced = .measured(added)
        guard let said = evidence.produced(stream, since: opening, inventory) else {
            line.note = "from the buffer on: the producer declares no counter"
            return
        }
        if said.missing == nil, said.counted > added || (said.isExact && said.counted != added) {
            line.verdict = .contradicted
            line.note = "the producer counted \(said.counted), the buffer took \(added)"
        } else if let doubt = said.doubt {
            line.note = "produced as the buffer counted it: \(doubt)"
        }
    }

    /// `isCut`: the readings are of one quiescent moment. `produced` and `applied`: as workers counted them, where they did.
    private func balance(
        _ line: LedgerLine, isCut: Bool, pendingBefore: Int64 = 0, pendingAtCut: Int64 = 0, produced said: LaunchCount = LaunchCount(),
        applied: LaunchCount = LaunchCount()
    ) -> LedgerLine {
        var line = line
        func note(_ text: String) { line.note = line.note.isEmpty ? text : "\(line.note); \(text)" }
        let counts = [line.applied, line.inFlight, line.buffered, line.discarded]
        if let missing = ([line.produced] + counts).first(where: { $0.value == nil }) {
            line.verdict = .unproven
            note(missing.why)
            return line
        }
        guard isCut else {
            line.verdict = .unproven
            note("no two equal readings were had: something still writes to it")
            return line
        }
        guard let right = Bounded.sum(counts.map { $0.value ?? 0 }), let left = Bounded.sum([line.produced.value ?? 0, line.carried]),
            let difference = Bounded.sum([left, -right])
        else {
            line.verdict = .unproven
            note("the counts are beyond what can be added up")
            return line
        }
        line.difference = difference
        if line.carried != 0 { note("\(line.carried) lay in the buffer before") }
        // What a launch did not say can only be more than it said: it explains a difference to one side.
        let more = difference < 0 ? said.open + said.unready : applied.open + applied.unready
        if difference == 0, let open = (said.open + applied.open).first {
            line.verdict = .unproven
            note(open)
        } else if difference == 0 {
            line.verdict = .proven
            if let unready = (said.unready + applied.unready).first { note("\(unready): counted as 0, and the other end agrees") }
        } else if let more = more.first {
            line.verdict = .unproven
            note(more)
        } else if difference < 0, -difference <= pendingAtCut {
            line.verdict = .unproven
            note("\(-difference) of those in flight may have been applied already: they were committed and not acknowledged")
        } else if difference > 0, difference <= pendingBefore {
            line.verdict = .unproven
            note("\(difference) of the \(pendingBefore) in flight at the baseline may have been applied before it: they were committed and not acknowledged")
        } else {
            line.verdict = .contradicted
            note(difference > 0 ? "\(difference) short" : "\(-difference) more than were produced")
        }
        return line
    }

    // MARK: Without a buffer

    private func directLine(_ line: LedgerLine, _ stream: StreamSpec, _ consumer: ConsumerSpec) -> LedgerLine {
        var line = line
        line.inFlight = .measured(0)
        line.buffered = .measured(0)
        let opening = book.openings[stream.name]
        let said = evidence.produced(stream, since: opening, inventory) ?? .missing("the stream declares no counter of what is produced")
        line.produced = said.missing.map(LedgerLine.Count.unknown) ?? .reported(said.counted)
        var applied = LaunchCount.missing("the stream declares no counter of what is applied")
        if case .counter(let name)? = consumer.applied { applied = evidence.counted(name, by: consumer.service, since: opening, inventory) }
        line.applied = applied.missing.map(LedgerLine.Count.unknown) ?? .reported(applied.counted)
        if consumer.policy == .discard, let produced = line.produced.value, let applied = line.applied.value, produced > applied {
            line.discarded = .reported(produced - applied)
            line.note = "what was not applied counts as discarded by policy"
        }
        return balance(line, isCut: true, produced: said, applied: applied)
    }

    // MARK: Counts

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

extension StreamReading {
    /// A sink that did not exist at the baseline held nothing then.
    fileprivate var countingAbsentSink: StreamReading {
        var reading = self
        if sinkAbsent { reading.applied = 0 }
        return reading
    }
}
