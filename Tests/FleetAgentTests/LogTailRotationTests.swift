import FleetCore
import LinuxHost
import Testing

@testable import FleetAgent

@Suite struct LogTailRotationTests {
    private let scratch: Scratch
    private let path: String
    private static let start: UInt64 = 1_795_342_500_000_000

    init() throws {
        scratch = try Scratch()
        path = scratch.path + "/feed.out"
    }

    private func text(_ line: LogLine) -> String { String(decoding: line.text, as: UTF8.self) }

    /// A line a second, each with its stamp.
    private func stamped(_ numbers: Range<Int>) -> String {
        numbers.map { "\(Clock.rfc3339(unixMicroseconds: Self.start + UInt64($0) * 1_000_000)) \($0) filled up to some length\n" }.joined()
    }

    /// Two looks: what lies there now is moved, but for less than `segmentBytes`.
    private func rotate(_ segmentBytes: Int64 = 16 << 10) {
        var rotator = LogRotator()
        let stream = LogRotator.Stream(path: path, maxBytes: 1 << 30, segmentBytes: segmentBytes)
        for second in 0..<2 {
            let outcome = rotator.pass(
                [stream], nowUnixSeconds: Int64(Self.start / 1_000_000) + Int64(second), now: BootTime(nanoseconds: UInt64(second) << 30))
            #expect(outcome.warnings.isEmpty)
        }
    }

    private func tail() -> LogTail { LogTail(service: "feed", path: path, isError: false, timestamps: LogTimestamps(nowUnixSeconds: 1_795_346_100)) }

    @Test("the last lines come from segments and the live file alike, in order and without a gap")
    func across() throws {
        for round in 0..<5 {
            try scratch.append("feed.out", stamped(round * 1_000..<(round + 1) * 1_000))
            rotate()
        }
        #expect(try LogSegment.all(of: path).count > 10)
        var tail = tail()
        let lines = tail.last(4_321)
        #expect(lines.count == 4_321 && lines.map(\.unixMicroseconds) == (679..<5_000).map { Self.start + UInt64($0) * 1_000_000 })
        #expect(text(lines[0]).hasSuffix(" 679 filled up to some length"))
        try scratch.append("feed.out", stamped(5_000..<5_003))
        #expect(tail.growth().count == 3)
        let few = tail.last(2)
        #expect(few.map(\.unixMicroseconds) == [5_001, 5_002].map { Self.start + $0 * 1_000_000 })
    }

    @Test("what is followed and is moved away before it was read is read from where it went")
    func moved() throws {
        try scratch.append("feed.out", stamped(0..<10))
        var tail = tail()
        #expect(tail.last(100).count == 10)
        try scratch.append("feed.out", stamped(10..<3_000) + "half")
        rotate()
        var numbers: [UInt64] = []
        while true {
            let lines = tail.growth()
            if lines.isEmpty { break }
            numbers += lines.map { ($0.unixMicroseconds - Self.start) / 1_000_000 }
        }
        #expect(numbers.count == 2_990 && numbers.first == 10 && numbers.last == 2_999 && numbers == numbers.sorted())
    }

    @Test("lines since a moment, with and without a text in them, by their own time or that of the line before")
    func filters() throws {
        try scratch.append("feed.out", stamped(0..<3_000))
        rotate()
        try scratch.append("feed.out", "  a stack trace\n  of two lines\n" + stamped(3_000..<3_010))
        var tail = tail()
        let since = tail.last(LogFilter(lines: 10_000, since: Self.start + 2_500 * 1_000_000)).lines
        #expect(since.count == 512 && since.first.map(text)?.contains(" 2500 ") == true)
        #expect(since.filter { $0.unixMicroseconds == Self.start + 2_999 * 1_000_000 }.count == 3)
        #expect(tail.last(LogFilter(lines: 10_000, since: Self.start + 3_000 * 1_000_000)).lines.count == 10)
        #expect(tail.last(LogFilter(lines: 10_000, since: Self.start + 4_000 * 1_000_000)).lines.isEmpty)
        let found = tail.last(LogFilter(lines: 10, text: Array(" 77 fill".utf8))).lines
        #expect(found.map { ($0.unixMicroseconds - Self.start) / 1_000_000 } == [77])
        let traces = tail.last(LogFilter(lines: 10, text: Array("stack".utf8))).lines
        #expect(traces.map(\.unixMicroseconds) == [Self.start + 2_999 * 1_000_000])
        #expect(tail.last(LogFilter(lines: 10, since: Self.start + 2_000 * 1_000_000, text: Array("filled".utf8))).lines.count == 10)
        #expect(tail.last(LogFilter(lines: 10, text: Array("nowhere".utf8))).lines.isEmpty)
    }

