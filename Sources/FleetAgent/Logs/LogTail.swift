internal import Glibc
internal import LinuxHost

/// One log, what was moved out of its file included, and how far it has been read.
///
/// A log that is not rotated here has no segments and is read all the same. Blocking.
struct LogTail: Sendable {
    let service: String
    let path: String
    let isError: Bool
    /// As it is shown; empty: output.
    let file: String
    let timestamps: LogTimestamps
    /// Where a worker's own file may lie; nil: it is the agent's.
    let reach: LogReach?
    /// Of the live file.
    private var offset: Int64 = 0
    private var inode: UInt64 = 0
    /// A line that has begun and not ended yet.
    private var partial: [UInt8] = []
    /// When what is added is read, in microseconds since 1970: lines without a stamp of their own were received then.
    private let now: @Sendable () -> UInt64
    /// The last one that was added.
    private var stamp: LogStamp?
    /// When a line was added last.
    private var readAt: UInt64 = 0

    /// A longer line is cut into pieces.
    static let lineBytesMax = 16 << 10
    /// How far back lines are looked for, and how much is shown of them.
    static let searchBytesMax: Int64 = 256 << 20
    static let shownBytesMax = 4 << 20
    private static let blockBytes: Int64 = 256 << 10
    /// Growth read in one go; five times a second this is 2.5 MiB/s per file.
    private static let growthBytesMax: Int64 = 512 << 10
    /// Who is further behind than this sees the newest instead of ever older lines.
    private static let behindBytesMax: Int64 = 8 << 20

    init(
        service: String, path: String, isError: Bool, file: String = "", reach: LogReach? = nil, timestamps: LogTimestamps = LogTimestamps(),
        now: @escaping @Sendable () -> UInt64 = Clock.unixMicroseconds
    ) {
        self.service = service
        self.path = path
        self.isError = isError
        self.file = file
        self.reach = reach
        self.timestamps = timestamps
        self.now = now
    }

    // MARK: What is there

    /// A stretch of bytes in one file.
    private struct Piece {
        let path: String
        /// Of the file itself.
        let range: Range<Int64>
        /// Where its first byte stands, or stood, in the live file; nil: in one before it.
        let liveOffset: Int64?
        /// When a segment was cut, or the live file last written: nothing in it is newer.
        let unixMicroseconds: UInt64
        let isLive: Bool
    }

    /// What `last` has to say besides lines.
    struct Found: Sendable {
        var lines: [LogLine] = []
        /// The search ended before the log's beginning because it was long enough.
        var isCut = false
    }

    mutating func last(_ count: Int) -> [LogLine] { last(LogFilter(lines: count)).lines }

    /// The newest lines that match, as they stand now; what follows is growth.
    ///
    /// With `wholeOnly` a last line without its end is left for `growth`, else shown. A file that isn't there has none.
    mutating func last(_ filter: LogFilter, wholeOnly: Bool = true) -> Found {
        // A rotation in between moves bytes away from under the reader: then it looks again.
        for _ in 0..<3 {
            if let found = search(filter, wholeOnly) { return found }
        }
        return Found()
    }

