import FleetCore
import Glibc
import LinuxHost
import Synchronization
import TestSupport
import Testing

@testable import FleetAgent

@Suite(.serialized) struct LogRotatorTests {
    /// A directory with one live log and passes over it, the clocks in hand.
    private final class Bench {
        let scratch: Scratch
        let path: String
        var stream: LogRotator.Stream
        var rotator = LogRotator()
        var unix: Int64 = 1_795_342_500
        var now = BootTime(nanoseconds: 1_000_000_000_000)

        init(max: Int64 = 1 << 20, keep: Duration = .seconds(3_600), in directory: String? = nil) throws {
            scratch = try Scratch()
            path = (directory ?? scratch.path) + "/feed.out"
            stream = LogRotator.Stream(path: path, keep: keep, maxBytes: max)
        }

        @discardableResult
        func pass(after: Duration = .seconds(60)) -> LogRotator.Outcome {
            now = now + after
            unix += after.components.seconds
            return rotator.pass([stream], nowUnixSeconds: unix, now: now)
        }

        func append(_ text: String) throws {
            let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
            guard descriptor >= 0 else { throw LinuxError("open", path, errno: errno) }
            defer { close(descriptor) }
            guard Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count else { throw LinuxError("write", path, errno: errno) }
        }

        /// Numbered lines, `bytes` each.
        func append(lines: Range<Int>, bytes: Int = 100) throws {
            try append(lines.map { LogRotatorTests.line($0, bytes) }.joined())
        }

        func segments() throws -> [LogSegment] { try LogSegment.all(of: path) }

        func about() throws -> SparseFile.About {
            guard let file = try SparseFile(existing: path) else { throw LinuxError("open", path, errno: ENOENT) }
            return try file.about()
        }

        /// All that is kept, in order: segments, then the live file from where they end.
        func kept() throws -> [UInt8] {
            var bytes: [UInt8] = []
            let segments = try segments()
            for segment in segments where !segment.isEmpty { bytes += try Files.read(segment.path, limit: 1 << 30) }
            let generation = segments.last?.generation ?? 1
            let end = segments.filter { $0.generation == generation }.map(\.range.upperBound).max() ?? 0
            guard let live = try SparseFile(existing: path) else { return bytes }
            let size = try live.about().size
            return size < end ? bytes + (try live.read(at: 0, Int(size))) : bytes + (try live.read(at: end, Int(size - end)))
        }

        func numbers() throws -> [Int] {
            try kept().split(separator: UInt8(ascii: "\n")).map { line in
                Int(String(decoding: line.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)) ?? -1
            }
        }
    }

    fileprivate static func line(_ number: Int, _ bytes: Int = 100) -> String {
        let head = "\(number) "
        return head + String(repeating: "x", count: max(0, bytes - 1 - head.utf8.count)) + "\n"
    }

    @Test("what has settled moves to a segment that ends with a line, and its room in the live file is given back")
    func rotates() throws {
        let bench = try Bench()
        try bench.append(lines: 0..<3_000)
        try bench.append("half a li")
        bench.pass()
        #expect(try bench.segments().isEmpty, "bytes seen only once are not settled")
        let outcome = bench.pass()
        #expect(outcome.warnings.isEmpty && outcome.losses.isEmpty && outcome.segmentsMade == 2)
        let segments = try bench.segments()
        #expect(segments.map(\.range) == [0..<131_000, 131_000..<262_000])
        #expect(try bench.about().size == 300_009)
        #expect(try bench.about().allocated <= 300_009 - 262_000 + 8_192)
        try bench.append("ne\n")
        let text = String(decoding: try bench.kept(), as: UTF8.self)
        #expect(text == (0..<3_000).map { Self.line($0) }.joined() + "half a line\n")
    }

    @Test("a segment's name tells its time, its generation and its range, and names of others are none")
    func names() throws {
        let bench = try Bench()
        let segment = LogSegment(of: bench.path, unixSeconds: 1_795_342_500, generation: 2, range: 5..<77, isEmpty: true)
        #expect(segment.path == bench.path + ".20261122T101500Z-2-5-77")
        for name in [
            "feed.out.1", "feed.out.20261122T101500Z", "feed.out.20261122T101500Z-0-0-5", "feed.out.20261122T101500Z-1-9-5", "feed.out.rotating", "feed.output",
        ] {
            try bench.scratch.write(name, "x")
        }
        try Files.touch(segment.path)
        #expect(try bench.segments() == [segment])
    }

