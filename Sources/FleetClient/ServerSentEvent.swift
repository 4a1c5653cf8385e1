/// One event of an event stream (HTML standard, section 9.2).
package struct ServerSentEvent: Equatable, Sendable {
    package var id: String?
    package var name: String
    package var data: [UInt8]

    package init(id: String? = nil, name: String = "message", data: [UInt8] = []) {
        self.id = id
        self.name = name
        self.data = data
    }
}

/// Takes an event stream in pieces of any size.
///
/// Lines end with LF, CR or CRLF; comments and unknown fields are ignored.
package struct ServerSentEventParser {
    /// The longest line or event kept: a certificate of a thousand workers is far below.
    package static let bytesMax = 16 << 20

    package struct TooLong: Error, CustomStringConvertible {
        package let description = "an event is longer than \(ServerSentEventParser.bytesMax) bytes"
    }

    private var line: [UInt8] = []
    private var afterCR = false
    private var event = ServerSentEvent()
    private var hasData = false

    package init() {}

    /// The events that are complete with these bytes.
    package mutating func feed(_ bytes: some Sequence<UInt8>) throws -> [ServerSentEvent] {
        var complete: [ServerSentEvent] = []
        for byte in bytes {
            switch byte {
            case 10 where afterCR:
                afterCR = false
            case 10, 13:
                afterCR = byte == 13
                if let event = take() { complete.append(event) }
            default:
                afterCR = false
                line.append(byte)
                if line.count + event.data.count > Self.bytesMax { throw TooLong() }
            }
        }
        return complete
    }

    /// Works in the line at hand; an empty one completes the event, if it has data.
    private mutating func take() -> ServerSentEvent? {
        defer { line.removeAll(keepingCapacity: true) }
        if line.isEmpty {
            defer {
                event = ServerSentEvent()
                hasData = false
            }
            return hasData ? event : nil
        }
        guard let colon = line.firstIndex(of: 58) else { return nil }
        var value = line[(colon + 1)...]
        if value.first == 32 { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "id": event.id = String(decoding: value, as: UTF8.self)
        case "event": event.name = String(decoding: value, as: UTF8.self)
        case "data":
            if hasData { event.data.append(10) }
            event.data.append(contentsOf: value)
            hasData = true
        default: break
        }
        return nil
    }
}
