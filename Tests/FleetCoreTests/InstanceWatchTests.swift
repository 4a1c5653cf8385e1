import FleetCore
import Testing

/// Which instances of one host's agent live.
struct InstanceWatchTests {
    /// Session N opens N times ten seconds after the coordinator's boot, by default five seconds after its host's.
    private static func time(_ session: String) -> BootTime { .zero + .seconds(10 * (Int64(session) ?? 0)) }

    private func instance(_ id: String, session: String, boot: String? = nil, machine: String = "m", journal: String = "", up: Duration = .seconds(5))
        -> InstanceWatch.Instance
    {
        InstanceWatch.Instance(
            id: id, bootID: boot ?? "boot-\(id)", machineID: machine, journal: journal, address: "10.0.0.1:1", session: session, up: up, now: Self.time(session)
        )
    }

    @Test("one that dials again, or is restarted after its end, is one; a half-open session that answers nothing is ended")
    func one() {
        var watch = InstanceWatch()
        #expect(watch.opened(instance("a", session: "1")) == [])
        #expect(watch.opened(instance("a", session: "2")) == [.close(session: "1")])
        #expect(watch.closed(session: "2") == [])
        #expect(watch.opened(instance("b", session: "3")) == [], "a had ended")
        #expect(watch.opened(instance("c", session: "4")) == [.challenge(session: "3")], "b may be half open")
        #expect(watch.unanswered(session: "3") == [.close(session: "3")])
        #expect(watch.closed(session: "3") == [])
        #expect(watch.contested == nil)
    }

    @Test("an answer to a challenge, or a hello after another's, proves that two live")
    func two() {
        var watch = InstanceWatch()
        _ = watch.opened(instance("a", session: "1"))
        _ = watch.opened(instance("b", session: "2"))
        #expect(watch.answered(session: "2") == [], "of the newest that is no news")
        #expect(watch.answered(session: "1").count == 1 && watch.contested?.contains("boot boot-a") == true)
        #expect(watch.unanswered(session: "1") == [], "both are kept")
        var displaced = InstanceWatch()
        _ = displaced.opened(instance("a", session: "1"))
        _ = displaced.opened(instance("b", session: "2"))
        _ = displaced.closed(session: "1")
        #expect(displaced.opened(instance("a", session: "3")).contains { if case .contested = $0 { true } else { false } })
    }

