/// %XX for a byte (RFC 3986, section 2.1), as the run directory's files, the shim's lines and URLs write it.
package enum PercentEncoding {
    /// A % without two hexadecimal digits stays as it is.
    package static func decoded(_ bytes: some Sequence<UInt8>) -> String {
        var out: [UInt8] = []
        let bytes = Array(bytes)
        var at = 0
        while at < bytes.count {
            if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count, let high = digit(bytes[at + 1]), let low = digit(bytes[at + 2]) {
                out.append(high << 4 | low)
                at += 3
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}
