import Glibc
import LinuxHost

/// Blocks allocated ahead, which take lines of the same chain while the journal's own file can't grow.
///
/// Lines stand at the start, NULs after them. Owned by the journal's thread; not Sendable.
final class JournalReserve {
    /// Some 800 records: an emergency stop of one host and what follows it, several times over.
    static let size = 256 << 10

    private let file: JournalFile
    private var used = 0

    /// Opens or makes `path`, allocates its blocks, and hands out the bytes of lines that an earlier process left there.
    static func open(_ path: String) throws(LinuxError) -> (reserve: JournalReserve, left: [UInt8]) {
        let file = try JournalFile(path: path)
        try file.reserve(size)
        let left = try file.read(at: 0, count: size).prefix { $0 != 0 }
        return (JournalReserve(file), Array(left))
    }

    private init(_ file: JournalFile) { self.file = file }

    /// Keeps the lines, synced; ENOSPC when they don't fit.
    func append(_ lines: [UInt8]) throws(LinuxError) {
        // The last byte stays NUL.
        guard used + lines.count < Self.size else { throw LinuxError("write", file.path, errno: ENOSPC) }
        try file.write(lines, at: used)
        try file.sync()
        used += lines.count
    }

    /// Says that the lines handed out by `open` stay for now.
    func keep(_ count: Int) { used = count }

    /// Once its lines stand in the journal.
    ///
    /// Should it fail, they are found again and recognised by their numbers.
    func clear() throws(LinuxError) {
        try file.write([UInt8](repeating: 0, count: Self.size), at: 0)
        try file.sync()
        used = 0
    }
}
