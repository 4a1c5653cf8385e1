internal import FleetCore
internal import Glibc
internal import LinuxHost

/// Keeps workers' output within its bounds without ever standing between a worker and its file.
///
/// Workers append to a live file that is never renamed, cut or reopened. What has settled in it (everything below a size that was
/// seen in two looks, up to a line's end: O_APPEND bytes never change) is copied to a segment, synced and named; then the range is
/// given back to the filesystem as a hole. Offsets only ever grow.
///
/// 1. A segment's name tells its range, so nothing else has to be remembered: after a crash a copy without its name is thrown
///    away, and a named one whose range is still in the live file is compared with it and given back, not copied again.
/// 2. A live file that was replaced or cut by someone begins a new generation from 0.
/// 3. Retention takes the oldest segments. The newest keeps its name when its bytes go: the name says where the live file begins.
/// 4. On a full disk logs give way only when they are what fills it: segments first, oldest first, then the older half of a live
///    file, which is told as a loss. A rotation that has no room waits; what is declared as the most bytes holds all the same.
///
/// Blocking. Everything that is on the disk survives the end of this value at any instant.
struct LogRotator: Sendable {
    struct Stream: Equatable, Sendable {
        /// The live file.
        let path: String
        let keep: Duration
        let maxBytes: Int64

        /// As targets/fleet.yaml writes them.
        static let keepDefault: Duration = .seconds(14 * 86_400)
        static let maxBytesDefault: Int64 = 2 << 30

        /// How much is moved in one go; eight segments make up the whole, and one of 64 MiB is copied in a fraction of a second.
        let segmentBytes: Int64

        init(path: String, keep: Duration = keepDefault, maxBytes: Int64 = maxBytesDefault, segmentBytes: Int64? = nil) {
            self.path = path
            self.keep = keep
            self.maxBytes = max(1, maxBytes)
            self.segmentBytes = segmentBytes ?? min(64 << 20, max(4_096, maxBytes / 8))
        }
    }

    /// Where a pass may be left, by a crash or on purpose.
    enum Step: CaseIterable, Sendable {
        case copying
        case copied
        case named
        case releasing
        case released
        case dropping
    }

    struct Outcome: Equatable, Sendable {
        /// What holds now, one sentence each.
        var warnings: [String] = []
        /// What was given up in this pass, one sentence each.
        var losses: [String] = []
        var next: Duration = LogRotator.lookEvery
        var segmentsMade = 0
    }

    static let lookEvery: Duration = .seconds(60)
    static let lookSoon: Duration = .seconds(10)
    /// A log that hardly grows is cut once a day, so that its age can be told by the day.
    private static let dayNanoseconds: Int64 = 86_400_000_000_000
    /// Copied between two looks at whether to go on.
    private static let chunkBytes: Int64 = 256 << 10
    /// Given back in one call, during which the kernel lets nobody append: some tens of microseconds.
    private static let punchBytes: Int64 = 512 << 10
    /// How far back from the end a line's end is looked for; a longer line is cut.
    private static let lineBytesMax: Int64 = 1 << 20
    private static let block: Int64 = 4_096
    /// Ages are trusted once the wall clock has gone evenly for so long: one that jumps ahead must not end everybody's logs.
    static let steadyAfter: Duration = .seconds(3_600)

    private struct Known: Sendable {
        var segments: [LogSegment] = []
        var generation = 1
        /// Up to here the live file's bytes are in segments or gone.
        var end: Int64 = 0
        var device: UInt64 = 0
        var inode: UInt64 = 0
        /// Its size in the look before.
        var seen: Int64 = 0
        var seenAt = BootTime.zero
        var rotatedAt = BootTime.zero
        /// What the live file took on the disk in the last look.
        var allocated: Int64 = 0
        /// Nothing below `end` is left in the live file.
        var isReleased = true

        var bytes: Int64 { segments.reduce(0) { $0 + $1.bytes } }

        mutating func beginGeneration(_ about: SparseFile.About, _ now: BootTime) {
            if !segments.isEmpty || end > 0 { generation += 1 }
            (end, seen, isReleased, rotatedAt) = (0, 0, true, now)
            (device, inode) = (about.device, about.inode)
        }
    }

