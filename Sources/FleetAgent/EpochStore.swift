internal import LinuxHost

/// The highest epoch seen of each coordinator's store, kept so that an older one is refused after a restart too.
///
/// One `store_id epoch` a line.
enum EpochStore {
    private static let bytesMax = 64 << 10

    static func load(_ path: String) throws -> [String: UInt64] {
        guard let bytes = try Files.readIfPresent(path, limit: bytesMax) else { return [:] }
        var epochs: [String: UInt64] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 2, let epoch = UInt64(words[1]) else { continue }
            epochs[String(words[0])] = epoch
        }
        return epochs
    }

    static func save(_ epochs: [String: UInt64], to path: String) throws {
        let text = epochs.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)\n" }.joined()
        try Files.writeAtomically(path, Array(text.utf8), mode: 0o600, sync: true)
    }
}