    @Test("left at any step, whatever comes next loses no line and keeps none twice", arguments: LogRotator.Step.allCases, [1, 2, 7])
    func crashes(step: LogRotator.Step, time: Int) throws {
        let bench = try Bench(max: 64 << 10)
        var written = 0
        for round in 0..<12 {
            try bench.append(lines: written..<written + 150)
            written += 150
            if round % 3 == 2 {
                // A rotator that ends at its `time`th passage through the step; its memory is gone with it.
                let left = Mutex(time)
                bench.rotator = LogRotator()
                bench.pass()
                bench.rotator.interrupted = { at in
                    at == step
                        && left.withLock {
                            $0 -= 1
                            return $0 == 0
                        }
                }
                bench.pass()
                bench.rotator = LogRotator()
            }
            bench.pass()
            bench.pass()
            let numbers = try bench.numbers()
            // Retention may take the oldest; what is left has no gap and no repetition.
            let first = try #require(numbers.first)
            #expect(numbers == Array(first..<written))
            #expect(try bench.about().size == Int64(written * 100))
        }
        #expect(!Files.exists(bench.path + ".rotating"))
    }

    @Test("a writer at full speed beside fifty rotations, each left at a random point: every line is there once")
    func fullSpeed() throws {
        let bench = try Bench(max: 4 << 30)
        // Nothing is ever too old or too much.
        bench.stream = LogRotator.Stream(path: bench.path, keep: .seconds(1 << 40), maxBytes: 1 << 40, segmentBytes: 64 << 10)
        let writer = Writer(path: bench.path)
        writer.start()
        defer { writer.end() }
        var random = SystemRandomNumberGenerator()
        var made = 0
        var rotations = 0
        while rotations < 50 {
            // As many bytes more as make a rotation due, then a pass that may end anywhere.
            let size = Files.regularSize(bench.path) ?? 0
            #expect(eventually { (Files.regularSize(bench.path) ?? 0) > size + (256 << 10) })
            let left = Mutex(Int.random(in: 1...30, using: &random))
            bench.rotator.interrupted = { _ in
                left.withLock {
                    $0 -= 1; return $0 == 0
                }
            }
            let outcome = bench.pass()
            made += outcome.segmentsMade
            if outcome.segmentsMade > 0 { rotations += 1 }
            if left.withLock({ $0 <= 0 }) { bench.rotator = LogRotator() }
        }
        let written = writer.end()
        bench.rotator = LogRotator()
        bench.pass()
        bench.pass()
        #expect(made >= 50)
        #expect(try bench.numbers() == Array(0..<written))
        #expect(try bench.about().allocated < 1 << 20)
    }

    /// Appends numbered lines as fast as the kernel takes them.
    private final class Writer: Sendable {
        private let path: String
        private let stopped = Mutex(false)
        private let written = Mutex<Int?>(nil)

        init(path: String) { self.path = path }

        func start() {
            let box = Unmanaged.passRetained(self)
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { raw in
                    guard let raw else { return nil }
                    Unmanaged<Writer>.fromOpaque(raw).takeRetainedValue().run()
                    return nil
                }, box.toOpaque())
            pthread_detach(thread)
        }

        private func run() {
            let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
            var number = 0
            while !stopped.withLock({ $0 }) {
                let line = LogRotatorTests.line(number, 40 + number % 400)
                guard Glibc.write(descriptor, line, line.utf8.count) == line.utf8.count else { break }
                number += 1
            }
            close(descriptor)
            written.withLock { $0 = number }
        }

