/// The identity of this installation of the system (machine-id(5)).
package enum MachineID {
    private static let cached: String = {
        guard let bytes = try? Files.read("/etc/machine-id", limit: 64) else { return "" }
        return String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self)
    }()

    /// 32 characters; empty where it can't be read, as in some containers. A cloned host may have the same.
    package static func read() -> String { cached }
}
