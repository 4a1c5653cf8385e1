import FleetCore
import Testing

@testable import FleetCoordinator

@Suite("What is worth an alert")
struct AlertWatchTests {
    private static let start = BootTime(nanoseconds: 1_000_000_000_000)
    private let worker = WorkerName("feed", on: "md-1")

    private func at(_ seconds: Int) -> BootTime { Self.start + .seconds(seconds) }

    private func watch(past: [AlertWatch.Key: AlertWatch.Past] = [:]) -> AlertWatch { AlertWatch(hosts: ["md-1"], past: past, now: Self.start) }

    private func word(_ need: AlertSpec.Event?, mark: String = "l1", page: String? = nil) -> AlertWatch.WorkerWord {
        AlertWatch.WorkerWord(worker: worker, need: need, text: "feed@md-1 \(need?.rawValue ?? "")", mark: mark, page: page)
    }

    private func report(_ watch: inout AlertWatch, _ words: AlertWatch.WorkerWord, at seconds: Int, drift: [AlertWatch.DriftWord] = []) -> [AlertWatch.Alert] {
        watch.reported("md-1", workers: [words], drift: drift, now: at(seconds))
    }

    @Test("a transition is told once, however often it is reported")
    func once() {
        var watch = watch()
        #expect(report(&watch, word(nil), at: 1).isEmpty)
        let alerts = report(&watch, word(.failed), at: 2)
        #expect(alerts.map(\.key) == [AlertWatch.Key(event: .failed, subject: "feed@md-1")] && alerts[0].text == "feed@md-1 failed")
        for second in 3..<200 {
            #expect(report(&watch, word(.failed), at: second).isEmpty)
            #expect(watch.timeReached(at(second)) { _ in "" }.isEmpty)
        }
    }

    @Test("a worker that is held and then fails is told of twice, and who is paged is named")
    func heldThenFailed() {
        var watch = watch()
        let held = report(&watch, word(.hold, page: "desk"), at: 1)
        #expect(held.map(\.key.event) == [.hold] && held[0].page == "desk" && held[0].then.contains("trading hold release feed@md-1"))
        #expect(report(&watch, word(.failed), at: 2).map(\.key.event) == [.failed])
    }

    @Test("one that flaps is told once a minute, with how often it was")
    func flapping() {
        var watch = watch()
        var told: [AlertWatch.Alert] = []
        for second in 0..<60 {
            told += report(&watch, word(second.isMultiple(of: 2) ? .failed : nil), at: second)
            told += watch.timeReached(at(second)) { _ in "" }
        }
        #expect(told.count == 1)
        told += watch.timeReached(at(60)) { _ in "" }
        #expect(told.count == 2 && told[1].text == "feed@md-1 failed (and 28 more of it within 1 min)", "\(told)")
        #expect(watch.timeReached(at(130)) { _ in "" }.filter { $0.key.event == .failed }.isEmpty)
    }

    @Test("what was told before the coordinator's restart is not told again, and what came meanwhile is")
    func restart() {
        let key = AlertWatch.Key(event: .failed, subject: "feed@md-1")
        var same = watch(past: [key: AlertWatch.Past(mark: "l1", age: .seconds(600))])
        #expect(report(&same, word(.failed, mark: "l1"), at: 1).isEmpty)
        #expect(report(&same, word(nil), at: 2).isEmpty)
        #expect(report(&same, word(.failed, mark: "l1"), at: 3).count == 1, "a new transition of the same launch")
        var other = watch(past: [key: AlertWatch.Past(mark: "l1", age: .seconds(600))])
        #expect(report(&other, word(.failed, mark: "l2"), at: 1).count == 1)
        var soon = watch(past: [key: AlertWatch.Past(mark: "l1", age: .seconds(50))])
        #expect(report(&soon, word(.failed, mark: "l2"), at: 1).isEmpty, "the minute counts across the restart")
        #expect(soon.timeReached(at(10)) { _ in "" }.map(\.key) == [key])
    }

    @Test("a host is unknown once its silence has lasted, once per silence")
    func silence() {
        var watch = watch()
        #expect(watch.timeReached(at(30)) { _ in "" }.isEmpty)
        let never = watch.timeReached(at(31)) { _ in "refused" }
        #expect(never.map(\.text) == ["md-1: no word since this coordinator started, 31.0 s ago (refused). Its workers may be running."], "\(never)")
        #expect(watch.timeReached(at(100)) { _ in "" }.isEmpty)
        _ = report(&watch, word(nil), at: 200)
        #expect(watch.timeReached(at(210)) { _ in "" }.isEmpty)
        let silent = watch.timeReached(at(211)) { _ in "the connection was closed" }
        #expect(silent.map(\.key) == [AlertWatch.Key(event: .unknownHost, subject: "md-1")])
        #expect(silent.first?.text.hasPrefix("md-1: no word for 11.0 s (the connection was closed)") == true, "\(silent)")
        #expect(watch.timeReached(at(212)) { _ in "" }.isEmpty)
    }

