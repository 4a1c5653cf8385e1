/// A recursive-descent parser of RFC 8259, strict: no comments, no trailing commas, no repeated keys, valid UTF-8 only.
struct JSONParser {
    let bytes: [UInt8]
    private var at = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSON.ParseError) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard at == bytes.count else { throw error("something follows the value") }
        return value
    }

    private mutating func value(depth: Int) throws(JSON.ParseError) -> JSON {
        guard depth <= JSON.depthLimit else { throw error("nested deeper than \(JSON.depthLimit)") }
        skipSpace()
        switch peek() {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case let byte? where byte == UInt8(ascii: "-") || Self.isDigit(byte): return .number(try number())
        case nil: throw error("the text ends where a value is expected")
        default: throw error("no value starts like this")
        }
    }

    private mutating func object(depth: Int) throws(JSON.ParseError) -> JSON {
        at += 1
        var members: [JSON.Member] = []
        var seen: Set<[UInt8]> = []
        skipSpace()
        if take(UInt8(ascii: "}")) { return .object([]) }
        while true {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw error("a key in quotes is expected") }
            let key = try string()
            guard seen.insert(Array(key.utf8)).inserted else { throw error("the key \"\(key)\" stands twice") }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw error("a colon is expected") }
            members.append(JSON.Member(key, try value(depth: depth + 1)))
            skipSpace()
            if take(UInt8(ascii: "}")) { return .object(members) }
            guard take(UInt8(ascii: ",")) else { throw error("a comma or } is expected") }
        }
    }

    private mutating func array(depth: Int) throws(JSON.ParseError) -> JSON {
        at += 1
        var items: [JSON] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .array([]) }
        while true {
            items.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return .array(items) }
            guard take(UInt8(ascii: ",")) else { throw error("a comma or ] is expected") }
        }
    }

    private mutating func string() throws(JSON.ParseError) -> String {
        at += 1
        var out: [UInt8] = []
        while let byte = peek() {
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: out, as: UTF8.self) else { throw error("the string is not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(into: &out)
            case 0..<32: throw error("a control character in a string")
            default: out.append(byte)
            }
        }
        throw error("the string does not end")
    }

    private mutating func escape(into out: inout [UInt8]) throws(JSON.ParseError) {
        guard let byte = peek() else { throw error("the string does not end") }
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(byte)
        case UInt8(ascii: "n"): out.append(10)
        case UInt8(ascii: "t"): out.append(9)
        case UInt8(ascii: "r"): out.append(13)
        case UInt8(ascii: "b"): out.append(8)
        case UInt8(ascii: "f"): out.append(12)
        case UInt8(ascii: "u"):
            var code = try fourHexDigits()
            if (0xD800..<0xDC00).contains(code), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
                let low = try fourHexDigits()
                guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            out += String(Character(scalar)).utf8
        default: throw error("no such escape")
        }
    }

    private mutating func fourHexDigits() throws(JSON.ParseError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits are expected")
            }
            at += 1
            code = code << 4 + UInt32(digit)
        }
        return code
    }

    private mutating func number() throws(JSON.ParseError) -> String {
        let start = at
        _ = take(UInt8(ascii: "-"))
        let whole = digits()
        guard whole > 0, whole == 1 || bytes[at - whole] != UInt8(ascii: "0") else { throw error("not a number") }
        if take(UInt8(ascii: ".")) { guard digits() > 0 else { throw error("digits are expected after the point") } }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            guard digits() > 0 else { throw error("digits are expected in the exponent") }
        }
        return String(decoding: bytes[start..<at], as: UTF8.self)
    }

    private mutating func digits() -> Int {
        let start = at
        while let byte = peek(), Self.isDigit(byte) { at += 1 }
        return at - start
    }

    private mutating func literal(_ text: String, _ value: JSON) throws(JSON.ParseError) -> JSON {
        guard bytes[at...].starts(with: text.utf8) else { throw error("no value starts like this") }
        at += text.utf8.count
        return value
    }

    private mutating func skipSpace() {
        while let byte = peek(), byte == 32 || byte == 9 || byte == 10 || byte == 13 { at += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        at += 1
        return true
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }

    private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

    private func error(_ what: String) -> JSON.ParseError { JSON.ParseError(offset: at, what: what) }
}
