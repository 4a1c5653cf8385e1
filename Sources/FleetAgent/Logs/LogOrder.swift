/// Puts lines of several logs into the order of their time.
enum LogOrder {
    /// Lines that stand one after the other keep that order where their times are equal or unknown: a line without a time belongs to
    /// the one before it in the same log. A log that has gone back in time is not sorted within itself.
    static func merged(_ lines: [LogLine]) -> [LogLine] {
        var keys: [(key: UInt64, index: Int)] = []
        keys.reserveCapacity(lines.count)
        var highest: UInt64 = 0
        for (index, line) in lines.enumerated() {
            if index == 0 || !isSameLog(line, lines[index - 1]) { highest = 0 }
            highest = max(highest, line.unixMicroseconds)
            keys.append((highest, index))
        }
        keys.sort { ($0.key, $0.index) < ($1.key, $1.index) }
        return keys.map { lines[$0.index] }
    }

    private static func isSameLog(_ a: LogLine, _ b: LogLine) -> Bool { a.service == b.service && a.isError == b.isError && a.file == b.file }
}
