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
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count,
                let value = UInt8(String(decoding: bytes[(at + 1)...(at + 2)], as: UTF8.self), radix: 16)
            {
                out.append(value)
                at += 3
            } else {
                out.append(bytes[at] == UInt8(ascii: "+") ? 32 : bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
