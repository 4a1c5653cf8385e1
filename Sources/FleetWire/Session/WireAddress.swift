package import NIOCore

/// Addresses as the inventory writes them: `10.0.0.1:7443`, `[fd00::1]:7443`.
///
/// IP literals only: no name is ever resolved.
package enum WireAddress {
    package struct Malformed: Error, Equatable, Sendable, CustomStringConvertible {
        package let text: String
        package var description: String {
            "\"\(text)\" isn't an address; write an IP address and a port: 10.0.0.1:7443 or [fd00::1]:7443"
        }
    }

    package static func parse(_ text: String) throws(Malformed) -> SocketAddress {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw Malformed(text: text)
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            throw Malformed(text: text)
        }
        do {
            return try SocketAddress(ipAddress: String(host), port: Int(port))
        } catch {
            throw Malformed(text: text)
        }
    }
}
