/// One line of a worker's output, or of a file that it writes itself.
struct LogLine: Equatable, Sendable {
    let service: String
    /// Without its newline.
    let text: [UInt8]
    let isError: Bool
    /// Of a file that the worker writes itself; empty: its output.
    var file = ""
    /// From its own time stamp, else from a stamp just before it, else when it was received (`LogReceipts`), in microseconds since
    /// 1970; 0: none is known.
    var unixMicroseconds: UInt64 = 0
}

/// The time stamp of a line, for the lines behind it that have none.
struct LogStamp: Sendable {
    /// A line that may have come so soon after a stamped one is taken for a part of its message: a stack trace must not be torn from
    /// what it is of.
    static let sameMessage: UInt64 = 2_000_000
    /// How far a stamp may lie from its own line's receipt to count for others: what a replay writes, or a wrong clock, dates no other line.
    static let skewMax: UInt64 = 5_000_000

    /// What the line says, in microseconds since 1970.
    let time: UInt64
    /// Nil: not known.
    let received: LogReceipts.Receipt?

    /// Of a line without a stamp that was received then.
    func time(ofLineReceived received: LogReceipts.Receipt?) -> UInt64 {
        guard let received, let own = self.received else { return time }
        let isOfNow = time <= own.latest + Self.skewMax && time + Self.skewMax >= own.earliest
        return isOfNow && received.earliest <= own.latest + Self.sameMessage ? time : received.latest
    }
}

/// What a reader of logs wants to see.
struct LogFilter: Equatable, Sendable {
    /// At most so many of the newest that match, of each file.
    var lines: Int
    /// Microseconds since 1970; 0: no bound.
    var since: UInt64 = 0
    /// Bytes that a line must hold; empty: every line.
    var text: [UInt8] = []

    func matches(_ line: UnsafeRawBufferPointer) -> Bool {
        guard let first = text.first else { return true }
        guard line.count >= text.count else { return false }
        for start in 0...(line.count - text.count) where line[start] == first {
            if text.indices.allSatisfy({ line[start + $0] == text[$0] }) { return true }
        }
        return false
    }
}
