import FleetCore
import Testing

/// Which instances of one host's agent live.
struct InstanceWatchTests {
    private func instance(_ id: String, session: String) -> InstanceWatch.Instance {
        InstanceWatch.Instance(id: id, bootID: "boot-\(id)", machineID: "m", address: "10.0.0.1:1", session: session)
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
        idle.reported(session: "2", mayRun: false)
        #expect(idle.closed(session: "2").count == 1 && idle.contested == nil)
        #expect(watch.closed(session: "2") == [] && watch.contested != nil, "what it ran may run on")
        guard case .success(let effects) = watch.settle(by: "alice", reason: "pulled") else { return #expect(Bool(false), "one answers") }
        #expect(effects == [.settled("settled by alice: pulled")] && watch.contested == nil)
        guard case .failure = watch.settle(by: "alice", reason: "again") else { return #expect(Bool(false), "nothing to settle") }
        var restored = InstanceWatch(contested: "a; and b")
        #expect(restored.opened(instance("a", session: "1")) == [] && restored.contested != nil, "on record it stays until it is settled")
        guard case .success = restored.settle(by: "alice", reason: "gone") else { return #expect(Bool(false), "one answers") }
    }

    @Test("what is remembered is bounded, and open sessions are never forgotten for it")
    func bounded() {
        var watch = InstanceWatch()
        for number in 0..<100 {
            _ = watch.opened(instance("i\(number)", session: "\(number)"))
            _ = watch.closed(session: "\(number)")
            #expect(watch.instances.count <= InstanceWatch.kept + 1)
        }
    }
}
