import FleetCore
import Testing

struct LedgerTests {
    private static let hosts: [HostName] = ["md-1", "st-1"]
    private var inventory = Inventory(
        fleet: "demo", tiers: [TierSpec(name: "t")], hosts: LedgerTests.hosts.map { HostSpec(name: $0) },
        services: [
            ServiceSpec(name: "feed", tier: "t", run: ["/f"], hosts: ["md-1"], counters: [CounterSpec(name: "produced", how: .notify("X_PRODUCED"))]),
            ServiceSpec(name: "recorder", tier: "t", run: ["/r"], hosts: ["st-1"], counters: [CounterSpec(name: "applied", how: .notify("X_APPLIED"))]),
        ],
        streams: [
            StreamSpec(
                name: "ticks", from: ["feed"], via: .redis(host: "md-1", address: "127.0.0.1:6379", key: "ticks"), produced: "produced",
                to: [ConsumerSpec(service: "recorder", policy: .buffer, group: "g", applied: .sqlite(path: "/db", table: "t", column: "id"))])
        ])

    /// Redis on md-1 and the sink on st-1, each by its own host.
    private func readings(added: Int64, read: Int64?, lag: Int64?, pending: Int64 = 0, length: Int64? = nil, applied: Int64?, runID: String = "r1")
        -> [StreamReading]
    {
        [
            StreamReading(
                stream: "ticks", consumer: "recorder", host: "md-1", known: true, runID: runID, length: length ?? added, entriesAdded: added, entriesRead: read,
                lag: lag, pending: pending, whyAppliedUnknown: ""),
            StreamReading(
                stream: "ticks", consumer: "recorder", host: "st-1", known: false, applied: applied, whyAppliedUnknown: applied == nil ? "no such file" : ""),
        ]
    }

    /// Launched once since the baseline, each; `exit` is the producer's.
    private func evidence(produced: Int64?, exit: WorkerExit.How = .exited(0), applied: Int64? = nil, after: [StreamReading], settled: Bool = true)
        -> RunEvidence
    {
        evidence(
            feed: [WorkerExit(how: exit, notified: produced.map { ["X_PRODUCED": "\($0)"] } ?? [:], tree: TreeEnd(), at: .zero)],
            recorder: [WorkerExit(how: .exited(0), notified: applied.map { ["X_APPLIED": "\($0)"] } ?? [:], tree: TreeEnd(), at: .zero)], after: after,
            settled: settled)
    }

    private func evidence(feed: [WorkerExit], recorder: [WorkerExit], ready: Bool = true, after: [StreamReading], settled: Bool = true) -> RunEvidence {
        var evidence = RunEvidence()
        for (worker, exits) in [("feed@md-1", feed), ("recorder@st-1", recorder)] as [(WorkerName, [WorkerExit])] {
            evidence.stops[worker] = RunEvidence.Stopped(
                worker: worker, treeEmpty: true, killed: false, attested: false, exit: exits.last, status: "", signalledUnixMicroseconds: 0,
                goneUnixMicroseconds: 0, citations: [], checks: Verification.Check.allClear)
            // The first launch ended before the baseline.
            evidence.launches[worker] = LaunchHistory(
                [LaunchAccount(number: 1, launch: "before", wasReady: true, end: .ended(WorkerExit(how: .exited(0), at: .zero)))]
                    + exits.enumerated().map { index, exit in
                        LaunchAccount(
                            number: UInt64(index) + 2, launch: LaunchID("l\(index)"), wasReady: ready || index == exits.count - 1, end: .ended(exit))
                    })
            evidence.verifiedAt[worker] = Moment(boot: .zero, unixMicroseconds: 5)
            evidence.heard[worker.host] = Moment(boot: .zero, unixMicroseconds: 5)
        }
        evidence.after = after
        evidence.settled = settled
        return evidence
    }