        /// How many lines it has written.
        @discardableResult
        func end() -> Int {
            stopped.withLock { $0 = true }
            _ = eventually { written.withLock { $0 != nil } }
            return written.withLock { $0 ?? 0 }
        }
    }

    @Test("retention takes the oldest segments first, by size and by age, and the newest keeps its name")
    func retention() throws {
        let bench = try Bench(max: 80 << 10, keep: .seconds(7_200))
        var written = 0
        for _ in 0..<40 {
            try bench.append(lines: written..<written + 110)
            written += 110
            bench.pass(after: .seconds(10))
        }
        let numbers = try bench.numbers()
        #expect(numbers.last == written - 1 && numbers.count <= 850 && numbers.count > 500 && numbers == Array(numbers[0]..<written))
        #expect(try bench.about().size == Int64(written * 100))
        // Hours later, by a clock that went evenly.
        for _ in 0..<100 { bench.pass(after: .seconds(120)) }
        let segments = try bench.segments()
        #expect(segments.count == 1 && segments[0].isEmpty)
        let left = try bench.numbers()
        #expect(left.count < 110 && left.last == written - 1)
    }

    @Test("a wall clock that jumps ahead ends no log")
    func clockJump() throws {
        let bench = try Bench(max: 80 << 10, keep: .seconds(7_200))
        try bench.append(lines: 0..<500)
        for _ in 0..<100 { bench.pass(after: .seconds(60)) }
        let before = try bench.numbers()
        bench.unix += 10 * 365 * 86_400
        for _ in 0..<10 { bench.pass(after: .seconds(60)) }
        #expect(try bench.numbers() == before)
    }

    @Test("a log that hardly grows is cut once a day")
    func daily() throws {
        let bench = try Bench()
        try bench.append("one\n")
        for _ in 0..<23 { bench.pass(after: .seconds(3_600)) }
        #expect(try bench.segments().isEmpty)
        for _ in 0..<3 { bench.pass(after: .seconds(3_600)) }
        #expect(try bench.segments().map(\.range) == [0..<4])
        for _ in 0..<30 { bench.pass(after: .seconds(3_600)) }
        #expect(try bench.segments().count == 1, "there was nothing new")
    }

    @Test("a live file that someone replaced or cut begins a new generation, and none of its bytes go", arguments: [true, false])
    func replaced(whileAway: Bool) throws {
        let bench = try Bench(max: 64 << 10)
        try bench.append(lines: 0..<250)
        bench.pass()
        bench.pass()
        #expect(try bench.segments().count == 3)
        if whileAway { bench.rotator = LogRotator() }
        try Files.remove(bench.path)
        // Longer than the one before: the size alone would not tell.
        try bench.append(lines: 1_000..<1_300)
        bench.pass()
        #expect(try bench.about().allocated >= 30_000, "nothing of it was given back")
        bench.pass()
        bench.pass()
        let generations = try bench.segments().map(\.generation)
        #expect(generations == [1, 1, 1, 2, 2, 2])
        #expect(try bench.numbers() == Array(0..<243) + Array(1_000..<1_300))
        try Files.empty(bench.path)
        try bench.append("2000 short\n")
        bench.pass()
        bench.pass()
        #expect(try bench.numbers().last == 2_000)
    }

    @Test("segments that someone took away are not missed")
    func takenAway() throws {
        let bench = try Bench(max: 64 << 10)
        try bench.append(lines: 0..<250)
        bench.pass()
        bench.pass()
        for segment in try bench.segments() { try Files.remove(segment.path) }
        bench.rotator = LogRotator()
        try bench.append(lines: 250..<500)
        bench.pass()
        let outcome = bench.pass()
        #expect(outcome.warnings.isEmpty && outcome.segmentsMade > 0)
        #expect(try bench.numbers().last == 499)
    }

    @Test("one line of megabytes and bytes that are no text are kept as they are")
    func garbage() throws {
        let bench = try Bench(max: 32 << 20)
        var bytes = [UInt8](repeating: UInt8(ascii: "y"), count: 9 << 20)
        for index in stride(from: 0, to: bytes.count, by: 4_097) { bytes[index] = UInt8(truncatingIfNeeded: index) }
        for index in bytes.indices where bytes[index] == 10 { bytes[index] = 0 }
        try Files.writeAtomically(bench.path, bytes, mode: 0o640, sync: false)
        bench.pass()
        bench.pass()
        bench.rotator = LogRotator()
        bench.pass()
        #expect(try bench.segments().count == 2)
        #expect(try bench.kept() == bytes)
    }

    @Test("the share of a live file that is past the most that is declared goes without a copy")
    func expires() throws {
        let bench = try Bench(max: 64 << 10)
        try bench.append(lines: 0..<5_000)
        bench.pass()
        bench.pass()
        let numbers = try bench.numbers()
        #expect(numbers.last == 4_999 && numbers.count <= 656 && numbers.count > 400 && numbers == Array(numbers[0]..<5_000))
        #expect(try bench.about().allocated < 100 << 10)
    }

    // MARK: A disk of its own

    @Test("on a disk that logs fill they give way, oldest first, and a writer writes on", .enabled(if: Tmpfs.isPossible))
    func fullDisk() throws {
        let disk = try Tmpfs(kilobytes: 4_096)
        let bench = try Bench(max: 2 << 30, in: disk.path)
        var written = 0
        var refused = 0
        var losses: [String] = []
        for _ in 0..<200 {
            do {
                try bench.append(lines: written..<written + 1_000)
                written += 1_000
            } catch { refused += 1 }
            losses += bench.pass(after: .seconds(10)).losses
        }
        #expect(written > 100_000 && refused < 40, "written \(written), refused \(refused)")
        #expect(losses.contains { $0.contains("given up") })
        #expect(try bench.numbers().last == written - 1)
        #expect(bench.pass().warnings.contains { $0.contains("given up") })
    }

    @Test("on a disk that others fill no log is given up", .enabled(if: Tmpfs.isPossible))
    func othersFill() throws {
        let disk = try Tmpfs(kilobytes: 8_192)
        let bench = try Bench(max: 1 << 20, in: disk.path)
        try bench.append(lines: 0..<5_000)
        bench.pass()
        bench.pass()
        let before = try bench.numbers()
        try disk.fill()
        for _ in 0..<5 { #expect(bench.pass().losses.isEmpty) }
        #expect(try bench.numbers() == before)
        try disk.empty()
        try bench.append(lines: 5_000..<10_000)
        bench.pass()
        #expect(bench.pass().warnings.isEmpty)
    }
}