    /// True ends the pass there; whoever comes next goes on from what is on the disk.
    var interrupted: @Sendable (Step) -> Bool = { _ in false }
    private var known: [String: Known] = [:]
    private var canPunch: Bool?
    private var lossTexts: [String: String] = [:]
    private var clock: (offset: Int64, since: BootTime)?

    private struct Interrupted: Error {}

    init() {}

    /// Looks at every stream once and does what is due; `nowUnixSeconds` and `now` are the two clocks' readings.
    mutating func pass(_ streams: [Stream], nowUnixSeconds: Int64, now: BootTime) -> Outcome {
        var outcome = Outcome()
        known = known.filter { path, _ in streams.contains { $0.path == path } }
        lossTexts = lossTexts.filter { path, _ in known[path] != nil }
        let isClockSteady = watchClock(nowUnixSeconds, now)
        for stream in streams {
            do {
                try look(stream, nowUnixSeconds, now, isClockSteady, &outcome)
            } catch is Interrupted {
                known = [:]
                return outcome
            } catch {
                outcome.warnings.append("the log \(stream.path) is not looked after: \(error)")
                // What is on the disk is looked at afresh.
                known[stream.path] = nil
            }
        }
        do { try makeRoom(streams, &outcome) } catch is Interrupted {
            known = [:]
            return outcome
        } catch {
            outcome.warnings.append("the logs' disk can't be looked after: \(error)")
        }
        outcome.warnings += lossTexts.sorted { $0.key < $1.key }.map(\.value)
        return outcome
    }

    private func step(_ step: Step) throws { if interrupted(step) { throw Interrupted() } }

    /// Whether the wall clock has gone evenly beside the other one for long enough.
    private mutating func watchClock(_ unixSeconds: Int64, _ now: BootTime) -> Bool {
        let offset = unixSeconds - Int64(clamping: now.nanoseconds / 1_000_000_000)
        guard let clock, abs(clock.offset - offset) < 600 else {
            self.clock = (offset, now)
            return false
        }
        return now - clock.since >= Self.steadyAfter
    }

    // MARK: One stream

    private mutating func look(
        _ stream: Stream, _ nowUnixSeconds: Int64, _ now: BootTime, _ isClockSteady: Bool, _ outcome: inout Outcome
    ) throws {
        guard let live = try SparseFile(existing: stream.path, writable: true) else {
            // Its service never ran, or someone took the file away: what is kept of it still ages.
            var state = try known[stream.path] ?? Known(segments: LogSegment.all(of: stream.path))
            state.generation = state.segments.last?.generation ?? 1
            try retain(stream, &state, size: 0, nowUnixSeconds, isClockSteady)
            known[stream.path] = state.segments.isEmpty ? nil : state
            return
        }
        var about = try live.about()
        var state = try known[stream.path] ?? resolve(stream, live, about, nowUnixSeconds, now)
        if state.device != about.device || state.inode != about.inode || about.size < state.end || about.size < state.seen {
            state.beginGeneration(about, now)
        } else if state.isReleased, let data = try live.data(from: 0), data < state.end / Self.block * Self.block {
            // Inode numbers are given again at once: a new file under the old number shows by data where there should be none.
            state = try resolve(stream, live, about, nowUnixSeconds, now)
        }
        let settled = state.seen
        let grown = about.size - state.seen
        let elapsed = max(1, (now - state.seenAt).nanoseconds)
        (state.seen, state.seenAt, state.allocated) = (about.size, now, about.allocated)
        known[stream.path] = state
        // The front may be a hole of its own: someone took all segments away.
        if state.segments.isEmpty, let data = try live.data(from: state.end), data > state.end { state.end = min(data, about.size) }
        if about.size - state.end > stream.maxBytes, canPunchHoles(stream, &outcome) {
            try expire(stream, live, &state, upTo: min(settled, about.size - stream.maxBytes), nowUnixSeconds)
        }
        let isDayOver = (now - state.rotatedAt).nanoseconds >= Self.dayNanoseconds
        var isDue = settled - state.end >= stream.segmentBytes || (isDayOver && settled > state.end)
        if !state.isReleased, canPunchHoles(stream, &outcome) { try release(live, &state, from: 0) }
        while isDue, canPunchHoles(stream, &outcome) {
            let room = try room(stream)
            // Small pieces where there is little room: each gives back what the next one needs.
            guard room >= min(stream.segmentBytes, settled - state.end) / 8 else {
                outcome.warnings.append("no room to rotate \(stream.path): \(max(0, room) >> 20) MiB to spare on its disk. Make room there")
                break
            }
            let piece = state.end..<(try lineEnd(live, from: state.end, upTo: min(settled, state.end + min(stream.segmentBytes, room))))
            about = try live.about()
            guard !piece.isEmpty, about.size >= piece.upperBound else { break }
            do {
                state.segments.append(try copy(live, piece, stream, state.generation, nowUnixSeconds))
            } catch let error as LinuxError where error.errno == ENOSPC || error.errno == EDQUOT {
                outcome.warnings.append("no room to rotate \(stream.path): \(error). Make room there")
                break
            }
            (state.end, state.isReleased, state.rotatedAt) = (piece.upperBound, false, now)
            outcome.segmentsMade += 1
            known[stream.path] = state
            try release(live, &state, from: piece.lowerBound)
            try retain(stream, &state, size: about.size, nowUnixSeconds, isClockSteady)
            known[stream.path] = state
            isDue = settled - state.end >= stream.segmentBytes
        }
        try retain(stream, &state, size: about.size, nowUnixSeconds, isClockSteady)
        known[stream.path] = state
        // At this pace it is due before the next look.
        let perLook = Double(grown) * Double(Self.lookEvery.nanoseconds) / Double(elapsed)
        if settled == 0 || Double(about.size - state.end) + perLook >= Double(stream.segmentBytes) { outcome.next = min(outcome.next, Self.lookSoon) }
    }