    @Test("a stream opens only where it rests before and after its readings, with the same launches, and both readings say alike")
    func openings() {
        let read = readings(added: 100, read: 100, lag: 0, applied: 100)
        typealias Looks = [WorkerName: LedgerBook.RestLook]
        func looks(feed isDown: Bool = true, launch: UInt64 = 1) -> Looks {
            [
                "feed@md-1": LedgerBook.RestLook(isDown: isDown, lastLaunch: LaunchMark(number: launch, launch: "l\(launch)")),
                "recorder@st-1": LedgerBook.RestLook(isDown: false, lastLaunch: LaunchMark(number: 4, launch: "r")),
            ]
        }
        func opened(moving: [StreamName] = [], of services: Set<ServiceName> = ["feed"], before: Looks, after: Looks) -> Int {
            var book = LedgerBook()
            return book.open(read, moving: moving, of: services, inventory, before: before, after: after).count
        }
        #expect(opened(before: looks(), after: looks()) == 1)
        #expect(opened(before: looks(feed: false), after: looks()) == 0 && opened(before: looks(), after: looks(feed: false)) == 0)
        #expect(opened(before: looks(), after: looks(launch: 2)) == 0, "it was launched and ended in between")
        #expect(opened(moving: ["ticks"], before: looks(), after: looks()) == 0, "its consumer was reading a backlog")
        #expect(opened(of: ["other"], before: looks(), after: looks()) == 0)
        #expect(opened(before: looks(), after: [:]) == 0 && opened(before: [:], after: looks()) == 0, "nobody answered for it")
    }

    private let plan = Plan(kind: .stop, steps: [], workers: ["feed@md-1", "recorder@st-1"], notes: [], inventoryDigest: "")

    private func book(_ readings: [StreamReading]?, marks: Bool = true) -> LedgerBook {
        var book = LedgerBook()
        guard let readings else { return book }
        let mark = LaunchMark(number: 1, launch: "before")
        book.keep(LedgerBook.Opening(readings: readings, marks: marks ? ["feed@md-1": mark, "recorder@st-1": mark] : [:]), of: "ticks")
        return book
    }

    private func line(in inventory: Inventory? = nil, before: [StreamReading]? = nil, marks: Bool = true, _ evidence: RunEvidence) throws -> LedgerLine {
        let baseline = before ?? readings(added: 100, read: 100, lag: 0, applied: 100)
        return try #require(Ledger(inventory: inventory ?? self.inventory, book: book(baseline, marks: marks), evidence: evidence).lines(of: plan).first)
    }

