internal import FleetCore
internal import FleetWire

extension ObservedWorker {
    init(_ wire: WireWorkerReport) {
        let state: State =
            switch wire.state {
            case .stopped: .stopped
            case .starting: .starting
            case .running: .running
            case .stopping, .dumping: .stopping
            case .held: .held
            case .failed: .failed
            case .backoff: .backoff
            case .workerUnknown, .UNRECOGNIZED: .unknown
            }
        self.init(state: state, quiesced: wire.quiesced)
        endedUnwanted = wire.endedUnwanted
        if wire.hasLastLaunch { lastLaunch = LaunchMark(wire.lastLaunch) }
    }
}

extension StreamReading {
    init(_ wire: WireStreamReading, host: HostName) {
        self.init(
            stream: StreamName(wire.stream), consumer: ServiceName(wire.consumer), host: host, known: wire.known, whyUnknown: wire.whyUnknown,
            runID: wire.runID, length: wire.length, entriesAdded: wire.entriesAdded, entriesRead: wire.entriesReadKnown ? wire.entriesRead : nil,
            lag: wire.lagKnown ? wire.lag : nil, pending: wire.pending, lastID: wire.lastID, lastDeliveredID: wire.lastDeliveredID,
            applied: wire.appliedKnown ? wire.applied : nil, whyAppliedUnknown: wire.whyAppliedUnknown, sinkAbsent: wire.appliedAbsent)
    }

    /// For the journal.
    var json: JSON {
        func optional(_ value: Int64?) -> JSON { value.map(JSON.int) ?? .null }
        return .object([
            .init("stream", .string(stream.raw)), .init("consumer", .string(consumer.raw)), .init("host", .string(host.raw)),
            .init("known", .bool(known)), .init("why", .string(whyUnknown)), .init("run_id", .string(runID)), .init("length", .int(length)),
            .init("added", .int(entriesAdded)), .init("read", optional(entriesRead)), .init("lag", optional(lag)), .init("pending", .int(pending)),
            .init("last_id", .string(lastID)), .init("last_delivered", .string(lastDeliveredID)), .init("applied", optional(applied)),
            .init("why_applied", .string(whyAppliedUnknown)), .init("sink_absent", .bool(sinkAbsent)),
        ])
    }

    /// nil for a text that no version of this program has written.
    init?(journaled text: String) {
        guard case .success(let json) = Result(catching: { () throws(JSON.ParseError) in try JSON.parse(text) }), let stream = json["stream"]?.stringValue,
            let consumer = json["consumer"]?.stringValue, let host = json["host"]?.stringValue,
            let known = json["known"]?.boolValue, let added = json["added"]?.intValue, let pending = json["pending"]?.intValue,
            // A program from before bounds may have written what one worker said.
            (["added", "pending", "length", "read", "lag", "applied"].allSatisfy { key in json[key]?.intValue.map { Bounded.value.contains($0) } ?? true })
        else { return nil }
        self.init(
            stream: StreamName(stream), consumer: ServiceName(consumer), host: HostName(host), known: known, whyUnknown: json["why"]?.stringValue ?? "",
            runID: json["run_id"]?.stringValue ?? "", length: json["length"]?.intValue ?? 0, entriesAdded: added, entriesRead: json["read"]?.intValue,
            lag: json["lag"]?.intValue, pending: pending, lastID: json["last_id"]?.stringValue ?? "",
            lastDeliveredID: json["last_delivered"]?.stringValue ?? "", applied: json["applied"]?.intValue,
            whyAppliedUnknown: json["why_applied"]?.stringValue ?? "", sinkAbsent: json["sink_absent"]?.boolValue ?? false)
    }
}

extension RunReply {
    init(_ wire: WireCommandResult, host: HostName) {
        switch wire.outcome {
        case .progress: self = .progress(slug: wire.slug, text: wire.text)
        case .refused: self = .refused(slug: wire.slug, text: wire.text)
        case .failedTo where wire.slug == "left-behind" && wire.checks.contains { $0.state == .left }: self = .leftBehind(Done(wire, host: host))
        case .failedTo, .unknown, .UNRECOGNIZED: self = .failed(slug: wire.slug.isEmpty ? "unknown" : wire.slug, text: wire.text)
        case .done: self = .done(Done(wire, host: host))
        }
    }
}

extension RunReply.Done {
    fileprivate init(_ wire: WireCommandResult, host: HostName) {
        var counters: [String: Int64] = [:]
        for (name, figure) in wire.snapshot.counters where figure.known { counters[name] = figure.value }
        self.init(
            streams: wire.streams.map { StreamReading($0, host: host) }, gateHolds: wire.holds,
            gateValue: wire.figure.known ? "\(wire.figure.value)" : wire.text.isEmpty ? "unknown: \(wire.figure.whyUnknown)" : wire.text,
            killed: wire.killed, treeEmpty: wire.treeEmpty,
            exit: wire.worker.hasLastExit ? WorkerExit(wire.worker.lastExit, status: wire.worker.status) : nil, status: wire.worker.status,
            signalledUnixMicroseconds: wire.signalledUnixUs, goneUnixMicroseconds: wire.goneUnixUs,
            citations: wire.records.map { "\(host):\($0.sequence):\($0.hash.prefix(16))" }, counters: counters, text: wire.text,
            checks: wire.checks.compactMap(Verification.Check.init), launches: wire.hasLaunches ? LaunchHistory(wire.launches) : nil,
            stateFiles: wire.snapshot.stateFileSha256)
    }
}

extension Verification.Check {
    /// nil for what a newer agent looks at and this coordinator has no word for: nothing is known to be left.
    init?(_ wire: WireCheck) {
        guard let what = Verification.What(rawValue: wire.what) else { return nil }
        let state: Verification.State =
            switch wire.state {
            case .clear: .clear
            case .left: .left
            case .unchecked: .unchecked
            case .checkUnknown, .UNRECOGNIZED: .unknown
            }
        self.init(what, state, wire.text)
    }
}

extension WireFigure {
    init(_ count: LedgerLine.Count) {
        self.init()
        known = count.value != nil
        // Law 6: what is unknown is no zero.
        if let value = count.value { self.value = value }
        whyUnknown = count.why
        evidence =
            switch count.evidence {
            case .measured: .measured
            case .reported: .reported
            case .unknown: .unknown
            }
    }
}
