internal import FleetCore
internal import FleetWire
package import SwiftProtobuf

/// The one JSON form of the API: field names as in api.proto, 64-bit integers as numbers (a reader whose numbers are doubles has
/// them exactly up to 2^53: microseconds since 1970 until the year 2255, counters until nine quadrillion). In an answer unknown fields are
/// ignored (an older side must understand a newer one); in an order they are refused. Both are looked at for bounds.
package enum APIJSON {
    /// Whole numbers beyond what the fields of a message may be, or a text that was made to fill memory.
    package struct OutOfBounds: Error, CustomStringConvertible {
        package let description: String
    }

    package static func encode(_ message: some Message) throws -> [UInt8] {
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        options.alwaysPrintInt64sAsNumbers = true
        return try message.jsonUTF8Bytes(options: options)
    }

    package static func decode<M: Message>(_ type: M.Type, from bytes: [UInt8]) throws -> M {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        return try bounded(M(jsonUTF8Bytes: bytes, options: options), .answer)
    }

    /// What somebody orders: a field that is not known might have narrowed it ("dryrun", a newer side's guard), so that
    /// obeying without it would do more than was asked. One that stands twice is refused as well, in either of the two spellings
    /// that protobuf's JSON has.
    package static func decodeOrder<M: Message>(_ type: M.Type, from bytes: [UInt8]) throws -> M {
        if let field = repeatedField(in: try JSON.parse(bytes)) { throw OutOfBounds(description: "the field \"\(field)\" stands twice; write it once") }
        return try bounded(M(jsonUTF8Bytes: bytes, options: JSONDecodingOptions()), .order)
    }

    private static func repeatedField(in json: JSON) -> String? {
        switch json {
        case .object(let members):
            var seen: Set<String> = []
            for member in members {
                // `dry_run` is `dryRun`.
                guard seen.insert(member.key.lowercased().filter { $0 != "_" }).inserted else { return member.key }
                if let field = repeatedField(in: member.value) { return field }
            }
            return nil
        case .array(let items): return items.lazy.compactMap { repeatedField(in: $0) }.first
        case .null, .bool, .number, .string: return nil
        }
    }

    private static func bounded<M: Message>(_ message: M, _ bounds: MessageBounds) throws -> M {
        if let fault = bounds.fault(message: message) { throw OutOfBounds(description: "out of bounds: \(fault)") }
        return message
    }
}
