import FleetTrust

/// One line of a journal: 64 hexadecimal digits of SHA-256(hash before, 32 bytes + payload), a space, the payload, a newline.
///
/// The hash covers the payload's exact bytes. The hash before the first line is 32 zero bytes.
struct JournalLine {
    /// Payloads above this are refused when written, and lines above it when read.
    static let payloadMax = 1 << 20
    static let overhead = 66

    var hash: [UInt8]
    var payload: [UInt8]

    static let zeroHash = [UInt8](repeating: 0, count: 32)

    init(payload: [UInt8], after previous: [UInt8]) {
        self.payload = payload
        self.hash = Self.chained(payload, after: previous)
    }

    /// nil for anything but the form of a line, given without its newline.
    ///
    /// Whether the hash is right is another question.
    init?(_ bytes: some RandomAccessCollection<UInt8>) {
        guard bytes.count > 65, bytes.count < Self.payloadMax + Self.overhead, bytes[bytes.index(bytes.startIndex, offsetBy: 64)] == 32
        else { return nil }
        let digits = String(decoding: bytes.prefix(64), as: UTF8.self)
        // Upper-case digits would be another spelling of the same hash: every byte of a line counts.
        guard !digits.utf8.contains(where: { (65...70).contains($0) }), let hash = Digest.bytes(hex: digits) else { return nil }
        self.hash = hash
        self.payload = Array(bytes.dropFirst(65))
    }

    var bytes: [UInt8] { Array(Digest.hex(hash).utf8) + [32] + payload + [10] }

    static func chained(_ payload: [UInt8], after previous: [UInt8]) -> [UInt8] { Digest.sha256(previous + payload) }
}
