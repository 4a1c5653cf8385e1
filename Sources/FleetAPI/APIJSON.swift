package import SwiftProtobuf

/// The one JSON form of the API: field names as in api.proto, 64-bit integers as numbers. In an answer unknown fields are
/// ignored (an older side must understand a newer one); in an order they are refused.
package enum APIJSON {
    package static func encode(_ message: some Message) throws -> [UInt8] {
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        options.alwaysPrintInt64sAsNumbers = true
        return try message.jsonUTF8Bytes(options: options)
    }

    package static func decode<M: Message>(_ type: M.Type, from bytes: [UInt8]) throws -> M {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        return try M(jsonUTF8Bytes: bytes, options: options)
    }

    /// What somebody orders: a field that is not known might have narrowed it ("dryrun", a newer side's guard), so that
    /// obeying without it would do more than was asked.
    package static func decodeOrder<M: Message>(_ type: M.Type, from bytes: [UInt8]) throws -> M {
        try M(jsonUTF8Bytes: bytes, options: JSONDecodingOptions())
    }
}
