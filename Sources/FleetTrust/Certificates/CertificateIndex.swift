/// What a certificate authority has issued: one line each, for people and for `revoke`.
struct CertificateIndex {
    struct Entry: Equatable {
        let serialHex: String
        /// Seconds since 1970; nil while it isn't revoked.
        var revokedUnix: Int64?
        let notAfterUnix: Int64
        /// As in its files: `agent-md-1`.
        let fileName: String
        let fingerprint: String
    }

    private(set) var entries: [Entry] = []

    init() {}

    /// `object` names the file in errors.
    init(bytes: [UInt8], object: String) throws(TrustError) {
        for (index, line) in String(decoding: bytes, as: UTF8.self).split(separator: "\n").enumerated() {
            let parts = line.split(separator: " ")
            guard parts.count == 5, let notAfter = Int64(parts[2]), let revoked = Self.revoked(parts[1]) else {
                throw TrustError(
                    "read", object, "line \(index + 1) isn't `serial valid|revoked:SECONDS notAfter name fingerprint`",
                    advice: "restore it from a backup: without it a certificate can't be revoked by name")
            }
            entries.append(
                Entry(
                    serialHex: String(parts[0]), revokedUnix: revoked.seconds, notAfterUnix: notAfter,
                    fileName: String(parts[3]), fingerprint: String(parts[4])))
        }
    }

    var bytes: [UInt8] {
        Array(
            entries.map { entry in
                let state = entry.revokedUnix.map { "revoked:\($0)" } ?? "valid"
                return "\(entry.serialHex) \(state) \(entry.notAfterUnix) \(entry.fileName) \(entry.fingerprint)\n"
            }.joined().utf8)
    }

    mutating func append(_ entry: Entry) { entries.append(entry) }

    /// Marks every certificate of that file name; the number that wasn't revoked before.
    mutating func revoke(fileName: String, atUnix: Int64) -> Int {
        var count = 0
        for index in entries.indices where entries[index].fileName == fileName && entries[index].revokedUnix == nil {
            entries[index].revokedUnix = atUnix
            count += 1
        }
        return count
    }

    private static func revoked(_ text: Substring) -> (seconds: Int64?, Void)? {
        if text == "valid" { return (nil, ()) }
        guard text.hasPrefix("revoked:"), let seconds = Int64(text.dropFirst("revoked:".count)) else { return nil }
        return (seconds, ())
    }
}