    @Test("drift is told when it appears, together, and never for what was there already")
    func drift() {
        let governor = AlertWatch.DriftWord(key: "governor//", text: "the governor is powersave", sinceUnixMicroseconds: 50)
        let line = AlertWatch.DriftWord(key: "irq/143/feed", text: "IRQ 143 is on CPU 4", sinceUnixMicroseconds: 90)
        var watch = watch()
        let first = report(&watch, word(nil), at: 1, drift: [governor, line])
        #expect(first.map(\.text) == ["md-1 is not set up as declared: the governor is powersave, and 1 more"] && first[0].mark == "90")
        #expect(report(&watch, word(nil), at: 2, drift: [governor, line]).isEmpty)
        #expect(report(&watch, word(nil), at: 3, drift: []).isEmpty)
        #expect(report(&watch, word(nil), at: 100, drift: [line]).count == 1)
        let key = AlertWatch.Key(event: .drift, subject: "md-1")
        var after = AlertWatch(hosts: ["md-1"], past: [key: AlertWatch.Past(mark: "60", age: .seconds(600))], now: Self.start)
        #expect(report(&after, word(nil), at: 1, drift: [governor, line]).map(\.text) == ["md-1 is not set up as declared: IRQ 143 is on CPU 4"])
    }

    @Test("a lock that another takes off is told, to whoever is named after who locked it too; one's own is not, nor one never seen")
    func unlocked() {
        var watch = watch()
        let lock = AlertWatch.Lock(by: "operator/ops-1", person: "ops-1", words: "by ops-1 14:02: \"bad param file\"")
        func locked(_ lock: AlertWatch.Lock?, at seconds: Int) -> [AlertWatch.Alert] {
            var word = word(nil)
            word.lock = lock
            return report(&watch, word, at: seconds)
        }
        #expect(locked(nil, at: 1).isEmpty && locked(lock, at: 2).isEmpty && locked(lock, at: 3).isEmpty)
        watch.unlocks(worker, AlertWatch.Unlocking(by: "operator/alice", person: "alice", reason: "corrected"))
        let told = locked(nil, at: 4)
        #expect(
            told.map(\.text) == ["feed@md-1, locked by ops-1 14:02: \"bad param file\", was unlocked by alice: \"corrected\". It can be started."], "\(told)")
        #expect(told.first?.key == AlertWatch.Key(event: .unlocked, subject: "feed@md-1") && told.first?.page == "ops-1")
        #expect(locked(nil, at: 5).isEmpty && locked(lock, at: 100).isEmpty)
        // On the host itself nobody says who it was, and an order that was refused has not been it.
        watch.unlocks(worker, AlertWatch.Unlocking(by: "operator/alice", person: "alice", reason: "corrected"))
        watch.unlocks(worker, nil)
        #expect(locked(nil, at: 101).first?.text.contains("was unlocked on its own host.") == true)
        #expect(locked(lock, at: 200).isEmpty)
        watch.unlocks(worker, AlertWatch.Unlocking(by: "operator/ops-1", person: "ops-1", reason: "mine"))
        #expect(locked(nil, at: 201).isEmpty)
        // Taken off and put on by another in between two reports.
        #expect(locked(lock, at: 300).isEmpty)
        let other = AlertWatch.Lock(by: "operator/bob", person: "bob", words: "by bob 15:00: \"mine now\"")
        #expect(locked(other, at: 301).first?.text.contains(", and is locked by bob 15:00: \"mine now\"") == true)
    }

    @Test("a stop that proves nothing is told, one that is proven is not")
    func stops() {
        var watch = watch()
        #expect(watch.stopEnded(run: 1, kind: "stop", reason: "eod", verdict: "proven", because: [], now: at(1)).isEmpty)
        #expect(watch.stopEnded(run: 1, kind: "stop", reason: "eod", verdict: "", because: [], now: at(1)).isEmpty)
        let told = watch.stopEnded(run: 311, kind: "stop", reason: "eod", verdict: "contradicted", because: ["ticks is 200 short", "x"], now: at(1))
        #expect(told.map(\.text) == ["stop run 311, \"eod\", ended contradicted because ticks is 200 short (and 1 more)"])
        #expect(told.first?.key == AlertWatch.Key(event: .unprovenStop, subject: "run 311"))
    }
}
