import FleetCore
import Testing

/// What an agent tells of a worker's launches.
struct LaunchHistoryTests {
    @Test("launches are numbered without a gap, and what came after a mark is told or why it can't be")
    func since() throws {
        var history = LaunchHistory()
        #expect(history.mark == LaunchMark())
        #expect(try history.since(LaunchMark()).get().isEmpty)
        for number in 1...3 { history.begin(LaunchID("l\(number)")) }
        history.end("l1", .never)
        history.ready("l2")
        history.end("l2", .ended(WorkerExit(how: .exited(0), at: .zero)))
        #expect(try history.since(LaunchMark()).get().map(\.number) == [1, 2, 3])
        #expect(try history.since(LaunchMark(number: 1, launch: "l1")).get().map(\.launch) == ["l2", "l3"])
        #expect(try history.since(history.mark).get().isEmpty)
        for mark in [LaunchMark(number: 4, launch: "l4"), LaunchMark(number: 2, launch: "other")] {
            guard case .failure = history.since(mark) else { return #expect(Bool(false), "\(mark)") }
        }
        guard case .failure = LaunchHistory().since(LaunchMark(number: 1, launch: "l1")) else { return #expect(Bool(false), "the journal was lost") }
    }

    @Test("what fell off its bound is a gap for an older mark, and none for a newer one")
    func bounded() throws {
        var history = LaunchHistory()
        for number in 1...(LaunchHistory.kept + 10) { history.begin(LaunchID("l\(number)")) }
        #expect(history.launches.count == LaunchHistory.kept)
        guard case .failure = history.since(LaunchMark(number: 9, launch: "l9")) else { return #expect(Bool(false)) }
        #expect(try history.since(LaunchMark(number: 10, launch: "l10")).get().count == LaunchHistory.kept)
        #expect(try history.since(LaunchMark(number: 100, launch: "l100")).get().count == LaunchHistory.kept - 90)
    }

    @Test("an emptied state directory counts anew: its launches are not those after the mark, whatever their numbers")
    func wiped() throws {
        var before = LaunchHistory(journal: "one")
        var after = LaunchHistory(journal: "two")
        for number in 1...3 { before.begin(LaunchID("l\(number)")) }
        for number in 1...2 { after.begin(LaunchID("m\(number)")) }
        for mark in [LaunchMark(journal: "one"), before.mark] {
            guard case .failure = after.since(mark) else { return #expect(Bool(false), "\(mark)") }
        }
        #expect(try after.since(LaunchMark(journal: "two")).get().count == 2)
        #expect(try after.since(LaunchMark()).get().count == 2, "an older agent's mark names no journal")
        #expect(LaunchMark(text: before.mark.text) == before.mark && LaunchMark(text: LaunchMark(journal: "one").text) == LaunchMark(journal: "one"))
    }

    @Test("a mark stands in a record and comes back; what is none is none")
    func text() {
        let mark = LaunchMark(number: 7, launch: "1f0e")
        #expect(LaunchMark(text: mark.text) == mark && LaunchMark(text: LaunchMark().text) == LaunchMark())
        for text in ["", "7", "x:y", "-1:a"] { #expect(LaunchMark(text: text) == nil) }
    }

    @Test("a launch's trace stands in its record and comes back")
    func trace() {
        let trace = LaunchTrace(
            worker: .init(pid: 7, startTicks: 99), shim: .init(pid: 6, startTicks: 98), cgroup: "/sys/fs/cgroup/x", slot: .init(device: 25, inode: 4_711))
        var machine = WorkerMachine(worker: "feed@md-1", policy: WorkerPolicy(), now: .zero)
        _ = machine.handle(.startRequested(Order(operation: "o", verb: .start, by: "alice", reason: "r"), launch: "l1"), now: .zero)
        let effects = machine.handle(.processStarted(pid: 7, trace: trace), now: .zero)
        guard case .record(_, _, let fields)? = effects.first else { return #expect(Bool(false), "\(effects)") }
        #expect(LaunchTrace(field: { key in fields.first { $0.key == key }?.value }) == trace)
        #expect(LaunchTrace(field: { _ in nil }) == nil && LaunchTrace(field: { $0 == "process" ? "0:5" : nil }) == nil)
        let intent = LaunchTrace(worker: nil, cgroup: "/sys/fs/cgroup/x", slot: .init(device: 25, inode: 4_711))
        #expect(LaunchTrace(field: { key in intent.fields.first { $0.key == key }?.value }) == intent)
        #expect(machine.wanted == Wanted(isUp: true, by: "alice", reason: "r", since: .zero))
    }
}
