internal import FleetCore
internal import LinuxHost

/// When the bytes of a live log were received, for lines that bear no time stamp of their own.
///
/// Nothing stands between a worker and its file, so that nobody sees each line arrive: the agent looks once a second, and a log that
/// has grown gets a mark, its size and when it was last written to. A line was received by the first mark behind its beginning, up to
/// a second before it; up to the whole time where no agent ran in between.
///
/// The marks stand beside the live file, `feed.out.received`, and are of that file alone: one that replaces it, or is cut, begins anew.
/// Blocking.
struct LogReceipts: Equatable, Sendable {
    struct Mark: Equatable, Sendable {
        /// Everything before it had been written by then.
        var offset: Int64
        var unixMicroseconds: Int64
    }

    /// 512 KiB on the disk. Past it every second one of the older half goes: what is older is told less exactly.
    static let marksMax = 32_768
    /// Of one mark, and of the head, which names the live file.
    private static let markBytes = 16

    private let path: String
    private let live: String
    private(set) var marks: [Mark] = []
    private var device: UInt64 = 0
    private var inode: UInt64 = 0
    /// False: the last mark could not be written, a full disk perhaps. The next look writes all of them anew.
    private var isKept = true

    /// What stands beside the live file; what is unreadable or half written counts as not there.
    init(of live: String) {
        self.live = live
        path = live + ".received"
        let bytes: [UInt8]
        do { bytes = try Files.readIfPresent(path, limit: (Self.marksMax + 1) * Self.markBytes) ?? [] } catch { bytes = [] }
        let words = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
        guard words.count >= 2 else { return }
        (device, inode) = (words[0], words[1])
        for index in stride(from: 2, to: words.count - 1, by: 2) {
            let mark = Mark(offset: Int64(clamping: words[index]), unixMicroseconds: Int64(clamping: words[index + 1]))
            guard mark.offset > marks.last?.offset ?? 0 else { break }
            marks.append(mark)
        }
    }

    /// Microseconds since 1970; nil: nothing is known of these bytes.
    func time(at offset: Int64) -> UInt64? {
        var (low, high) = (0, marks.count)
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].offset > offset { high = middle } else { low = middle + 1 }
        }
        return low < marks.count ? UInt64(max(0, marks[low].unixMicroseconds)) : nil
    }

    /// Marks what has been written since. What can't be kept on the disk is known until the agent ends.
    mutating func look() throws(LinuxError) {
        guard let about = try FileStatus.read(live), about.kind == .file else { return }
        let isOther = about.device != device || about.inode != inode || about.size < marks.last?.offset ?? 0
        guard take(device: about.device, inode: about.inode, Mark(offset: about.size, unixMicroseconds: about.modified / 1_000)) else { return }
        let isFull = marks.count > Self.marksMax
        if isFull {
            let half = marks.count / 2
            marks = marks[..<half].enumerated().filter { $0.offset % 2 == 1 }.map(\.element) + marks[half...]
        }
        let isWhole = isKept && !isOther && !isFull
        isKept = false
        if isWhole, let last = marks.last, let file = try SparseFile(existing: path, writable: true) {
            try file.write(bytes(last), at: Int64(marks.count * Self.markBytes))
        } else {
            try Files.writeAtomically(path, bytes(device, inode) + marks.flatMap(bytes), sync: false)
        }
        isKept = true
    }

    /// The live file as a reader finds it, which may be ahead of the last look; kept in this value alone.
    mutating func read(_ about: SparseFile.About) {
        _ = take(device: about.device, inode: about.inode, Mark(offset: about.size, unixMicroseconds: about.modifiedUnixMicroseconds))
    }

    /// False: nothing was written since the last mark.
    private mutating func take(device: UInt64, inode: UInt64, _ mark: Mark) -> Bool {
        if device != self.device || inode != self.inode || mark.offset < marks.last?.offset ?? 0 {
            (self.device, self.inode, marks) = (device, inode, [])
        }
        guard mark.offset > marks.last?.offset ?? 0 else { return false }
        marks.append(mark)
        return true
    }

    private func bytes(_ mark: Mark) -> [UInt8] { bytes(UInt64(max(0, mark.offset)), UInt64(max(0, mark.unixMicroseconds))) }

    private func bytes(_ first: UInt64, _ second: UInt64) -> [UInt8] {
        withUnsafeBytes(of: (first.littleEndian, second.littleEndian)) { Array($0) }
    }
}
