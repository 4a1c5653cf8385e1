/// A JSON value (RFC 8259), parsed and printed without Foundation. Numbers keep their text, objects their order.
package indirect enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The number's own text, a valid JSON number.
    case number(String)
    case string(String)
    case array([JSON])
    case object([Member])

    package struct Member: Equatable, Sendable {
        package var key: String
        package var value: JSON

        package init(_ key: String, _ value: JSON) {
            self.key = key
            self.value = value
        }
    }

    package struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
        /// In bytes from the start.
        package let offset: Int
        package let what: String
        package var description: String { "not JSON at byte \(offset): \(what)" }
    }

    /// Nesting deeper than this is refused: the parser recurses.
    package static let depthLimit = 64

    package static func int(_ value: some BinaryInteger) -> JSON { .number("\(value)") }

    /// Parses one value with nothing but white space around it. A repeated key is an error.
    package static func parse(_ bytes: some Sequence<UInt8>) throws(ParseError) -> JSON {
        var parser = JSONParser(bytes: Array(bytes))
        return try parser.document()
    }

    package static func parse(_ text: String) throws(ParseError) -> JSON { try parse(text.utf8) }

    /// The member of an object; nil for another kind of value or a missing key. Keys are compared byte by byte, as
    /// RFC 8259, section 8.3 has it, not by what Unicode calls equivalent.
    package subscript(_ key: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }

    /// The value a JSON pointer names (RFC 6901); nil where there is none.
    package func at(pointer: String) -> JSON? {
        if pointer.isEmpty { return self }
        guard pointer.unicodeScalars.first == "/" else { return nil }
        var value = self
        for token in pointer.unicodeScalars.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            let name = Self.unescapedPointerToken(Substring(token))
            switch value {
            case .object:
                guard let next = value[name] else { return nil }
                value = next
            case .array(let items):
                guard let index = Int(name), items.indices.contains(index), name == "\(index)" else { return nil }
                value = items[index]
            default: return nil
            }
        }
        return value
    }

    package var stringValue: String? { if case .string(let text) = self { text } else { nil } }
    package var intValue: Int64? { if case .number(let text) = self { Int64(text) } else { nil } }
    package var uintValue: UInt64? { if case .number(let text) = self { UInt64(text) } else { nil } }
    package var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var members: [Member]? { if case .object(let members) = self { members } else { nil } }
    package var items: [JSON]? { if case .array(let items) = self { items } else { nil } }

    /// The compact text, without any white space.
    package var text: String {
        var out: [UInt8] = []
        write(to: &out)
        return String(decoding: out, as: UTF8.self)
    }

    /// Appends the compact text in UTF-8.
    package func write(to out: inout [UInt8]) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .number(let text): out += text.utf8
        case .string(let text): Self.writeString(text, to: &out)
        case .array(let items):
            out.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                item.write(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let members):
            out.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                Self.writeString(member.key, to: &out)
                out.append(UInt8(ascii: ":"))
                member.value.write(to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func writeString(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): out += #"\""#.utf8
            case UInt8(ascii: "\\"): out += #"\\"#.utf8
            case 10: out += #"\n"#.utf8
            case 13: out += #"\r"#.utf8
            case 9: out += #"\t"#.utf8
            case 0..<32, 127:
                let digits = Array("0123456789abcdef".utf8)
                out += #"\u00"#.utf8
                out.append(digits[Int(byte >> 4)])
                out.append(digits[Int(byte & 15)])
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    private static func unescapedPointerToken(_ token: Substring) -> String {
        var out = String.UnicodeScalarView()
        var escaped = false
        for scalar in token.unicodeScalars {
            if escaped {
                out.append(scalar == "1" ? "/" : scalar == "0" ? "~" : scalar)
                escaped = false
            } else if scalar == "~" {
                escaped = true
            } else {
                out.append(scalar)
            }
        }
        return String(out)
    }
}
