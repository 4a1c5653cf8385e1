internal import LinuxHost

/// The part of a URL behind its question mark: `service=a&service=b&lines=10`.
struct QueryItems {
    private var items: [(key: String, value: String)] = []

    init(_ text: String) {
        for pair in text.split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            items.append((Self.decode(sides[0]), sides.count > 1 ? Self.decode(sides[1]) : ""))
        }
    }

    func first(_ key: String) -> String? { items.first { $0.key == key }?.value }

    func all(_ key: String) -> [String] { items.filter { $0.key == key }.map(\.value) }

    /// %XX and + (application/x-www-form-urlencoded); a % without two digits stays.
    private static func decode(_ text: Substring) -> String {
        PercentEncoding.decoded(text.utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 })
    }
}
