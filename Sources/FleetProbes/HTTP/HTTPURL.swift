/// A plain `http://` URL to an IP address. Anything else is refused with the reason: a probe resolves no names and
/// speaks no TLS.
package struct HTTPURL: Hashable, Sendable, CustomStringConvertible {
    package let endpoint: Endpoint
    /// Path and query, as they go into the request line; starts with `/`.
    package let target: String

    package init(_ text: String) throws(ProbeError) {
        func refused(_ why: String) -> ProbeError { ProbeError("use the URL", "\"\(text)\"", .malformed(why)) }
        guard text.hasPrefix("http://") else {
            throw refused("it must start with http:// (no TLS: probes stay on the host)")
        }
        let rest = text.dropFirst("http://".count)
        guard rest.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw refused("it holds a space, a control or a non-ASCII character")
        }
        guard !rest.contains("#"), !rest.contains("@") else {
            throw refused("fragments and user names have no place here")
        }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        endpoint = try Endpoint(String(rest[..<end]), defaultPort: 80)
        let tail = rest[end...]
        target = tail.hasPrefix("/") ? String(tail) : "/" + tail
    }

    package var description: String { "http://\(endpoint)\(target)" }

    /// The bytes of a query value, percent-encoded (RFC 3986, everything but the unreserved characters).
    package static func encodedQueryValue(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
