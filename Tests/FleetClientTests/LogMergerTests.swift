import FleetAPI
import FleetCore
import Testing

@testable import FleetCoordinator

struct LogMergerTests {
    private func entry(_ host: String, _ time: UInt64, _ text: String) -> APILogEntry {
        var entry = APILogEntry()
        entry.host = host
        entry.unixUs = time
        entry.text = text
        return entry
    }

    @Test("lines of several hosts stand in the order of their time, and those without one keep their host's order")
    func order() {
        var merger = LogMerger()
        merger.take([entry("a", 0, "a0"), entry("a", 10, "a1"), entry("a", 0, "a1 goes on"), entry("a", 30, "a2")])
        merger.take([entry("b", 5, "b1"), entry("b", 20, "b2"), entry("b", 15, "b back in time")])
        merger.take([entry("a", 40, "a3")])
        #expect(merger.drain().map(\.text) == ["a0", "b1", "a1", "a1 goes on", "b2", "b back in time", "a2", "a3"])
        #expect(merger.isEmpty && merger.drain().isEmpty)
    }

    @Test("a line without any time counts as when it came")
    func floor() {
        var merger = LogMerger()
        merger.take([entry("a", 0, "timeless")], floor: 100)
        merger.take([entry("b", 90, "earlier"), entry("b", 110, "later")], floor: 100)
        #expect(merger.drain().map(\.text) == ["earlier", "timeless", "later"])
    }

    @Test("a follower's line waits for earlier ones of other hosts, and no longer than the window")
    func window() {
        func at(_ milliseconds: Int) -> BootTime { BootTime(nanoseconds: 0) + .milliseconds(milliseconds) }
        var merger = LogMerger()
        #expect(merger.dueAt == nil)
        merger.take([entry("a", 10, "a1"), entry("a", 30, "a3")], at: at(0))
        merger.take([entry("b", 20, "b2"), entry("b", 40, "b4")], at: at(200))
        #expect(merger.drain(at: at(499)).isEmpty && merger.dueAt == at(500))
        // What is earlier goes along, however young; what is later waits on.
        #expect(merger.drain(at: at(500)).map(\.text) == ["a1", "b2", "a3"])
        #expect(merger.dueAt == at(700))
        merger.take([entry("a", 35, "a late"), entry("b", 0, "b4 goes on")], at: at(600))
        #expect(merger.drain(at: at(700)).map(\.text) == ["a late", "b4"])
        #expect(merger.drain(at: at(1_100)).map(\.text) == ["b4 goes on"] && merger.isEmpty)
    }

    @Test("of too many lines, or too much text, the newest are kept and the others counted")
    func bounds() {
        var merger = LogMerger()
        for batch in 0..<50 { merger.take((0..<1_000).map { entry("a", UInt64(batch * 1_000 + $0 + 1), "x") }) }
        let kept = merger.drain()
        #expect(kept.count == LogMerger.entriesMax && kept.last?.unixUs == 50_000 && merger.dropped == 41_000)
        let long = String(repeating: "y", count: 1 << 20)
        for time in 0..<100 { merger.take([entry("a", UInt64(time + 1), long)]) }
        #expect(merger.drain().count <= 32)
    }
}
