/// Cuts a byte stream into RESP2 values, whatever the pieces it arrives in. Each byte is looked at a bounded number of
/// times: an unfinished array keeps what it already holds.
package struct RESPParser: Sendable {
    /// A single value that would need more is refused: no answer that this fleet asks for comes near it.
    package static let bytesLimit = 64 << 20
    package static let itemsLimit = 1 << 20
    package static let depthLimit = 16
    /// A line ("+OK", ":12", "$5") longer than this is refused; Redis's own error texts are shorter.
    package static let lineLimit = 65_536

    private struct Frame {
        var missing: Int
        var items: [RESPValue]
    }

    private var buffer: [UInt8] = []
    private var head = 0
    private var scanned = 0
    private var stack: [Frame] = []
    private var valueBytes = 0

    package init() {}

    /// Bytes that wait for the rest of their value.
    package var buffered: Int { buffer.count - head }

    package mutating func append(_ bytes: [UInt8]) {
        if head > 65_536, head * 2 > buffer.count {
            buffer.removeFirst(head)
            scanned -= head
            head = 0
        }
        buffer += bytes
    }

    /// The next complete value; nil: more bytes are needed. After an error the stream is unusable.
    package mutating func next() throws(ProbeError) -> RESPValue? {
        while true {
            guard let item = try item() else { return nil }
            guard let finished = try attach(item) else { continue }
            valueBytes = 0
            if head == buffer.count {
                buffer.removeAll(keepingCapacity: true)
                head = 0
                scanned = 0
            }
            return finished
        }
    }

    private enum Item {
        case value(RESPValue)
        case open(count: Int)
    }

    /// Adds an item to the innermost unfinished array; returns the outermost value once complete.
    private mutating func attach(_ item: Item) throws(ProbeError) -> RESPValue? {
        var value: RESPValue
        switch item {
        case .open(let count) where count > 0:
            guard stack.count < Self.depthLimit else { throw Self.malformed("nested deeper than \(Self.depthLimit)") }
            stack.append(Frame(missing: count, items: []))
            return nil
        case .open: value = .array([])
        case .value(let scalar): value = scalar
        }
        while !stack.isEmpty {
            stack[stack.count - 1].items.append(value)
            stack[stack.count - 1].missing -= 1
            guard stack[stack.count - 1].missing == 0 else { return nil }
            value = .array(stack.removeLast().items)
        }
        return value
    }

    private mutating func item() throws(ProbeError) -> Item? {
        guard let line = try line() else { return nil }
        guard let kind = line.first else { throw Self.malformed("an empty line") }
        let rest = line.dropFirst()
        let bodyStart = line.endIndex + 2
        switch kind {
        case UInt8(ascii: "+"):
            let text = String(decoding: rest, as: UTF8.self)
            consume(to: bodyStart)
            return .value(.simple(text))
        case UInt8(ascii: "-"):
            let text = String(decoding: rest, as: UTF8.self)
            consume(to: bodyStart)
            return .value(.error(text))
        case UInt8(ascii: ":"):
            let value = try Self.number(rest)
            consume(to: bodyStart)
            return .value(.integer(value))
        case UInt8(ascii: "$"):
            let length = try Self.number(rest)
            if length == -1 {
                consume(to: bodyStart)
                return .value(.null)
            }
            guard length >= 0, length <= Self.bytesLimit else { throw Self.malformed("a string of \(length) bytes") }
            guard valueBytes + Int(length) <= Self.bytesLimit else {
                throw ProbeError("read", "a Redis answer", .tooLarge("it is larger than \(Self.bytesLimit) bytes"))
            }
            let end = bodyStart + Int(length)
            guard buffer.count >= end + 2 else { return nil }
            guard buffer[end] == 13, buffer[end + 1] == 10 else { throw Self.malformed("a string without its end") }
            let bytes = Array(buffer[bodyStart..<end])
            valueBytes += bytes.count
            consume(to: end + 2)
            return .value(.bulk(bytes))
        case UInt8(ascii: "*"):
            let count = try Self.number(rest)
            guard count >= -1, count <= Self.itemsLimit else { throw Self.malformed("an array of \(count)") }
            consume(to: bodyStart)
            return count == -1 ? .value(.null) : .open(count: Int(count))
        default:
            throw Self.malformed("a line that starts with byte \(kind)")
        }
    }

    /// The line at the head, without its CR LF; nil while it is unfinished.
    private mutating func line() throws(ProbeError) -> ArraySlice<UInt8>? {
        var at = max(head, scanned)
        while at + 1 < buffer.count {
            if buffer[at] == 13, buffer[at + 1] == 10 { return buffer[head..<at] }
            at += 1
        }
        // Not past a trailing CR, whose LF may be in the next piece.
        scanned = at
        guard buffer.count - head <= Self.lineLimit else {
            throw Self.malformed("a line of more than \(Self.lineLimit) bytes")
        }
        return nil
    }

    private mutating func consume(to index: Int) {
        head = index
        scanned = index
    }

    private static func number(_ bytes: ArraySlice<UInt8>) throws(ProbeError) -> Int64 {
        guard let value = Int64(String(decoding: bytes, as: UTF8.self)) else {
            throw malformed("a number was expected")
        }
        return value
    }

    private static func malformed(_ what: String) -> ProbeError {
        ProbeError("understand", "a Redis answer", .malformed("\(what); is something else than Redis listening there?"))
    }
}
