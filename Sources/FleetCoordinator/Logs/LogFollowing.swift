internal import FleetAPI

/// What a follower was told last of each log of one host, so that a second question after a gap loses no line and repeats none.
///
/// Bounded by the logs of a host times `keptMax`. Past these bounds a line may stand twice, and what an agent doesn't give at once is
/// said to be missing.
struct LogFollowing: Sendable {
    /// Lines that are asked for after a gap: as many as an agent gives of one log.
    static let linesMax = 10_000
    /// Microseconds before a log's last line that are asked for again: stamps of receipt are by the second, and threads write out of order.
    static let overlap: UInt64 = 2_000_000
    /// Lines of one log that are remembered.
    static let keptMax = 4_096

    private struct Log: Hashable {
        let service: String
        let file: String
        let isError: Bool
    }

    private struct Tail {
        /// The hash of each line's text with its time, the newest last.
        var recent: [(unixMicroseconds: UInt64, line: Int)] = []
        /// The times of the first line told, and of the last.
        var first: UInt64?
        var last: UInt64 = 0
        /// While it is asked for again: lines before this are not told; 0: it is not.
        var from: UInt64 = 0
        /// What was told from `from` on and has not come again yet, each as often as it stood there.
        var expected: [Int: Int] = [:]
        /// Lines from `from` on that have come again.
        var count = 0
    }

    /// When the follower began, in microseconds of Unix time.
    private let began: UInt64
    private var tails: [Log: Tail] = [:]

    init(began: UInt64) { self.began = began }

    /// The moment from which lines are asked for again: of the log that is furthest behind, and never later than the follower began.
    mutating func resume() -> UInt64 {
        for log in tails.keys {
            guard var tail = tails[log] else { continue }
            // What was not asked for at first is not told now.
            tail.from = max(tail.first ?? 0, tail.last > Self.overlap ? tail.last - Self.overlap : 0)
            tail.expected = Dictionary(tail.recent.filter { $0.unixMicroseconds >= tail.from }.map { ($0.line, 1) }, uniquingKeysWith: +)
            tail.count = 0
            tails[log] = tail
        }
        return tails.values.map(\.from).reduce(began, min)
    }

    /// The lines that were not told before the gap. `now`, in microseconds of Unix time: no line's time counts as later.
    mutating func new(_ entries: [APILogEntry], now: UInt64) -> [APILogEntry] {
        entries.filter { entry in
            guard !entry.service.isEmpty else { return true }
            let log = Log(service: entry.service, file: entry.file, isError: entry.stderr)
            var tail = tails[log] ?? Tail()
            defer { tails[log] = tail }
            let time = min(entry.unixUs, now)
            let line = Self.hash(entry)
            if time < tail.from { return false }
            tail.count += 1
            if let left = tail.expected[line] {
                tail.expected[line] = left > 1 ? left - 1 : nil
                return false
            }
            tail.first = tail.first ?? time
            tail.last = max(tail.last, time)
            tail.recent.append((time, line))
            if tail.recent.count > 2 * Self.keptMax { tail.recent.removeFirst(tail.recent.count - Self.keptMax) }
            return true
        }
    }

    /// What was written in the gap has come. Returns the services of which so many lines came that there were more.
    mutating func settle() -> [String] {
        let cut = Set(tails.filter { $0.value.from > 0 && $0.value.count >= Self.linesMax }.map(\.key.service)).sorted()
        for log in tails.keys {
            tails[log]?.from = 0
            tails[log]?.expected = [:]
            tails[log]?.count = 0
        }
        return cut
    }

    /// Without its time: of a line without a stamp of its own that is of its receipt, and read again by the second.
    private static func hash(_ entry: APILogEntry) -> Int {
        var hasher = Hasher()
        hasher.combine(entry.text)
        return hasher.finalize()
    }
}