    @Test("the end of a session settles it only where nothing ran behind it; else a person does, once one alone answers")
    func settled() {
        var watch = InstanceWatch()
        _ = watch.opened(instance("a", session: "1"))
        _ = watch.opened(instance("b", session: "2"))
        _ = watch.answered(session: "1")
        guard case .failure = watch.settle(by: "alice", reason: "x") else { return #expect(Bool(false), "both answer") }
        var idle = watch
        idle.reported(session: "2", mayRun: false, now: Self.time("3"))
        #expect(idle.closed(session: "2").count == 1 && idle.contested == nil)
        #expect(watch.closed(session: "2") == [] && watch.contested != nil, "what it ran may run on")
        guard case .success(let effects) = watch.settle(by: "alice", reason: "pulled") else { return #expect(Bool(false), "one answers") }
        #expect(effects == [.settled("settled by alice: pulled")] && watch.contested == nil)
        guard case .failure = watch.settle(by: "alice", reason: "again") else { return #expect(Bool(false), "nothing to settle") }
        var restored = InstanceWatch(contest: InstanceWatch.Contest(how: "a; and b", instances: ["a", "b"]))
        #expect(restored.opened(instance("a", session: "1")) == [] && restored.contested != nil, "on record it stays until it is settled")
        guard case .success = restored.settle(by: "alice", reason: "gone") else { return #expect(Bool(false), "one answers") }
    }

    @Test("a clone that comes while the first is cut off is no successor of it: another machine, or one that was up before the first's last word")
    func clone() {
        func after(_ new: InstanceWatch.Instance, mayRun: Bool = true, journal: String = "") -> InstanceWatch {
            var watch = InstanceWatch()
            _ = watch.opened(instance("a", session: "1", journal: journal))
            watch.reported(session: "1", mayRun: mayRun, now: Self.time("2"))
            _ = watch.closed(session: "1")
            _ = watch.opened(new)
            return watch
        }
        #expect(after(instance("b", session: "3")).contested == nil, "a later boot of the same machine")
        #expect(after(instance("b", session: "3", boot: "boot-a", up: .seconds(3_600))).contested == nil, "its agent was restarted")
        #expect(after(instance("b", session: "3", up: .seconds(15))).contested != nil, "it was up before the first's last word")
        #expect(after(instance("b", session: "3", machine: "n")).contested != nil, "another machine")
        #expect(after(instance("b", session: "3", machine: "")).contested == nil, "which machine it is can't be told; it booted after")
        #expect(after(instance("b", session: "3", boot: "boot-a", journal: "two"), journal: "one").contested != nil, "its state directory was emptied")
        #expect(after(instance("b", session: "3", boot: "boot-a", journal: "one"), journal: "one").contested == nil)
        #expect(after(instance("b", session: "3", journal: "two"), journal: "one").contested == nil, "nothing outlives its boot")
        #expect(after(instance("b", session: "3", machine: "n"), mayRun: false).contested == nil, "nothing ran on the first")
    }

    @Test("a coordinator that was restarted knows whom it had met, and not whether anything runs there")
    func restored() {
        var before = instance("", session: "1", boot: "boot-a", journal: "one")
        before.isOpen = false
        func after(_ new: InstanceWatch.Instance) -> InstanceWatch {
            var watch = InstanceWatch(before: before)
            _ = watch.opened(new)
            return watch
        }
        #expect(after(instance("b", session: "2", boot: "boot-a", journal: "one")).contest == nil)
        #expect(after(instance("b", session: "2", journal: "one")).contest == nil, "it was booted since")
        #expect(after(instance("b", session: "2", boot: "boot-a", journal: "two")).contest != nil)
        #expect(after(instance("b", session: "2", machine: "n")).contest != nil)
    }

    @Test("after a restart of the coordinator the end of a half-open predecessor settles nothing: the other one is still out of sight")
    func halfOpen() {
        let contest = InstanceWatch.Contest(how: "a; and b", instances: ["a", "b"])
        var watch = InstanceWatch(contest: contest)
        _ = watch.opened(instance("a", session: "1"))
        watch.reported(session: "1", mayRun: false, now: Self.time("1"))
        _ = watch.opened(instance("a2", session: "2", boot: "boot-a"))
        #expect(watch.closed(session: "1") == [] && watch.contest == contest)
        var both = InstanceWatch(contest: contest)
        _ = both.opened(instance("a", session: "1"))
        _ = both.opened(instance("b", session: "2"))
        both.reported(session: "1", mayRun: false, now: Self.time("2"))
        #expect(both.closed(session: "1").count == 1 && both.contest == nil)
        var older = InstanceWatch(contest: InstanceWatch.Contest(how: "a; and b", instances: []))
        _ = older.opened(instance("a", session: "1"))
        _ = older.opened(instance("b", session: "2"))
        older.reported(session: "1", mayRun: false, now: Self.time("2"))
        #expect(older.closed(session: "1") == [] && older.contest != nil, "an older program's record names none: a person settles it")
    }

    @Test("silence to a challenge is no end: a newer instance that can't answer for what the silent one runs makes two")
    func silent() {
        func after(_ new: InstanceWatch.Instance, mayRun: Bool = true) -> InstanceWatch {
            var watch = InstanceWatch()
            _ = watch.opened(instance("a", session: "1", boot: "boot-a", journal: "one"))
            watch.reported(session: "1", mayRun: mayRun, now: Self.time("1"))
            #expect(watch.opened(new) == [.challenge(session: "1")])
            #expect(watch.isDoubtful == (mayRun && new.journal == "two"), "it is asked and has not answered")
            #expect(watch.unanswered(session: "1") == [.close(session: "1")])
            _ = watch.closed(session: "1")
            #expect(!watch.isDoubtful)
            return watch
        }
        #expect(after(instance("b", session: "2", boot: "boot-a", journal: "two")).contest != nil)
        #expect(after(instance("b", session: "2", boot: "boot-a", journal: "one")).contest == nil, "the same agent, restarted")
        #expect(after(instance("b", session: "2", boot: "boot-a", journal: "two"), mayRun: false).contest == nil, "nothing ran there")
    }

    @Test("a successor that says that nothing runs takes its predecessors away: what comes after it is compared with it alone")
    func covered() {
        var watch = InstanceWatch(before: instance("", session: "1", boot: "boot-a", journal: "one"))
        _ = watch.opened(instance("b", session: "2", boot: "boot-a", journal: "one"))
        watch.reported(session: "2", mayRun: true, now: Self.time("2"))
        #expect(watch.instances.count == 2)
        watch.reported(session: "2", mayRun: false, now: Self.time("2"))
        #expect(watch.instances.map(\.id) == ["b"])
        _ = watch.closed(session: "2")
        #expect(watch.opened(instance("c", session: "3", boot: "boot-a", journal: "two")) == [] && watch.contest == nil)
    }

    @Test("whether an older instance lives is undecided until it has answered, or its session has ended")
    func undecided() {
        var watch = InstanceWatch()
        _ = watch.opened(instance("a", session: "1"))
        #expect(!watch.isUndecided)
        _ = watch.opened(instance("b", session: "2"))
        #expect(watch.isUndecided)
        var answered = watch
        _ = answered.answered(session: "1")
        #expect(!answered.isUndecided && answered.contest != nil)
        _ = watch.unanswered(session: "1")
        _ = watch.closed(session: "1")
        #expect(!watch.isUndecided && watch.contest == nil)
    }

    @Test("what is remembered is bounded, and open sessions are never forgotten for it")
    func bounded() {
        var watch = InstanceWatch()
        for number in 0..<100 {
            _ = watch.opened(instance("i\(number)", session: "\(number)"))
            _ = watch.closed(session: "\(number)")
            #expect(watch.instances.count <= InstanceWatch.kept + 1)
        }
        // Also those of a clone whose agent crashes again and again while the first is cut off; the two of the contest stay.
        var clones = InstanceWatch()
        _ = clones.opened(instance("first", session: "1"))
        _ = clones.closed(session: "1")
        for number in 2..<100 {
            _ = clones.opened(instance("c\(number)", session: "\(number)", machine: "n"))
            _ = clones.closed(session: "\(number)")
            #expect(clones.instances.count <= InstanceWatch.kept + 1)
        }
        #expect(clones.contest?.instances == ["first", "c2"] && clones.instances.contains { $0.id == "first" })
    }
}
