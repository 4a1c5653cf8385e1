import FleetCore
import Testing

/// A stream as status shows it: every figure of a line counts from the same moment (REVIEW N12).
struct StreamFlowTests {
    private let inventory = Inventory(
        fleet: "demo", tiers: [TierSpec(name: "t")], hosts: [HostSpec(name: "h")],
        services: [
            ServiceSpec(name: "feed", tier: "t", run: ["/f"], hosts: ["h"], counters: [CounterSpec(name: "made", how: .notify("X_MADE"))]),
            ServiceSpec(name: "rec", tier: "t", run: ["/r"], hosts: ["h"], counters: [CounterSpec(name: "done", how: .notify("X_DONE"))]),
        ])

    private func stream(
        direct: Bool = false, produced: String? = "made", applied: ConsumerSpec.Applied? = .counter("done"), _ policy: ConsumerSpec.Policy = .buffer
    )
        -> StreamSpec
    {
        StreamSpec(
            name: "ticks", from: ["feed"], via: direct ? .direct : .redis(host: "h", address: "", key: "ticks"), produced: produced,
            to: [ConsumerSpec(service: "rec", policy: policy, group: "g", applied: applied)])
    }

    private func flow(
        _ stream: StreamSpec, since opening: LedgerBook.Opening? = nil, now reading: StreamReading? = nil, _ evidence: RunEvidence = RunEvidence()
    )
        -> StreamFlow
    {
        StreamFlow(stream, stream.to[0], inventory, since: opening, reading: reading, evidence)
    }

    /// Launches from `first` on: each of `ended` with that as its last count, and one that lives and has counted `live`.
    private func said(
        _ worker: WorkerName, first: UInt64 = 2, ended: [Int64] = [], live: Int64?, journal: String = "", in evidence: RunEvidence = RunEvidence()
    )
        -> RunEvidence
    {
        var evidence = evidence
        let (counter, key) = worker.service == "feed" ? ("made", "X_MADE") : ("done", "X_DONE")
        var launches = ended.enumerated().map { index, count in
            LaunchAccount(
                number: first + UInt64(index), launch: LaunchID("l\(index)"), wasReady: true,
                end: .ended(WorkerExit(how: .exited(0), notified: [key: "\(count)"], at: .zero)))
        }
        if let live {
            launches.append(LaunchAccount(number: first + UInt64(ended.count), launch: "live", wasReady: true))
            evidence.snapshots[worker] = [counter: live]
        } else {
            evidence.snapshots[worker] = [:]
        }
        evidence.launches[worker] = LaunchHistory(launches, journal: journal)
        return evidence
    }

    private func reading(added: Int64, lag: Int64?, pending: Int64 = 0, length: Int64? = nil, known: Bool = true) -> StreamReading {
        StreamReading(
            stream: "ticks", consumer: "rec", host: "h", known: known, whyUnknown: known ? "" : "Redis does not answer", runID: "r", length: length ?? added,
            entriesAdded: added, lag: lag, pending: pending)
    }

    private func opening(_ reading: StreamReading? = nil) -> LedgerBook.Opening {
        LedgerBook.Opening(
            readings: [reading].compactMap { $0 }, marks: ["feed@h": LaunchMark(number: 1, launch: "a"), "rec@h": LaunchMark(number: 4, launch: "b")])
    }

    @Test("through a buffer all figures count from the baseline, or all from the stream's making")
    func buffer() {
        let then = reading(added: 100_000, lag: 30, pending: 5)
        let later = flow(stream(applied: nil), since: opening(then), now: reading(added: 100_455, lag: 20, pending: 2))
        #expect(later.produced == .measured(455) && later.applied == .measured(468) && later.inFlight == .measured(2) && later.buffered == .measured(20))
        #expect(later.balance == .acknowledged, "nothing counts what is applied: there is nothing to compare")
        let all = flow(stream(applied: nil), now: reading(added: 100_455, lag: 20, pending: 2))
        #expect(all.produced == .measured(100_455) && all.applied == .measured(100_433) && all.balance == .acknowledged)
    }

