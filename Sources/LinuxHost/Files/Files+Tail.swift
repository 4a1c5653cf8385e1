internal import Glibc

extension Files {
    /// The last `count` lines without their newlines, oldest first; a last line without a newline is one too.
    ///
    /// Reads backwards from the end, at most `limit` bytes: a line that begins before that is left out.
    package static func lastLines(_ path: String, count: Int, limit: Int) throws(LinuxError) -> [[UInt8]] {
        guard count > 0 else { return [] }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .last("open", path) }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size >= 0 else { throw .last("seek in", path) }
        var start = size
        var bytes: [UInt8] = []
        // One newline more than lines wanted: the one before the first of them.
        while start > 0, size - start < limit, bytes.count(where: { $0 == UInt8(ascii: "\n") }) <= count {
            let length = min(start, 64 << 10)
            start -= length
            var chunk = [UInt8](repeating: 0, count: length)
            let got = uninterrupted { pread(descriptor, &chunk, length, off_t(start)) }
            if got < 0 { throw .last("read", path) }
            bytes = chunk[..<got] + bytes
        }
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Array($0) }
        if lines.last?.isEmpty == true { lines.removeLast() }
        if start > 0, !lines.isEmpty { lines.removeFirst() }
        return Array(lines.suffix(count))
    }
}
