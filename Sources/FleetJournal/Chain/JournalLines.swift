import LinuxHost

/// Reads a journal file line by line, from the start, without holding it in memory.
struct JournalLines {
    enum Next {
        /// A whole line without its newline, and where it starts.
        case line([UInt8], offset: Int)
        /// Bytes after the last newline, or NULs to the end: what a crash in mid-write leaves.
        case torn(offset: Int, count: Int)
        case end
    }

    private static let chunk = 1 << 18

    private let file: JournalFile
    private var buffer: [UInt8] = []
    /// Of the buffer's first byte in the file.
    private var offset = 0
    /// Of the next line in the buffer.
    private var at = 0

    init(_ file: JournalFile) { self.file = file }

    mutating func next() throws(LinuxError) -> Next {
        var searched = at
        while true {
            if let newline = buffer[searched...].firstIndex(of: 10) {
                let line = Array(buffer[at..<newline])
                let start = offset + at
                at = newline + 1
                return .line(line, offset: start)
            }
            searched = buffer.count - at
            buffer.removeFirst(at)
            offset += at
            at = 0
            // Longer than any line: it is not a journal's. The rest is handed out in pieces that no one can parse.
            if buffer.count > JournalLine.payloadMax + JournalLine.overhead {
                let line = buffer
                let start = offset
                offset += buffer.count
                buffer = []
                return .line(line, offset: start)
            }
            let more = try file.read(at: offset + buffer.count, count: Self.chunk)
            if more.isEmpty {
                let count = buffer.count
                return count == 0 ? .end : .torn(offset: offset, count: count)
            }
            buffer += more
        }
    }
}
