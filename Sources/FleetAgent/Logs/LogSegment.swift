internal import LinuxHost

/// A part of a worker's output that lies outside its live file.
///
/// Its name says all that is known of it: `feed.out.20261122T101500Z-1-0-67108864` holds bytes 0 up to 67108864 of the first
/// file that stood under the name `feed.out`. An empty one says that these bytes were kept as long as they had to be, or given up.
struct LogSegment: Equatable, Sendable {
    let path: String
    /// When it was cut: every line in it is older.
    let unixSeconds: Int64
    /// Counts the files that stood under the live file's name one after the other, from 1.
    let generation: Int
    /// Of that file.
    let range: Range<Int64>
    /// What it holds: all of its range or nothing.
    var isEmpty: Bool

    var bytes: Int64 { isEmpty ? 0 : range.upperBound - range.lowerBound }

    init(of live: String, unixSeconds: Int64, generation: Int, range: Range<Int64>, isEmpty: Bool) {
        let stamp = Clock.rfc3339(unixMicroseconds: UInt64(max(0, unixSeconds)) * 1_000_000).prefix(19).filter { $0 != "-" && $0 != ":" }
        path = "\(live).\(stamp)Z-\(generation)-\(range.lowerBound)-\(range.upperBound)"
        self.unixSeconds = unixSeconds
        self.generation = generation
        self.range = range
        self.isEmpty = isEmpty
    }

    /// Nil: no segment's name.
    private init?(directory: String, name: String, prefix: String) {
        let words = name.dropFirst(prefix.utf8.count).split(separator: "-", omittingEmptySubsequences: false)
        guard words.count == 4, let unix = Self.unixSeconds(words[0]), let generation = Int(words[1]), let from = Int64(words[2]), let to = Int64(words[3]),
            generation > 0, from >= 0, to >= from
        else { return nil }
        path = directory + "/" + name
        unixSeconds = unix
        self.generation = generation
        range = from..<to
        isEmpty = Files.regularSize(path) != to - from
    }

    /// `20261122T101500Z`
    private static func unixSeconds(_ stamp: Substring) -> Int64? {
        let digits = Array(stamp.utf8)
        guard digits.count == 16, digits[8] == UInt8(ascii: "T"), digits[15] == UInt8(ascii: "Z") else { return nil }
        func part(_ range: Range<Int>) -> String { String(decoding: digits[range], as: UTF8.self) }
        let text = "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z"
        return LogTimestamps(nowUnixSeconds: 0).parse(Array(text.utf8)).map { Int64($0 / 1_000_000) }
    }

    /// In the order in which they were written.
    static func all(of live: String) throws(LinuxError) -> [LogSegment] {
        guard let slash = live.lastIndex(of: "/") else { return [] }
        let directory = String(live[..<slash])
        let prefix = String(live[live.index(after: slash)...]) + "."
        return try Files.listIfPresent(directory).filter { $0.hasPrefix(prefix) }
            .compactMap { LogSegment(directory: directory, name: $0, prefix: prefix) }
            .sorted { ($0.generation, $0.range.lowerBound, $0.range.upperBound) < ($1.generation, $1.range.lowerBound, $1.range.upperBound) }
    }
}
