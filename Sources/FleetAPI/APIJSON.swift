internal import FleetWire
package import SwiftProtobuf

/// The one JSON form of the API: field names as in api.proto, 64-bit integers as numbers. In an answer unknown fields are
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
    /// obeying without it would do more than was asked.
    package static func decodeOrder<M: Message>(_ type: M.Type, from bytes: [UInt8]) throws -> M {
        try bounded(M(jsonUTF8Bytes: bytes, options: JSONDecodingOptions()), .order)
    }

    private static func bounded<M: Message>(_ message: M, _ bounds: MessageBounds) throws -> M {
        if let fault = bounds.fault(message: message) { throw OutOfBounds(description: "out of bounds: \(fault)") }
        return message
    }
}
