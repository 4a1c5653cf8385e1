internal import LinuxHost

/// The highest epoch seen of each coordinator's store, as agents from before pins kept it; read once, never written.
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
}
