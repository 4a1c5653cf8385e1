import TestSupport

/// Inputs that a peer might send: valid ones, changed. The same seed gives the same inputs.
struct Mutator {
    private var random: SplitMix64
    private let corpus: [[UInt8]]

    init(seed: UInt64, corpus: [[UInt8]]) {
        random = SplitMix64(seed: seed)
        self.corpus = corpus
    }

    mutating func next() -> UInt64 { random.next() }
    mutating func below(_ bound: Int) -> Int { random.below(bound) }
    mutating func chance(_ percent: Int) -> Bool { random.chance(percent) }

    mutating func seed() -> [UInt8] { corpus.isEmpty ? [] : corpus[below(corpus.count)] }

    // MARK: Extremes

    private static let numbers: [UInt64] = [
        0, 1, 2, 127, 128, 255, 65_535, 1 << 31 - 1, 1 << 31, 1 << 32 - 1, 1 << 53, 1 << 62, 1 << 63 - 1, 1 << 63, .max, .max - 1,
    ]

    private static let texts: [String] = [
        "", " ", "\0", "\n", "-1", "0", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616", "NaN", "inf",
        "-inf", "1e400", "0x10", "\u{1B}[2J", "\u{202E}", "../../../etc/passwd", "/dev/zero", "st-1", "ex-1", "strategy", "*", "%s%n", "{}", "[",
        "null", "true", String(repeating: "9", count: 400), String(repeating: "a", count: 300), String(repeating: "€", count: 5_000),
    ]

    private mutating func number() -> UInt64 { chance(70) ? Self.numbers[below(Self.numbers.count)] : next() }
    private mutating func text() -> [UInt8] { Array(Self.texts[below(Self.texts.count)].utf8) }

    // MARK: Bytes

    /// One to four changes of bytes, slices and lengths.
    mutating func bytes(_ input: [UInt8], bytesMax: Int = 1 << 16) -> [UInt8] {
        var input = input
        for _ in 0...below(4) {
            let at = below(input.count + 1)
            let end = min(input.count, at + below(32))
            switch below(9) {
            case 0 where at < input.count: input[at] ^= 1 << UInt8(below(8))
            case 1 where at < input.count: input[at] = UInt8(truncatingIfNeeded: number())
            case 2: input.removeSubrange(at..<end)
            case 3: input.insert(contentsOf: input[at..<end], at: at)
            case 4: input.insert(contentsOf: text(), at: at)
            case 5: input = Array(input[..<at])
            case 6:
                let other = seed()
                input = Array(input[..<at] + other[below(other.count + 1)...])
            case 7: input.insert(contentsOf: (0..<below(9)).map { _ in UInt8(truncatingIfNeeded: next()) }, at: at)
            default:
                for _ in 0..<below(64) where input.count < bytesMax { input.insert(contentsOf: input[at..<end], at: at) }
            }
        }
        return Array(input.prefix(bytesMax))
    }

    /// Text whose numbers go to extremes as often as its bytes change.
    mutating func text(_ input: [UInt8], bytesMax: Int = 1 << 16) -> [UInt8] {
        if chance(40) { return bytes(input, bytesMax: bytesMax) }
        var output: [UInt8] = []
        var digits: [UInt8] = []
        for byte in input + [0] {
            if (48...57).contains(byte) {
                digits.append(byte)
                continue
            }
            if !digits.isEmpty {
                output += chance(20) ? text() : digits
                digits = []
            }
            output.append(byte)
        }
        output.removeLast()
        return Array((chance(30) ? bytes(output) : output).prefix(bytesMax))
    }

    // MARK: Protobuf

    private struct Field {
        var number: UInt64
        var wireType: UInt64
        /// The number of types 0, 1 and 5, the bytes of type 2.
        var number64: UInt64 = 0
        var payload: [UInt8] = []
    }

    /// A message with one to three fields changed, at any depth: a number at an extreme, a text replaced, a field that comes
    /// again, goes, or is another's. Bytes that are no message are changed as bytes.
    mutating func message(_ input: [UInt8]) -> [UInt8] {
        if chance(10) { return bytes(input) }
        var output = input
        for _ in 0...below(3) { output = message(output, depth: 0) }
        return output
    }

    private mutating func message(_ input: [UInt8], depth: Int) -> [UInt8] {
        guard var fields = Self.fields(input), !fields.isEmpty else { return bytes(input) }
        let index = below(fields.count)
        switch below(20) {
        case 0: fields.remove(at: index)
        case 1:
            for _ in 0..<below(200) { fields.append(fields[index]) }
        case 2: fields.swapAt(index, below(fields.count))
        case 3: fields[index].number = UInt64(1 + below(30))
        case 4: fields.append(Field(number: UInt64(1 + below(30)), wireType: 0, number64: number()))
        case 5: fields.append(Field(number: UInt64(1 + below(30)), wireType: 2, payload: text()))
        default:
            if fields[index].wireType != 2 {
                fields[index].number64 = number()
            } else if depth < 6, Self.fields(fields[index].payload)?.isEmpty == false, chance(80) {
                fields[index].payload = message(fields[index].payload, depth: depth + 1)
            } else {
                fields[index].payload = chance(60) ? text() : bytes(fields[index].payload)
            }
        }
        return Self.encoded(fields)
    }

    private static func varint(_ bytes: [UInt8], _ at: inout Int) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard at < bytes.count else { return nil }
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }

    private static func fields(_ bytes: [UInt8]) -> [Field]? {
        var fields: [Field] = []
        var at = 0
        while at < bytes.count {
            guard let tag = varint(bytes, &at), tag >> 3 > 0 else { return nil }
            var field = Field(number: tag >> 3, wireType: tag & 7)
            switch field.wireType {
            case 0:
                guard let value = varint(bytes, &at) else { return nil }
                field.number64 = value
            case 1, 5:
                let size = field.wireType == 1 ? 8 : 4
                guard at + size <= bytes.count else { return nil }
                for index in 0..<size { field.number64 |= UInt64(bytes[at + index]) << UInt64(8 * index) }
                at += size
            case 2:
                guard let length = varint(bytes, &at), length <= UInt64(bytes.count - at) else { return nil }
                field.payload = Array(bytes[at..<at + Int(length)])
                at += Int(length)
            default: return nil
            }
            fields.append(field)
        }
        return fields
    }

    private static func encoded(_ fields: [Field]) -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: UInt64) {
            var value = value
            while value >= 0x80 {
                bytes.append(UInt8(value & 0x7F) | 0x80)
                value >>= 7
            }
            bytes.append(UInt8(value))
        }
        for field in fields {
            put(field.number << 3 | field.wireType)
            switch field.wireType {
            case 0: put(field.number64)
            case 1, 5: for index in 0..<(field.wireType == 1 ? 8 : 4) { bytes.append(UInt8(truncatingIfNeeded: field.number64 >> UInt64(8 * index))) }
            default:
                put(UInt64(field.payload.count))
                bytes += field.payload
            }
        }
        return bytes
    }
}