    @Test("a consumer's own count is added up over its launches since the baseline, as far as they are told; else the group's stands")
    func counter() {
        let (then, now) = (reading(added: 10, lag: 0), reading(added: 50, lag: 7, pending: 3))
        let own = flow(stream(), since: opening(then), now: now, said("rec@h", first: 5, ended: [11, 9], live: 10))
        #expect(own.applied == .reported(30) && own.balance == .exact)
        let behind = flow(stream(), since: opening(then), now: now, said("rec@h", first: 5, live: 31))
        #expect(behind.applied == .reported(31) && behind.balance == .flowing)
        // More launches than a report tells: the group's own count stands.
        let many = flow(stream(), since: opening(then), now: now, said("rec@h", first: 7, ended: [1, 1, 1], live: 2))
        #expect(many.applied == .measured(30) && many.balance == .acknowledged)
        // What its journal no longer tells is unknown, and so is what a launch that crashed may have counted more.
        let opened = LedgerBook.Opening(readings: [then], marks: ["rec@h": LaunchMark(number: 4, launch: "b", journal: "one")])
        #expect(flow(stream(), since: opened, now: now, said("rec@h", first: 5, live: 2, journal: "other")).balance == .unknown)
        var crashed = said("rec@h", first: 5, ended: [11], live: 10)
        crashed.launches["rec@h"]?.end("l0", .ended(WorkerExit(how: .signalled(9, core: false), notified: ["X_DONE": "11"], at: .zero)))
        let doubtful = flow(stream(), since: opening(then), now: now, crashed)
        #expect(doubtful.balance == .unknown && doubtful.applied.why.contains("may not be its last count"), "\(doubtful)")
    }

    @Test("what the buffer lost unread is short, but where it is discarded by policy; what can't be read is unknown and says why")
    func short() {
        let lost = reading(added: 100, lag: 60, length: 12)
        #expect(flow(stream(applied: nil), now: lost).balance == .short(48))
        #expect(flow(stream(applied: nil, .discard), now: lost).balance == .acknowledged)
        let silent = flow(stream(), now: reading(added: 0, lag: 0, known: false))
        #expect(silent.balance == .unknown && silent.produced == .unknown("Redis does not answer"))
        #expect(flow(stream(), now: reading(added: 9, lag: nil)).balance == .unknown)
        #expect(flow(stream()).produced == .unknown("ticks has not been read"))
    }

    @Test("without a buffer the launches since the baseline are added up; more than are told is said, and is not unknown")
    func direct() {
        func both(_ feed: RunEvidence, _ rec: [Int64], live: Int64?) -> StreamFlow {
            flow(stream(direct: true), since: opening(), said("rec@h", first: 5, ended: rec, live: live, in: feed))
        }
        let whole = both(said("feed@h", ended: [4, 3], live: 2), [], live: 7)
        #expect(whole.produced == .reported(9) && whole.applied == .reported(7) && whole.inFlight == .reported(2) && whole.balance == .flowing)
        let rest = both(said("feed@h", ended: [4], live: nil), [4], live: nil)
        #expect(rest.produced == .reported(4) && rest.applied == .reported(4) && rest.balance == .exact)
        let restarted = both(said("feed@h", first: 9, ended: [1, 1, 1], live: 2), [], live: 7)
        #expect(restarted.balance == .restarted && restarted.produced.why.contains("feed@h: launch 2 is not on record"), "\(restarted)")
        #expect(flow(stream(direct: true), since: opening()).balance == .unknown)
        #expect(flow(stream(direct: true), said("feed@h", live: 9, in: said("rec@h", live: 9))).balance == .exact, "without a baseline as they are")
        #expect(flow(stream(direct: true, produced: nil), since: opening()).balance == .notCounted)
    }
}