    /// Nil: what was to be read was moved meanwhile.
    private mutating func search(_ filter: LogFilter, _ wholeOnly: Bool) -> Found? {
        var receipts = file.isEmpty ? LogReceipts(of: path) : nil
        let pieces = pieces(&receipts)
        var backwards = Backwards(filter: filter, timestamps: timestamps, receipts: receipts)
        var searched: Int64 = 0
        offset = 0
        partial = []
        for (index, piece) in pieces.enumerated().reversed() {
            if piece.isLive { offset = piece.range.upperBound }
            // By the files' own times only where the lines tell none: those may be in another zone than is thought.
            if filter.since > 0, piece.unixMicroseconds < filter.since, piece.isLive || !backwards.hasTimes { break }
            guard let file = open(piece) else { return nil }
            var end = piece.range.upperBound
            while end > piece.range.lowerBound, !backwards.isDone {
                let begin = max(piece.range.lowerBound, end - Self.blockBytes)
                guard var bytes = read(file, begin..<end, isLive: piece.isLive) else { return nil }
                if piece.isLive, end == piece.range.upperBound, bytes.last != UInt8(ascii: "\n") {
                    let whole = (bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
                    if bytes.count - whole <= Self.lineBytesMax {
                        partial = Array(bytes[whole...])
                        if wholeOnly { bytes.removeLast(partial.count) }
                    }
                }
                backwards.take(
                    bytes, isFirst: index == 0 && begin == piece.range.lowerBound,
                    at: piece.liveOffset.map { $0 + begin - piece.range.lowerBound })
                searched += end - begin
                end = begin
                if searched >= Self.searchBytesMax { backwards.stop() }
            }
            if backwards.isDone { break }
        }
        let (kept, isCut) = backwards.end()
        return Found(
            lines: kept.map { LogLine(service: service, text: $0.text, isError: isError, file: file, unixMicroseconds: $0.time) }, isCut: isCut)
    }

    /// In the order in which they were written.
    private mutating func pieces(_ receipts: inout LogReceipts?) -> [Piece] {
        let segments: [LogSegment]
        // Without a list of segments there is the live file.
        do { segments = file.isEmpty ? try LogSegment.all(of: path) : [] } catch { segments = [] }
        let newest = segments.last?.generation
        // Marks are of the file that stands there now, not of one before it.
        var markedGeneration = newest
        var live: Piece?
        do {
            if let file = try open() {
                let about = try file.about()
                inode = about.inode
                receipts?.extend(to: about)
                var begin = segments.filter { $0.generation == newest }.map(\.range.upperBound).max() ?? 0
                // Shorter: a new file that the rotation has not looked at yet.
                let isNew = begin > about.size
                if isNew { begin = 0 }
                if let data = try file.data(from: begin) { begin = max(begin, data) }
                begin = min(begin, about.size)
                live = Piece(
                    path: path, range: begin..<about.size, liveOffset: begin, unixMicroseconds: UInt64(max(0, about.modifiedUnixMicroseconds)), isLive: true)
                if isNew { markedGeneration = nil }
            }
        } catch {
            // Not to be read by this agent; shown as what has no lines.
        }
        return segments.filter { !$0.isEmpty }.map {
            Piece(
                path: $0.path, range: 0..<$0.bytes, liveOffset: $0.generation == markedGeneration ? $0.range.lowerBound : nil,
                unixMicroseconds: UInt64(max(0, $0.unixSeconds + 1)) * 1_000_000, isLive: false)
        } + (live.map { [$0] } ?? [])
    }

    private func open(_ piece: Piece) -> SparseFile? {
        do { return piece.isLive ? try open() : try SparseFile(existing: piece.path) } catch { return nil }
    }

    /// The live file.
    private func open() throws -> SparseFile? {
        guard let reach else { return try SparseFile(existing: path) }
        return try reach.open(path)
    }

    /// Nil: it is not there any more.
    private func read(_ file: borrowing SparseFile, _ range: Range<Int64>, isLive: Bool) -> [UInt8]? {
        do {
            let bytes = try file.read(at: range.lowerBound, Int(range.upperBound - range.lowerBound))
            guard Int64(bytes.count) == range.upperBound - range.lowerBound else { return nil }
            // Given back from the front on: while its first byte has its block, all is there.
            if isLive, try file.data(from: range.lowerBound) != range.lowerBound { return nil }
            return bytes
        } catch { return nil }
    }

    // MARK: What is added

    /// What was added since, whole lines only; from the start when the file was cut or replaced.
    mutating func growth() -> [LogLine] {
        do {
            guard let live = try open() else {
                guard inode != 0, file.isEmpty else { return [] }
                inode = 0
                return [line(Array("(\(WorkerFacts.words(removedLog: path, of: service)))".utf8))]
            }
            let about = try live.about()
            if about.size < offset || (about.inode != inode && inode != 0) {
                offset = 0
                partial = []
            }
            inode = about.inode
            guard about.size > offset else { return [] }
            var lines: [LogLine] = []
            if about.size - offset > Self.behindBytesMax {
                let skipped = about.size - offset - Self.growthBytesMax
                offset += skipped
                partial = []
                lines.append(line(Array("(\(skipped >> 20) MiB of \(path) are not shown: it grows faster than it can be followed)".utf8)))
                // In mid-line.
                offset += Int64(try live.read(at: offset, Self.lineBytesMax).firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
            }
            let bytes: [UInt8]
            if let data = try live.data(from: offset), data > offset {
                bytes = try moved(upTo: data)
            } else {
                bytes = try live.read(at: offset, Int(min(about.size - offset, Self.growthBytesMax)))
                // Moved while it was read: next time from its segment.
                guard try live.data(from: offset) == offset else { return lines }
                offset += Int64(bytes.count)
            }
            take(bytes, into: &lines)
            return lines
        } catch {
            return []
        }
    }

    /// Moves on through what lies in segments by now.
    private mutating func moved(upTo data: Int64) throws -> [UInt8] {
        let segments = try LogSegment.all(of: path)
        let here = offset
        guard let segment = segments.first(where: { $0.generation == segments.last?.generation && $0.range.upperBound > here }), !segment.isEmpty,
            segment.range.lowerBound <= here, let file = try SparseFile(existing: segment.path)
        else {
            // Gone for good.
            let next = segments.filter { $0.range.lowerBound > here && !$0.isEmpty && $0.generation == segments.last?.generation }.map(\.range.lowerBound).min()
            offset = min(data, next ?? data)
            return []
        }
        let bytes = try file.read(
            at: here - segment.range.lowerBound, Int(min(segment.range.upperBound - here, Self.growthBytesMax)))
        offset += Int64(bytes.count)
        return bytes
    }

    private mutating func take(_ bytes: [UInt8], into lines: inout [LogLine]) {
        var rest = bytes[...]
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            partial += rest[..<newline]
            flush(&lines)
            rest = rest[(newline + 1)...]
        }
        partial += rest
        if partial.count >= Self.lineBytesMax { flush(&lines) }
    }

    private mutating func flush(_ lines: inout [LogLine]) {
        var rest = partial[...]
        repeat {
            lines.append(line(Array(rest.prefix(Self.lineBytesMax))))
            rest = rest.dropFirst(Self.lineBytesMax)
        } while !rest.isEmpty
        partial.removeAll(keepingCapacity: true)
    }

    private mutating func line(_ text: [UInt8]) -> LogLine {
        let received = LogReceipts.Receipt(earliest: readAt, latest: now())
        readAt = received.latest
        let own = timestamps.parse(text)
        if let own { stamp = LogStamp(time: own, received: received) }
        let time = own ?? stamp?.time(ofLineReceived: received) ?? received.latest
        return LogLine(service: service, text: text, isError: isError, file: file, unixMicroseconds: time)
    }
}

/// Goes through a log from its end, block by block, and keeps the newest lines that match.
private struct Backwards {
    struct Kept {
        let text: [UInt8]
        /// 0: not known, or not yet.
        var time: UInt64
        let received: LogReceipts.Receipt?
    }