    @Test("produced = applied + in flight + buffered to the entry is proven")
    func proven() throws {
        let line = try line(evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, applied: 140)))
        #expect(line.verdict == .proven && line.difference == 0 && line.note.isEmpty)
        #expect(line.produced == .measured(50) && line.applied == .measured(40) && line.buffered == .measured(10) && line.inFlight == .measured(0))
    }

    @Test("what lay in the buffer before is carried over and counted")
    func carried() throws {
        let before = readings(added: 100, read: 90, lag: 10, pending: 5, applied: 85)
        let line = try line(before: before, evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(line.verdict == .proven && line.carried == 15 && line.note == "15 lay in the buffer before")
    }

    @Test("what is missing contradicts, and so is what is too much", arguments: [(130, "10 short"), (145, "5 more than were produced")] as [(Int64, String)])
    func contradicted(applied: Int64, note: String) throws {
        let line = try line(evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, applied: applied)))
        #expect(line.verdict == .contradicted && line.note == note)
    }

    @Test("what was committed and not acknowledged is counted twice at most, and is unproven")
    func committedNotAcknowledged() throws {
        let line = try line(evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, pending: 10, applied: 143)))
        #expect(line.verdict == .unproven && line.difference == -3)
        #expect(line.note == "3 of those in flight may have been applied already: they were committed and not acknowledged")
    }

    @Test("what lay unacknowledged at the baseline and was in the sink already is no loss at the next cut")
    func committedBeforeTheBaseline() throws {
        let before = readings(added: 100, read: 100, lag: 0, pending: 2, applied: 100)
        let line = try line(before: before, evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(line.verdict == .unproven && line.note.contains("2 of the 2 in flight at the baseline may have been applied before it"), "\(line)")
        let short = try self.line(before: before, evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 149)))
        #expect(short.verdict == .contradicted && short.note.hasSuffix("3 short"))
    }

    @Test("a count that was polled over HTTP is no final one: its launch may have counted more")
    func polled() throws {
        var inventory = inventory
        inventory.services[0].counters = [
            CounterSpec(name: "produced", how: .http(HTTPProbeSpec(url: "http://127.0.0.1:1/", pointer: "/n", equals: "")))
        ]
        var evidence = evidence(produced: nil, after: readings(added: 150, read: 150, lag: 0, applied: 150))
        evidence.snapshots["feed@md-1"] = ["produced": 40]
        let line = try line(in: inventory, evidence)
        #expect(line.verdict == .proven && line.produced == .measured(50) && line.note.contains("produced 40 may not be its last count"), "\(line)")
    }

    @Test("a producer that counted more than the buffer took contradicts")
    func producerLost() throws {
        let line = try line(evidence(produced: 60, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(line.verdict == .contradicted && line.note == "the producer counted 60, the buffer took 50")
    }

    @Test("an unknown lag, at the cut or at the baseline, proves nothing")
    func unknownLag() throws {
        let cut = try line(evidence(produced: 50, after: readings(added: 150, read: nil, lag: nil, applied: 150)))
        #expect(cut.verdict == .unproven && cut.note == "Redis can't tell the lag of recorder's group")
        let before = try line(
            before: readings(added: 100, read: nil, lag: nil, applied: 100),
            evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(before.verdict == .unproven && before.note.hasSuffix("at the baseline"))
    }

    @Test("of a stream that did not exist at the baseline nothing was left to read")
    func firstStart() throws {
        let before = readings(added: 0, read: nil, lag: nil, applied: 0)
        let line = try line(before: before, evidence(produced: 50, after: readings(added: 50, read: 50, lag: 0, applied: 50)))
        #expect(line.verdict == .proven)
    }

    @Test("a Redis that was restarted proves nothing; one that lost entries contradicts")
    func restarted() throws {
        let kept = try line(evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150, runID: "r2")))
        #expect(kept.verdict == .unproven && kept.note == "Redis was restarted since the baseline")
        let lost = try line(evidence(produced: 50, after: readings(added: 40, read: 40, lag: 0, applied: 150, runID: "r2")))
        #expect(lost.verdict == .contradicted && lost.note.contains("100 had been added then, 40 now"))
        let reset = try line(evidence(produced: 50, after: readings(added: 40, read: 40, lag: 0, applied: 150)))
        #expect(reset.verdict == .contradicted && reset.note.contains("deleted or reset"))
    }

    @Test("entries trimmed ahead of the group contradict")
    func trimmed() throws {
        let line = try line(evidence(produced: 50, after: readings(added: 150, read: 120, lag: 30, length: 25, applied: 120)))
        #expect(line.verdict == .contradicted && line.note == "5 short: Redis trimmed entries the group had not read")
    }

    @Test("leftovers of a discarding consumer are dropped by policy, counted, and still proven")
    func discard() throws {
        var inventory = inventory
        inventory.streams[0].to[0].policy = .discard
        let line = try line(in: inventory, evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, pending: 2, applied: 138)))
        #expect(line.verdict == .proven && line.discarded == .measured(12) && line.buffered == .measured(0))
    }

    @Test("without a sink only acknowledged is proven, also where Redis leaves entries-read out")
    func acknowledged() throws {
        var inventory = inventory
        inventory.streams[0].to[0].applied = nil
        let line = try line(
            in: inventory, before: readings(added: 100, read: nil, lag: 0, applied: nil),
            evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, pending: 4, applied: nil)))
        #expect(line.verdict == .proven && line.applied == .measured(36) && line.note == "proves acknowledged, not applied")
    }

    @Test("without a producer's counter the hop is proven from the buffer on")
    func fromTheBuffer() throws {
        var inventory = inventory
        inventory.streams[0].produced = nil
        let line = try line(in: inventory, evidence(produced: nil, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(line.verdict == .proven && line.produced == .measured(50) && line.note.hasPrefix("from the buffer on"))
    }

    @Test("what a producer did not say is proven by the buffer's own count, and said so")
    func noFinalCount() throws {
        let silent = try line(evidence(produced: nil, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(silent.verdict == .proven && silent.note.contains("feed@md-1's launch 2 ended without a final produced (exit 0)"))
        let killed = try line(evidence(produced: 40, exit: .signalled(9, core: false), after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(killed.verdict == .proven && killed.produced == .measured(50))
        let lied = try line(evidence(produced: 60, exit: .signalled(9, core: false), after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(lied.verdict == .contradicted && lied.note == "the producer counted 60, the buffer took 50")
        let short = try line(evidence(produced: nil, after: readings(added: 150, read: 150, lag: 0, applied: 149)))
        #expect(short.verdict == .contradicted && short.note.hasSuffix("1 short"))
    }

    @Test("restarts are a part of the sum: the last words of every launch since the baseline are added up")
    func restarts() throws {
        func said(_ counts: [Int64]) -> [WorkerExit] { counts.map { WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "\($0)"], at: .zero) } }
        let after = readings(added: 150, read: 150, lag: 0, applied: 150)
        let sum = try line(evidence(feed: said([30, 15, 5]), recorder: [WorkerExit(how: .exited(0), at: .zero)], after: after))
        #expect(sum.verdict == .proven && sum.note.isEmpty)
        let less = try line(evidence(feed: said([30, 15, 6]), recorder: [WorkerExit(how: .exited(0), at: .zero)], after: after))
        #expect(less.verdict == .contradicted && less.note == "the producer counted 51, the buffer took 50")
    }

    @Test("launches that are not all on record count for nothing, and are named", arguments: ["marks", "gap", "fewer", "other", "untold"])
    func launchesMissing(_ how: String) throws {
        var evidence = directEvidence([WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "7"], at: .zero)], applied: 7)
        let history = try #require(evidence.launches["feed@md-1"]).launches
        switch how {
        case "gap": evidence.launches["feed@md-1"] = LaunchHistory([history[0], LaunchAccount(number: 3, launch: "l1", end: history[1].end)])
        case "fewer": evidence.launches["feed@md-1"] = LaunchHistory()
        case "other": evidence.launches["feed@md-1"] = LaunchHistory([LaunchAccount(number: 1, launch: "else", end: .never), history[1]])
        case "untold": evidence.launches["feed@md-1"] = nil
        default: break
        }
        let line = try direct(.drain, evidence, marks: how != "marks")
        #expect(line.verdict == .unproven && line.produced.value == nil, "\(line)")
        #expect(line.note.contains("feed@md-1"), "\(line.note)")
    }

    @Test("a sink or a stream that can't be read, and no baseline, prove nothing and say why")
    func unreadable() throws {
        let sink = try line(evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: nil)))
        #expect(sink.verdict == .unproven && sink.applied.value == nil && sink.note == "no such file")
        let stream = try line(
            evidence(produced: 50, after: [StreamReading(stream: "ticks", consumer: "recorder", host: "md-1", known: false, whyUnknown: "refused")]))
        #expect(stream.note == "ticks could not be read at the cut: refused")
        let baseline = try line(before: [], evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150)))
        #expect(baseline.verdict == .unproven && baseline.note.hasPrefix("there is no baseline"))
    }

    @Test("without two equal readings nothing is proven")
    func unsettled() throws {
        let line = try line(evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150), settled: false))
        #expect(line.verdict == .unproven && line.note.hasPrefix("no two equal readings"))
    }

    @Test("sinks on several hosts count together, and one that is missing makes it unknown")
    func manySinks() throws {
        var inventory = inventory
        inventory.services[1].hosts = ["md-1", "st-1"]
        func sinks(_ a: Int64?, _ b: Int64?, added: Int64, lag: Int64 = 0) -> [StreamReading] {
            var readings = readings(added: added, read: added, lag: lag, applied: b)
            readings[0].applied = a
            return readings
        }
        func evidence(_ after: [StreamReading]) -> RunEvidence {
            var evidence = self.evidence(produced: 50, after: after)
            evidence.looks["recorder@md-1"] = RunEvidence.Look(treeEmpty: true)
            return evidence
        }
        let both = try line(in: inventory, before: sinks(60, 40, added: 100), evidence(sinks(80, 70, added: 150)))
        #expect(both.verdict == .proven && both.applied == .measured(50))
        let one = try line(in: inventory, before: sinks(60, 40, added: 100), evidence(sinks(nil, 70, added: 150)))
        #expect(one.verdict == .unproven && one.note == "the sink of recorder on md-1 was not read")
    }

    // MARK: Direct streams

    private func directEvidence(_ feed: [WorkerExit], applied: Int64?, ready: Bool = true) -> RunEvidence {
        evidence(
            feed: feed, recorder: [WorkerExit(how: .exited(0), notified: applied.map { ["X_APPLIED": "\($0)"] } ?? [:], at: .zero)], ready: ready, after: [],
            settled: false)
    }

    private func direct(_ policy: ConsumerSpec.Policy, _ evidence: RunEvidence, marks: Bool = true) throws -> LedgerLine {
        var inventory = inventory
        inventory.streams[0].via = .direct
        inventory.streams[0].to[0] = ConsumerSpec(service: "recorder", policy: policy, applied: .counter("applied"))
        return try line(in: inventory, before: [], marks: marks, evidence)
    }

    private func direct(_ policy: ConsumerSpec.Policy, produced: Int64?, applied: Int64?) throws -> LedgerLine {
        try direct(
            policy, directEvidence([WorkerExit(how: .exited(0), notified: produced.map { ["X_PRODUCED": "\($0)"] } ?? [:], at: .zero)], applied: applied))
    }

    @Test("without a buffer the two counters must agree")
    func directStreams() throws {
        #expect(try direct(.drain, produced: 7, applied: 7).verdict == .proven)
        let short = try direct(.drain, produced: 7, applied: 6)
        #expect(short.verdict == .contradicted && short.note == "1 short")
        #expect(try direct(.drain, produced: 7, applied: 8).verdict == .contradicted)
        #expect(try direct(.drain, produced: nil, applied: 7).verdict == .unproven)
        let silent = try direct(.drain, produced: 7, applied: nil)
        #expect(silent.verdict == .unproven && silent.note == "recorder@st-1's launch 2 ended without a final applied (exit 0)")
    }

    @Test("a launch that crashed may have sent more than it said: never a contradiction, never proven")
    func crashedLaunch() throws {
        func exits(_ crashed: Int64?, _ last: Int64) -> [WorkerExit] {
            [
                WorkerExit(how: .signalled(11, core: false), notified: crashed.map { ["X_PRODUCED": "\($0)"] } ?? [:], at: .zero),
                WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "\(last)"], at: .zero),
            ]
        }
        for applied in [11, 14] as [Int64] {
            let line = try direct(.drain, directEvidence(exits(4, 7), applied: applied))
            #expect(line.verdict == .unproven && line.note.contains("feed@md-1's launch 2 ended with signal 11"), "\(line)")
        }
        #expect(try direct(.drain, directEvidence(exits(4, 7), applied: 10)).verdict == .contradicted)
    }

    @Test("a launch that was never ready and said nothing counts as 0 where the other end agrees")
    func neverReady() throws {
        let exits = [
            WorkerExit(how: .exited(1), at: .zero), WorkerExit(how: .exited(0), notified: ["X_PRODUCED": "7"], at: .zero),
        ]
        let agreed = try direct(.drain, directEvidence(exits, applied: 7, ready: false))
        #expect(agreed.verdict == .proven && agreed.note.contains("before it was ready (exit 1)"), "\(agreed)")
        #expect(try direct(.drain, directEvidence(exits, applied: 9, ready: false)).verdict == .unproven)
        #expect(try direct(.drain, directEvidence(exits, applied: 6, ready: false)).verdict == .contradicted)
        #expect(try direct(.drain, directEvidence(exits, applied: 7)).verdict == .unproven, "ready, it may have sent something")
    }

    @Test("what a discarding consumer did not apply of a direct stream is discarded by policy")
    func directDiscard() throws {
        let line = try direct(.discard, produced: 7, applied: 5)
        #expect(line.verdict == .proven && line.discarded == .reported(2))
        #expect(try direct(.discard, produced: 5, applied: 7).verdict == .contradicted)
    }

    @Test("a stream one end of which is not shown stopped is open and unproven, and says which end")
    func open() throws {
        var evidence = evidence(produced: 50, after: readings(added: 150, read: 150, lag: 0, applied: 150))
        evidence.stops["recorder@st-1"] = nil
        let feedAlone = Plan(kind: .stop, steps: [], workers: ["feed@md-1"], notes: [], inventoryDigest: "")
        let ledger = { Ledger(inventory: inventory, book: book(readings(added: 100, read: 100, lag: 0, applied: 100)), evidence: $0).lines(of: feedAlone) }
        let line = try #require(ledger(evidence).first)
        #expect(line.verdict == .unproven && line.note == "open: recorder@st-1 is not shown stopped")
        evidence.looks["recorder@st-1"] = RunEvidence.Look(treeEmpty: false, problem: "a process is left")
        #expect(ledger(evidence).first?.note == "open: recorder@st-1 is not shown stopped, a process is left")
        evidence.looks["recorder@st-1"] = RunEvidence.Look(treeEmpty: true)
        #expect(ledger(evidence).first?.verdict == .proven, "stopped before, and looked at")
        let neither = Plan(kind: .stop, steps: [], workers: [], notes: [], inventoryDigest: "")
        #expect(Ledger(inventory: inventory, book: LedgerBook(), evidence: evidence).lines(of: neither).isEmpty)
    }

    @Test("a cut that an earlier run has settled is named as long as it is still true")
    func settledBefore() throws {
        let after = readings(added: 150, read: 140, lag: 10, applied: 140)
        let first = evidence(produced: 50, after: after)
        var book = book(readings(added: 100, read: 100, lag: 0, applied: 100))
        let ledger = Ledger(inventory: inventory, book: book, evidence: first)
        book.settle("ticks", "recorder", run: 41, cut: ledger.cut(of: try #require(ledger.lines(of: plan).first)))
        #expect(Ledger(inventory: inventory, book: book, evidence: first).lines(of: plan).first?.note == "settled by run 41, unchanged since")
        let trimmed = evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, length: 0, applied: 140))
        #expect(Ledger(inventory: inventory, book: book, evidence: trimmed).lines(of: plan).first?.verdict == .contradicted)
    }

    // MARK: Verdict

    private func judge(_ change: (inout RunEvidence) -> Void, ledger: [LedgerLine]? = nil, ending: String? = nil) -> StopVerdict {
        var evidence = evidence(produced: 1, after: readings(added: 101, read: 101, lag: 0, applied: 101))
        change(&evidence)
        let lines =
            ledger ?? Ledger(inventory: inventory, book: book(readings(added: 100, read: 100, lag: 0, applied: 100)), evidence: evidence).lines(of: plan)
        return StopVerdict(StopCoverage(plan: plan, inventory: inventory, evidence: evidence, ledger: lines, ending: ending))
    }

    @Test("a stop in which everything is shown is proven, without a because")
    func provenStop() { #expect(judge { _ in } == StopVerdict(verdict: .proven, because: [])) }

    @Test("each thing less than shown makes it unproven and is named")
    func unprovenStops() {
        #expect(
            judge { $0.stops["feed@md-1"] = nil }.because == ["feed@md-1 was not shown stopped", "ticks -> recorder: open: feed@md-1 is not shown stopped"])
        #expect(judge { $0.stops["feed@md-1"]?.treeEmpty = false }.because == ["feed@md-1's process tree was not shown empty"])
        #expect(judge { $0.stops["feed@md-1"]?.killed = true }.because == ["feed@md-1 was killed: it could not finish"])
        #expect(
            judge {
                $0.stops["feed@md-1"]?.exit?.how = .exited(3)
                $0.stops["feed@md-1"]?.status = "12 left"
            }.because == ["feed@md-1 ended with exit 3, saying \"12 left\""])
        #expect(judge { $0.overrides = ["gate x overridden by eng-1: r"] }.because == ["gate x overridden by eng-1: r"])
        #expect(judge({ _ in }, ending: "by ops-1: no") == StopVerdict(verdict: .unproven, because: ["the run did not end: by ops-1: no"]))
    }

    @Test("a contradiction outranks everything and comes first")
    func contradictedStop() throws {
        let short = try line(evidence(produced: 50, after: readings(added: 150, read: 140, lag: 10, applied: 130)))
        let verdict = judge({ $0.stops["feed@md-1"]?.killed = true }, ledger: [short])
        #expect(verdict == StopVerdict(verdict: .contradicted, because: ["ticks -> recorder: 10 short", "feed@md-1 was killed: it could not finish"]))
    }
}