    @Test("lines of a log without any stamp have the time of their receipt, by which they are asked for")
    func timeless() throws {
        try scratch.append("feed.out", (0..<1_000).map { "line \($0)\n" }.joined())
        var tail = tail()
        let lines = tail.last(5)
        #expect(
            lines.map(text) == (995..<1_000).map { "line \($0)" }
                && lines.allSatisfy { abs(Int64($0.unixMicroseconds) - Int64(Clock.unixMicroseconds())) < 60_000_000 })
        #expect(tail.last(LogFilter(lines: 5, since: 1)).lines.count == 5)
        // Nothing was written since.
        #expect(tail.last(LogFilter(lines: 5, since: Clock.unixMicroseconds() + 3_600_000_000)).lines.isEmpty)
    }

    @Test("a last line without its end is shown to who doesn't follow")
    func unfinished() throws {
        try scratch.append("feed.out", "one\nterminate called after")
        var tail = tail()
        #expect(tail.last(LogFilter(lines: 9), wholeOnly: false).lines.map(text) == ["one", "terminate called after"])
        #expect(tail.last(LogFilter(lines: 9)).lines.map(text) == ["one"])
    }

    @Test("bytes of every kind are cut into lines of bounded length, across blocks and segments")
    func garbage() throws {
        var generator = SystemRandomNumberGenerator()
        var bytes = [UInt8](repeating: UInt8(ascii: "z"), count: 3 << 20)
        for index in stride(from: 1 << 20, to: 2 << 20, by: 3) { bytes[index] = UInt8.random(in: 0...255, using: &generator) }
        try Files.writeAtomically(path, bytes, mode: 0o640, sync: false)
        rotate(512 << 10)
        var tail = tail()
        let lines = tail.last(10_000)
        #expect(!lines.isEmpty && lines.allSatisfy { $0.text.count <= 16_384 })
        #expect(lines.reduce(0) { $0 + $1.text.count } <= 4 << 20)
    }

    @Test("who falls far behind sees the newest lines, and how much was left out")
    func behind() throws {
        try scratch.append("feed.out", "one\n")
        var tail = tail()
        _ = tail.last(1)
        let block = String(repeating: String(repeating: "x", count: 999) + "\n", count: 1_024)
        for _ in 0..<12 { try scratch.append("feed.out", block) }
        let lines = tail.growth()
        #expect(lines.first.map(text)?.hasPrefix("(11 MiB of ") == true)
        #expect(lines.dropFirst().allSatisfy { $0.text.count == 999 } && lines.count > 400)
    }

    @Test("lines of several logs stand in the order of their time, each log in its own order")
    func merged() {
        func line(_ service: String, _ time: UInt64, _ text: String, error: Bool = false) -> LogLine {
            LogLine(service: service, text: Array(text.utf8), isError: error, unixMicroseconds: time)
        }
        let lines = LogOrder.merged([
            line("a", 10, "a1"), line("a", 30, "a2"), line("a", 20, "back in time"), line("a", 40, "a3"),
            line("a", 0, "e0", error: true), line("a", 25, "e1", error: true), line("b", 30, "b1"), line("b", 35, "b2"),
        ])
        #expect(lines.map(text) == ["e0", "a1", "e1", "a2", "back in time", "b1", "b2", "a3"])
    }
}
