import FleetAPI
import Testing

@testable import FleetCoordinator

/// A follower that was cut off is told what was written meanwhile, each line once.
struct LogFollowingTests {
    private static let second: UInt64 = 1_000_000
    private let now = 1_000 * Self.second

    private func line(_ service: String, _ seconds: UInt64, _ text: String, file: String = "") -> APILogEntry {
        var entry = APILogEntry()
        (entry.service, entry.unixUs, entry.text, entry.file) = (service, seconds * Self.second, text, file)
        return entry
    }

    private func texts(_ entries: [APILogEntry]) -> [String] { entries.map(\.text) }

    @Test("lines that were told are told once, also several alike in one second; those of the gap are told, of every log by its own last line")
    func gap() {
        var following = LogFollowing(began: 100 * Self.second)
        let told = [line("a", 100, "x"), line("a", 101, "beat"), line("a", 101, "beat"), line("b", 40, "an hour behind")]
        #expect(following.new(told, now: now).count == 4)
        // The log that is furthest behind says from when on; of each only what is new is told.
        #expect(following.resume() == 40 * Self.second)
        let again = [line("a", 60, "long before")] + told + [line("a", 101, "beat"), line("b", 40, "of the gap"), line("a", 102, "y")]
        #expect(texts(following.new(again, now: now)) == ["beat", "of the gap", "y"])
        #expect(following.settle().isEmpty)
        // From then on nothing is held against a line, whatever its stamp.
        #expect(texts(following.new([line("a", 101, "beat"), line("a", 3, "zone")], now: now)) == ["beat", "zone"])
    }

    @Test("a stamp of the future hides no later line, and before any line all since the follower began is asked for")
    func stamps() {
        var following = LogFollowing(began: 100 * Self.second)
        #expect(following.resume() == 100 * Self.second)
        _ = following.settle()
        _ = following.new([line("a", 900_000, "2099")], now: 200 * Self.second)
        #expect(following.resume() == 100 * Self.second)
        #expect(texts(following.new([line("a", 201, "after it"), line("b", 150, "first of b")], now: 210 * Self.second)) == ["after it", "first of b"])
    }

    @Test("as many lines as an agent gives at once mean that there were more, and what is remembered is bounded")
    func bounds() {
        var following = LogFollowing(began: 0)
        _ = following.new([line("a", 10, "first")], now: now)
        _ = following.resume()
        let many = (0..<LogFollowing.linesMax).map { line("a", 11, "\($0)") }
        #expect(following.new(many, now: now).count == LogFollowing.linesMax)
        #expect(following.settle() == ["a"] && following.settle().isEmpty)
        _ = following.resume()
        let again = following.new(many, now: now)
        #expect(again.count >= LogFollowing.linesMax - 2 * LogFollowing.keptMax && again.count <= LogFollowing.linesMax - LogFollowing.keptMax)
    }
}
