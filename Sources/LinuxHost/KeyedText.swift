/// The text files of the run directory: `key=value` a line, values with %XX for control characters and %.
struct KeyedText {
    private(set) var values: [String: String] = [:]

    init(_ bytes: [UInt8]) {
        for line in bytes.split(separator: 10) {
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let key = String(decoding: line[..<equals], as: UTF8.self)
            values[key] = Self.unescape(line[line.index(after: equals)...])
        }
    }

    subscript(key: String) -> String? { values[key] }

    func number<Number: FixedWidthInteger>(_ key: String) -> Number? { values[key].flatMap { Number($0) } }

    /// A % without two hexadecimal digits stays as it is.
    static func unescape(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        let bytes = Array(bytes)
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = digit(bytes[at + 1]), let low = digit(bytes[at + 2]) {
                out.append(high << 4 | low)
                at += 3
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}
