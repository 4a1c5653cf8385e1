import FleetCore

/// Counts what decoding a message would allocate for, without decoding it: half a million empty sub-messages fit a frame of one
/// mebibyte, and take two hundred once they are objects.
///
/// Source: protobuf.dev, "Encoding": a message is a sequence of tags with varints, 8 or 4 bytes, or a length and so many bytes.
/// Whether the latter are a text or a message only the schema tells: what reads as a message is counted as one.
enum FieldCount {
    /// Fields with a length of their own that one frame may hold: ten thousand lines of a log have forty thousand.
    static let lengthDelimitedMax = 100_000
    /// A frame below this holds no more of them than that.
    static let bytesWorthALook = 2 * lengthDelimitedMax
    /// Messages of ours are nested as deep.
    private static let depthMax = 6

    static func lengthDelimited(in bytes: UnsafeRawBufferPointer) -> Int { count(bytes, depth: 0) ?? 0 }

    /// Nil: these bytes are no message.
    private static func count(_ bytes: UnsafeRawBufferPointer, depth: Int) -> Int? {
        var at = 0
        var found = 0
        while at < bytes.count {
            guard let tag = varint(bytes, &at), tag >> 3 != 0 else { return nil }
            switch tag & 7 {
            case 0: guard varint(bytes, &at) != nil else { return nil }
            case 1: at += 8
            case 5: at += 4
            // The ends of a group, which no schema of ours has: what lies between is skipped field by field, and counts as it stands.
            case 3, 4: break
            case 2:
                guard let length = varint(bytes, &at), length <= UInt64(bytes.count - at) else { return nil }
                found += 1
                if length > 1, depth < depthMax {
                    found += count(UnsafeRawBufferPointer(rebasing: bytes[at..<at + Int(length)]), depth: depth + 1) ?? 0
                }
                at += Int(length)
            default: return nil
            }
            if at > bytes.count { return nil }
        }
        return found
    }

    private static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count, shift < 64 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }
}
