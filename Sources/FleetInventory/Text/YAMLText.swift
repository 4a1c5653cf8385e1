/// Writes YAML that a person reads and YAML's guessing can't misread: what isn't plainly a word is quoted.
struct YAMLText {
    private(set) var text = ""
    private var depth = 0

    mutating func line(_ line: String) { text += String(repeating: "  ", count: depth) + line + "\n" }

    mutating func indented(_ body: (inout YAMLText) -> Void) {
        depth += 1
        body(&self)
        depth -= 1
    }

    /// Nothing for nil.
    mutating func pair(_ key: String, _ value: String?) {
        guard let value else { return }
        line("\(Self.scalar(key)): \(Self.scalar(value))")
    }

    /// Nothing for an empty list.
    mutating func list(_ key: String, _ items: [String]) {
        if items.isEmpty { return }
        line("\(key): [\(items.map { Self.scalar($0) }.joined(separator: ", "))]")
    }

    /// Nothing for an empty map; sorted by key.
    mutating func map(_ key: String, _ values: [String: String]) {
        if values.isEmpty { return }
        line("\(key):")
        indented { yaml in
            for (key, value) in values.sorted(by: { $0.key < $1.key }) { yaml.pair(key, value) }
        }
    }

    /// `key: {a: 1, b: 2}` of what is there; nothing when nothing is.
    mutating func flow(_ key: String, _ values: [(String, String?)]) {
        let parts = values.compactMap { key, value in value.map { "\(Self.scalar(key)): \(Self.scalar($0))" } }
        if !parts.isEmpty { line("\(key): {\(parts.joined(separator: ", "))}") }
    }

    /// Plain where it is a word, a path, a duration or a number; else in double quotes, with JSON's escapes.
    static func scalar(_ text: String) -> String {
        func safe(_ byte: UInt8, first: Bool) -> Bool {
            switch byte {
            case 48...57, 65...90, 97...122, 95, 46, 47: true  // digits, letters, _ . /
            case 36, 43, 61, 64, 45: !first || byte == 36  // $, and + = @ - past the first place
            default: false
            }
        }
        let guessed = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(text.lowercased())
        let plain = !text.isEmpty && text.utf8.enumerated().allSatisfy { safe($0.element, first: $0.offset == 0) }
        let negative = text.utf8.count > 1 && text.first == "-" && text.utf8.dropFirst().allSatisfy { (48...57).contains($0) }
        return (plain && !guessed) || negative ? text : quoted(text)
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case _ where scalar.value < 32 || scalar.value == 127:
                let hex = String(scalar.value, radix: 16)
                out += "\\x" + String(repeating: "0", count: 2 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
