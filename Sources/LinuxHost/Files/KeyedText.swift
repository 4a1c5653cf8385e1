/// The text files of the run directory: `key=value` a line, values with %XX for control characters and %.
struct KeyedText {
    private(set) var values: [String: String] = [:]

    init(_ bytes: [UInt8]) {
        for line in bytes.split(separator: 10) {
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { continue }
            let key = String(decoding: line[..<equals], as: UTF8.self)
            values[key] = PercentEncoding.decoded(line[line.index(after: equals)...])
        }
    }

    subscript(key: String) -> String? { values[key] }

    func number<Number: FixedWidthInteger>(_ key: String) -> Number? { values[key].flatMap { Number($0) } }
}
