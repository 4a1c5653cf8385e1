/// One answer of a Redis server, RESP2 (redis.io, "Redis serialization protocol specification").
package indirect enum RESPValue: Equatable, Sendable {
    case simple(String)
    /// The server's words, "ERR …", "WRONGTYPE …".
    case error(String)
    case integer(Int64)
    case bulk([UInt8])
    case array([RESPValue])
    /// A null bulk string or a null array.
    case null

    /// A simple or bulk string that is UTF-8.
    package var text: String? {
        switch self {
        case .simple(let text): text
        case .bulk(let bytes): String(validating: bytes, as: UTF8.self)
        case .error, .integer, .array, .null: nil
        }
    }

    package var integer: Int64? {
        switch self {
        case .integer(let value): value
        case .bulk, .simple: text.flatMap { Int64($0) }
        case .error, .array, .null: nil
        }
    }

    package var items: [RESPValue]? { if case .array(let items) = self { items } else { nil } }

    package var errorText: String? { if case .error(let text) = self { text } else { nil } }

    /// The value after `key` in a flat array of keys and values, as XINFO answers; nil where there is none.
    package subscript(_ key: String) -> RESPValue? {
        guard case .array(let items) = self else { return nil }
        var index = 0
        while index + 1 < items.count {
            if items[index].text == key { return items[index + 1] }
            index += 2
        }
        return nil
    }
}