    /// What an earlier rotator left: a copy without its name goes, a segment whose range is still in the live file is given back.
    private func resolve(_ stream: Stream, _ live: borrowing SparseFile, _ about: SparseFile.About, _ nowUnixSeconds: Int64, _ now: BootTime) throws -> Known {
        try Files.remove(Self.unnamed(stream))
        var state = Known(segments: try LogSegment.all(of: stream.path), device: about.device, inode: about.inode, seenAt: now, rotatedAt: now)
        guard let last = state.segments.last else { return state }
        state.generation = last.generation
        let mine = state.segments.filter { $0.generation == last.generation }
        state.end = mine.map(\.range.upperBound).max() ?? 0
        // Its day goes on where it was.
        state.rotatedAt = now + (.zero - .seconds(min(86_400, max(0, nowUnixSeconds - last.unixSeconds))))
        if about.size < state.end {
            state.beginGeneration(about, now)
        } else if try !isSame(live, mine, upTo: state.end / Self.block * Self.block) {
            state.beginGeneration(about, now)
        } else {
            state.isReleased = false
        }
        return state
    }

    /// Whether what the live file still holds below `end` is what its segments hold: false, it is another file.
    private func isSame(_ live: borrowing SparseFile, _ segments: [LogSegment], upTo end: Int64) throws -> Bool {
        var at: Int64 = 0
        while let data = try live.data(from: at), data < end {
            guard let segment = segments.first(where: { $0.range.contains(data) }) else { return false }
            let to = min(end, segment.range.upperBound, data + Self.chunkBytes)
            let bytes = try live.read(at: data, Int(to - data))
            // A block of which a part was given back reads as zeros.
            if bytes.contains(where: { $0 != 0 }) {
                guard !segment.isEmpty, let copy = try SparseFile(existing: segment.path),
                    try copy.read(at: data - segment.range.lowerBound, Int(to - data)) == bytes
                else { return false }
            }
            at = to
        }
        return true
    }

    private static func unnamed(_ stream: Stream) -> String { stream.path + ".rotating" }