    let filter: LogFilter
    let timestamps: LogTimestamps
    /// Nil: of a worker's own file nobody looks when it grows.
    let receipts: LogReceipts?
    private(set) var isDone = false
    /// Newest first, by blocks; each in its own order.
    private var kept: [Kept] = []
    private var keptBytes = 0
    /// How many at the end of `kept` (the oldest ones) wait for the time stamp of a line before them.
    private var waiting = 0
    /// A line's end whose beginning lies in the block before.
    private var carried: [UInt8] = []
    private var carriedAt: Int64?
    private(set) var hasTimes = false
    private var isCut = false

    init(filter: LogFilter, timestamps: LogTimestamps, receipts: LogReceipts?) {
        self.filter = filter
        self.timestamps = timestamps
        self.receipts = receipts
        isDone = filter.lines <= 0
    }

    mutating func stop() {
        isDone = true
        isCut = true
    }

    /// The block before the last one, which lies at `offset` of the live file; `isFirst`: nothing lies before it.
    mutating func take(_ block: [UInt8], isFirst: Bool, at offset: Int64?) {
        var bytes = block
        bytes += carried
        carried = []
        var start = 0
        // A block without any line's end is a piece of one line: cut here.
        if !isFirst, let newline = block.firstIndex(of: UInt8(ascii: "\n")) {
            start = newline + 1
            carried = Array(bytes[..<start])
            carriedAt = offset
            // A long head would be carried through the whole log.
            if carried.count > LogTail.lineBytesMax {
                carried = []
                start = 0
            }
        }
        take(lines: bytes, from: start, at: offset)
    }

