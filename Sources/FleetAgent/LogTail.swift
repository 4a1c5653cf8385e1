internal import Glibc
internal import LinuxHost

/// One log file and how far it has been read.
///
/// Blocking: for the files thread.
struct LogTail: Sendable {
    let service: String
    let path: String
    let isError: Bool
    private var offset: Int64 = 0
    /// A line that has begun and not ended yet.
    private var partial: [UInt8] = []

    /// A longer line is cut into pieces.
    private static let lineBytesMax = 16 << 10
    /// How far back the last lines are looked for.
    private static let backBytesMax: Int64 = 1 << 20
    /// Growth read in one go: five times a second this is 1.25 MiB/s per file.
    private static let growthBytesMax = 256 << 10

    init(service: String, path: String, isError: Bool) {
        self.service = service
        self.path = path
        self.isError = isError
    }

    /// The last lines as they stand now; what follows is growth.
    ///
    /// A file that isn't there has none yet.
    mutating func last(_ count: Int) -> [LogService.Line] {
        guard let size = Files.regularSize(path) else { return [] }
        offset = max(0, size - Self.backBytesMax)
        let fromStart = offset == 0
        var lines = read(Int(size - offset))
        // The first piece of a long file begins in mid-line.
        if !fromStart, lines.count > 1 { lines.removeFirst() }
        return Array(lines.suffix(count))
    }

    /// What was added since; from the start when the file was cut or replaced by a shorter one.
    mutating func growth() -> [LogService.Line] {
        guard let size = Files.regularSize(path) else { return [] }
        if size < offset {
            offset = 0
            partial = []
        }
        guard size > offset else { return [] }
        return read(min(Int(size - offset), Self.growthBytesMax))
    }

    private mutating func read(_ count: Int) -> [LogService.Line] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        let got = pread(descriptor, &bytes, count, Int(offset))
        guard got > 0 else { return [] }
        offset += Int64(got)
        var lines: [LogService.Line] = []
        for byte in bytes[..<got] {
            if byte != UInt8(ascii: "\n") { partial.append(byte) }
            if byte == UInt8(ascii: "\n") || partial.count >= Self.lineBytesMax {
                lines.append(LogService.Line(service: service, text: partial, isError: isError))
                partial.removeAll(keepingCapacity: true)
            }
        }
        return lines
    }
}
