internal import FleetCore
internal import LinuxHost

/// When the bytes of a live log were received, for lines that bear no time stamp of their own.
///
/// Nothing stands between a worker and its file, so that nobody sees each line arrive: `LogReceiptMarker` looks once a second, and a
/// log that has grown gets a mark: its size, when it was last written to, and when it had not grown yet. A line was received in
/// between: within a second as a rule, further where no agent ran or where old marks were thinned out.
struct LogReceipts: Equatable, Sendable {
    struct Mark: Equatable, Sendable {
        /// Everything before it had been written by `latest`, and what lies between the mark before and it not before `earliest`, both in
        /// microseconds since 1970.
        var offset: Int64
        var earliest: Int64
        var latest: Int64
    }

    /// When some bytes were received, in microseconds since 1970.
    struct Receipt: Equatable, Sendable {
        /// Not before; 0: that is not known.
        var earliest: UInt64
        /// Not after. What is shown.
        var latest: UInt64
    }

    /// 480 KB on the disk. Past it every second one of the older half goes.
    static let marksMax = 20_000
    /// Of each mark in the file, three 64-bit words, and of its head: the live file's device and inode, and a zero.
    static let markBytes = 24

    fileprivate(set) var marks: [Mark] = []
    fileprivate(set) var device: UInt64 = 0
    fileprivate(set) var inode: UInt64 = 0

    static func path(of live: String) -> String { live + ".received" }

    /// What stands beside the live file; what is unreadable or half written counts as not there.
    init(of live: String) {
        let bytes: [UInt8]
        do { bytes = try Files.readIfPresent(Self.path(of: live), limit: (Self.marksMax + 2) * Self.markBytes) ?? [] } catch { bytes = [] }
        let words = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        guard words.count >= 3 else { return }
        (device, inode) = (words[0], words[1])
        for index in stride(from: 3, to: words.count - 2, by: 3) {
            let mark = Mark(
                offset: Int64(clamping: words[index]), earliest: Int64(clamping: words[index + 1]), latest: Int64(clamping: words[index + 2]))
            guard mark.offset > marks.last?.offset ?? 0 else { break }
            marks.append(mark)
        }
    }

    /// Nil: nothing is known of these bytes.
    func receipt(at offset: Int64) -> Receipt? {
        var (low, high) = (0, marks.count)
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].offset > offset { high = middle } else { low = middle + 1 }
        }
        guard low < marks.count else { return nil }
        return Receipt(earliest: UInt64(max(0, marks[low].earliest)), latest: UInt64(max(0, marks[low].latest)))
    }

    /// Takes in the live file as it is found, which may be ahead of the last mark. `earliest`: when it had not grown yet; nil: as far as
    /// the last mark tells.
    mutating func extend(to about: SparseFile.About, notBefore earliest: Int64? = nil) {
        if !about.isStill(device, inode, after: marks.last) { (device, inode, marks) = (about.device, about.inode, []) }
        guard about.size > marks.last?.offset ?? 0 else { return }
        marks.append(Mark(of: about, after: marks.last, notBefore: earliest))
    }

    /// Every second one of the older half goes: what is older is told less exactly.
    fileprivate mutating func thin() {
        let half = marks.count / 2
        let thinned = (0..<half / 2).map { pair in
            Mark(offset: marks[2 * pair + 1].offset, earliest: marks[2 * pair].earliest, latest: marks[2 * pair + 1].latest)
        }
        marks = thinned + marks[(half / 2 * 2)...]
    }

    fileprivate var bytes: [UInt8] { Self.bytes(device, inode, 0) + marks.flatMap(Self.bytes) }

    fileprivate static func bytes(_ mark: Mark) -> [UInt8] {
        bytes(UInt64(max(0, mark.offset)), UInt64(max(0, mark.earliest)), UInt64(max(0, mark.latest)))
    }

    private static func bytes(_ first: UInt64, _ second: UInt64, _ third: UInt64) -> [UInt8] {
        withUnsafeBytes(of: (first.littleEndian, second.littleEndian, third.littleEndian)) { Array($0) }
    }
}

extension LogReceipts.Mark {
    /// `earliest`: when the log had not grown yet; nil: as far as `last`, the mark before, tells.
    fileprivate init(of about: SparseFile.About, after last: Self?, notBefore earliest: Int64?) {
        let latest = about.modifiedUnixMicroseconds
        self.init(offset: about.size, earliest: min(earliest ?? last?.latest ?? 0, latest), latest: latest)
    }
}

extension SparseFile.About {
    /// Whether it is of the live log that `last`, its last mark, was made of: not replaced since, and not cut.
    fileprivate func isStill(_ device: UInt64, _ inode: UInt64, after last: LogReceipts.Mark?) -> Bool {
        self.device == device && self.inode == inode && size >= last?.offset ?? 0
    }
}

/// Writes the marks of one live log. Keeps the last mark alone in memory. Blocking.
struct LogReceiptMarker: Sendable {
    private let live: String
    private let path: String
    private var device: UInt64
    private var inode: UInt64
    private var count: Int
    private var last: LogReceipts.Mark?
    /// When it was looked at last, in microseconds since 1970; nil: not yet by this agent.
    private var lookedAt: Int64?
    /// False: the last mark could not be written, a full disk perhaps. The next look writes it.
    private var isKept = true

    init(of live: String) {
        self.live = live
        path = LogReceipts.path(of: live)
        let kept = LogReceipts(of: live)
        (device, inode, count, last) = (kept.device, kept.inode, kept.marks.count, kept.marks.last)
    }

    /// Marks what has been written since the last look. A live file that was replaced or cut begins anew.
    ///
    /// `now` in microseconds since 1970.
    mutating func look(at now: Int64) throws(LinuxError) {
        let before = lookedAt
        lookedAt = now
        guard let found = try FileStatus.read(live), found.kind == .file else { return }
        let about = SparseFile.About(
            device: found.device, inode: found.inode, size: found.size, allocated: found.allocated, modifiedUnixMicroseconds: found.modified / 1_000)
        let isOther = !about.isStill(device, inode, after: last)
        guard about.size > last?.offset ?? 0 || isOther || !isKept else { return }
        let append = isKept && !isOther && count < LogReceipts.marksMax
        isKept = false
        if append, let file = try SparseFile(existing: path, writable: true) {
            let mark = LogReceipts.Mark(of: about, after: last, notBefore: before)
            try file.write(LogReceipts.bytes(mark), at: Int64((count + 1) * LogReceipts.markBytes))
            (count, last) = (count + 1, mark)
        } else {
            var all = LogReceipts(of: live)
            all.extend(to: about, notBefore: isOther ? before : nil)
            if all.marks.count > LogReceipts.marksMax { all.thin() }
            try Files.writeAtomically(path, all.bytes, sync: false)
            (device, inode, count, last) = (about.device, about.inode, all.marks.count, all.marks.last)
        }
        isKept = true
    }
}