    /// Behind the last line's end within the range; its end where there is none.
    private func lineEnd(_ live: borrowing SparseFile, from: Int64, upTo: Int64) throws -> Int64 {
        guard upTo > from else { return from }
        let begin = max(from, upTo - Self.lineBytesMax)
        let bytes = try live.read(at: begin, Int(upTo - begin))
        guard let newline = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return upTo }
        return begin + Int64(newline) + 1
    }

    private func copy(
        _ live: borrowing SparseFile, _ range: Range<Int64>, _ stream: Stream, _ generation: Int, _ nowUnixSeconds: Int64
    ) throws -> LogSegment {
        let segment = LogSegment(of: stream.path, unixSeconds: nowUnixSeconds, generation: generation, range: range, isEmpty: false)
        let temporary = Self.unnamed(stream)
        try Files.remove(temporary)
        do {
            let copy = try SparseFile(creating: temporary, mode: 0o640)
            try copy.takeOwner(of: live)
            var at = range.lowerBound
            while at < range.upperBound {
                let bytes = try live.read(at: at, Int(min(Self.chunkBytes, range.upperBound - at)))
                guard !bytes.isEmpty else { throw LinuxError("copy", stream.path, errno: EIO, detail: "it was cut meanwhile") }
                try copy.write(bytes, at: at - range.lowerBound)
                at += Int64(bytes.count)
                try step(.copying)
            }
            try copy.sync()
            copy.forgetCached()
        } catch let error as LinuxError {
            try Files.remove(temporary)
            throw error
        }
        try step(.copied)
        try Files.move(temporary, to: segment.path)
        try Files.syncDirectory(Self.directory(stream))
        try step(.named)
        return segment
    }

    /// Gives back what lies from there to `end`, and is known to be in segments; the block at `end` stays, which may be the one that
    /// is appended to.
    private func release(_ live: borrowing SparseFile, _ state: inout Known, from: Int64) throws {
        let begin = from / Self.block * Self.block
        let end = state.end / Self.block * Self.block
        while let data = try live.data(from: begin), data < end {
            let piece = data..<min(end, data + Self.punchBytes)
            try live.writeBack(piece)
            try live.punch(piece)
            // Where blocks are larger, a part of one stays.
            guard try live.data(from: begin) != data else { break }
            try step(.releasing)
        }
        state.isReleased = true
        try step(.released)
    }

    // MARK: Retention

    private func retain(_ stream: Stream, _ state: inout Known, size: Int64, _ nowUnixSeconds: Int64, _ isClockSteady: Bool) throws {
        let kept = max(0, size - state.end)
        while state.bytes > 0, state.bytes + kept > stream.maxBytes { _ = try dropOldest(&state) }
        guard isClockSteady else { return }
        let oldest = nowUnixSeconds - Int64(clamping: stream.keep.components.seconds)
        while let first = state.segments.first(where: { !$0.isEmpty }), first.unixSeconds < oldest { _ = try dropOldest(&state) }
    }

    /// The bytes that went; 0: there were none.
    private func dropOldest(_ state: inout Known) throws -> Int64 {
        guard let index = state.segments.firstIndex(where: { !$0.isEmpty }) else { return 0 }
        let bytes = state.segments[index].bytes
        if index == state.segments.count - 1 {
            try Files.empty(state.segments[index].path)
            state.segments[index].isEmpty = true
        }
        // Whatever is empty and not the newest says nothing any more.
        let gone = state.segments[..<index] + (index == state.segments.count - 1 ? [] : [state.segments[index]])
        for segment in gone { try Files.remove(segment.path) }
        state.segments.removeFirst(gone.count)
        try step(.dropping)
        return bytes
    }

    /// Ends the oldest part of a live file without a copy: its name is an empty segment's.
    private mutating func expire(_ stream: Stream, _ live: borrowing SparseFile, _ state: inout Known, upTo: Int64, _ nowUnixSeconds: Int64) throws {
        guard canPunch != false, upTo > state.end else { return }
        let to = try lineEnd(live, from: state.end, upTo: upTo)
        while try dropOldest(&state) > 0 {}
        let marker = LogSegment(of: stream.path, unixSeconds: nowUnixSeconds, generation: state.generation, range: state.end..<to, isEmpty: true)
        try Files.touch(marker.path)
        try step(.named)
        for segment in state.segments { try Files.remove(segment.path) }
        state.segments = [marker]
        state.end = to
        state.isReleased = false
        known[stream.path] = state
        try release(live, &state, from: marker.range.lowerBound)
    }

    // MARK: Room

    private static func directory(_ stream: Stream) -> String { String(stream.path[..<(stream.path.lastIndex(of: "/") ?? stream.path.startIndex)]) }

    /// Left alone by rotation, for what else writes there.
    private static func reserve(_ directory: String) throws -> Int64 { min(64 << 20, Int64(clamping: try Files.totalBytes(directory)) / 20) }

    private func room(_ stream: Stream) throws -> Int64 {
        let directory = Self.directory(stream)
        return Int64(clamping: try Files.freeBytes(directory)) - (try Self.reserve(directory))
    }

    /// Asked once, of a file that is nobody's.
    private mutating func canPunchHoles(_ stream: Stream, _ outcome: inout Outcome) -> Bool {
        if canPunch == nil {
            let probe = Self.directory(stream) + "/.holes"
            do {
                try Files.remove(probe)
                let file = try SparseFile(creating: probe, mode: 0o600)
                try Files.remove(probe)
                try file.write([UInt8](repeating: 1, count: Int(2 * Self.block)), at: 0)
                try file.punch(0..<Self.block)
                canPunch = true
            } catch  where error.errno == EOPNOTSUPP || error.errno == ENOSYS {
                canPunch = false
            } catch {
                outcome.warnings.append("logs are not rotated: \(error)")
                return false
            }
        }
        if canPunch == false {
            let text = "the filesystem of \(Self.directory(stream)) can't give parts of files back: logs there are not rotated and only grow"
            if !outcome.warnings.contains(text) { outcome.warnings.append(text) }
        }
        return canPunch == true
    }

    /// On a full disk that the logs themselves fill: the oldest segments of all go first, then the older half of live files.
    private mutating func makeRoom(_ streams: [Stream], _ outcome: inout Outcome) throws {
        guard let first = streams.first, canPunch != false else { return }
        let directory = Self.directory(first)
        let reserve = try Self.reserve(directory)
        let free = Int64(clamping: try Files.freeBytes(directory))
        if free < 2 * reserve { outcome.next = min(outcome.next, Self.lookSoon) }
        let ours = known.values.reduce(0) { $0 + $1.bytes + $1.allocated }
        guard free < reserve, ours > Int64(clamping: try Files.totalBytes(directory)) / 4 else { return }
        // What is given back may show in the filesystem's figures only seconds later: counted here instead.
        var wanted = reserve - free
        var lost: [String: Int64] = [:]
        func oldest() -> String? {
            known.filter { $0.value.bytes > 0 && $0.value.isReleased }
                .min { ($0.value.segments.first { !$0.isEmpty }?.unixSeconds ?? 0) < ($1.value.segments.first { !$0.isEmpty }?.unixSeconds ?? 0) }?.key
        }
        while wanted > 0, let path = oldest(), var state = known[path] {
            let bytes = try dropOldest(&state)
            known[path] = state
            lost[path, default: 0] += bytes
            wanted -= bytes
        }
        let least = min(1 << 20, reserve)
        while wanted > 0 {
            let largest = streams.max { live(of: $0) < live(of: $1) }
            guard let stream = largest, live(of: stream) >= least, var state = known[stream.path],
                let file = try SparseFile(existing: stream.path, writable: true), canPunchHoles(stream, &outcome)
            else { break }
            let about = try file.about()
            guard about.inode == state.inode, about.device == state.device, about.size >= state.seen else { break }
            let before = state.end
            try expire(stream, file, &state, upTo: before + (state.seen - before) / 2, Int64(Clock.unixMicroseconds() / 1_000_000))
            known[stream.path] = state
            guard state.end > before else { break }
            lost[stream.path, default: 0] += state.end - before
            wanted -= state.end - before
        }
        for (path, bytes) in lost {
            let when = Clock.rfc3339(unixMicroseconds: Clock.unixMicroseconds()).prefix(19)
            let text = "\(bytes >> 10) KiB of the oldest lines of \(path) were given up at \(when)Z: the disk is full"
            outcome.losses.append(text)
            lossTexts[path] = text
        }
    }

    private func live(of stream: Stream) -> Int64 { known[stream.path].map { $0.seen - $0.end } ?? 0 }
}