    private mutating func take(lines bytes: [UInt8], from begin: Int, at offset: Int64?) {
        var found: [Kept] = []
        var stamp: LogStamp?
        var received: LogReceipts.Receipt?
        var anyInTime = false
        bytes.withUnsafeBytes { all in
            guard let base = all.baseAddress else { return }
            var start = begin
            while start < all.count {
                let newline = memchr(base + start, 10, all.count - start)
                let end = newline.map { UnsafeRawPointer($0) - base } ?? all.count
                let line = UnsafeRawBufferPointer(rebasing: all[start..<end])
                defer { start = end + 1 }
                received = offset.flatMap { receipts?.receipt(at: $0 + Int64(start)) }
                let own = timestamps.parse(line)
                if let own { stamp = LogStamp(time: own, received: received) }
                let time = own ?? stamp?.time(ofLineReceived: received) ?? 0
                if time >= filter.since { anyInTime = true }
                guard time == 0 || time >= filter.since, filter.matches(line) else { continue }
                var rest = line[...]
                repeat {
                    found.append(Kept(text: Array(rest.prefix(LogTail.lineBytesMax)), time: time, received: received))
                    rest = rest.dropFirst(LogTail.lineBytesMax)
                } while !rest.isEmpty
            }
        }
        hasTimes = hasTimes || stamp != nil
        // What waits, of the block behind this one, has its time now.
        if let stamp { settle { stamp.time(ofLineReceived: $0) } }
        let wasFull = isFull
        for one in found.reversed() where !isFull {
            kept.append(one)
            keptBytes += one.text.count
            if one.time == 0 { waiting += 1 }
        }
        // One block more for the time of those that wait; a log without any stamps is not searched through for one.
        if isFull, waiting == 0 || wasFull { isDone = true }
        // Every line of a whole block is older than what is asked for.
        if filter.since > 0, !anyInTime, stamp != nil || received.map({ $0.latest < filter.since }) == true { isDone = true }
    }

    private var isFull: Bool { kept.count >= filter.lines || keptBytes >= LogTail.shownBytesMax }

    private mutating func settle(_ time: (_ received: LogReceipts.Receipt?) -> UInt64) {
        let settled = kept.suffix(waiting).map { Kept(text: $0.text, time: time($0.received), received: $0.received) }
        kept.removeLast(waiting)
        kept += settled.filter { $0.time == 0 || $0.time >= filter.since }
        waiting = 0
    }

    /// Oldest first.
    mutating func end() -> ([Kept], isCut: Bool) {
        if !carried.isEmpty, !isDone { take(lines: carried, from: 0, at: carriedAt) }
        // Before these no line says when it was.
        settle { $0?.latest ?? 0 }
        return (kept.reversed(), isCut)
    }
}
