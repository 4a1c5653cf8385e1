internal import FleetJournal
internal import FleetWire
internal import Glibc
internal import LinuxHost

/// Raw lines of the journal for those who ask.
///
/// Blocking: for the files thread.
///
/// A record's sequence is its line's number: the chain has no gaps.
enum AuditPages {
    /// What one answer holds at most, so that it stays far below a frame.
    ///
    /// Whoever wants more asks again from the next sequence.
    static let linesMax = 1_000
    private static let bytesMax = 1 << 20
    private static let chunk = 1 << 18

    static func wire(_ lines: [[UInt8]]) -> [String] { lines.map { String(decoding: $0, as: UTF8.self) } }

    /// `limit` 0: as many as fit.
    static func read(_ path: String, from sequence: UInt64, limit: Int) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var bytes = 0
        let count = limit > 0 ? min(limit, linesMax) : linesMax
        each(path) { number, line in
            guard number >= sequence else { return true }
            guard lines.count < count, bytes + line.count <= bytesMax else { return false }
            lines.append(Array(line))
            bytes += line.count
            return true
        }
        return lines
    }

    /// The last lines, oldest first; `limit` 0: as many as fit.
    static func last(_ path: String, _ limit: Int) -> [[UInt8]] {
        let count = limit > 0 ? min(limit, linesMax) : linesMax
        var lines: [[UInt8]] = []
        each(path) { _, line in
            lines.append(Array(line))
            if lines.count >= 2 * count { lines.removeFirst(lines.count - count) }
            return true
        }
        var bytes = 0
        return Array(
            lines.suffix(count).reversed().prefix { line in
                bytes += line.count
                return bytes <= bytesMax
            }.reversed())
    }

    /// Calls with each whole line, without its newline, and its number from 1, until told to stop.
    ///
    /// A file that can't be read has no lines: that it can't be written is reported elsewhere.
    private static func each(_ path: String, _ body: (UInt64, ArraySlice<UInt8>) -> Bool) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var buffer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: chunk)
        var number: UInt64 = 0
        while true {
            let got = Glibc.read(descriptor, &chunk, chunk.count)
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return }
            buffer += chunk[..<got]
            var at = 0
            while let newline = buffer[at...].firstIndex(of: 10) {
                number += 1
                guard body(number, buffer[at..<newline]) else { return }
                at = newline + 1
            }
            buffer.removeFirst(at)
        }
    }
}

extension AuditPages {
    /// A line of one worker as people read it; nil for any other line.
    static func words(_ line: [UInt8], of worker: String) -> String? {
        guard line.count > 65 else { return nil }
        do {
            let record = try AuditRecord(json: line.dropFirst(65))
            return record.worker == worker ? AuditText.line(record) : nil
        } catch {
            return nil
        }
    }
}
