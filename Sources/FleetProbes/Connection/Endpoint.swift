package import Glibc

/// An IP address and a port. There is no name resolution here: a probe must not depend on DNS.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// IPv4 or IPv6 in text, without brackets.
    package let host: String
    package let port: UInt16

    /// Parses `127.0.0.1:6379`, `[::1]:6379`, `localhost:6379` (which is 127.0.0.1) and, where a default port is given,
    /// the same without a port.
    package init(_ text: String, defaultPort: UInt16? = nil) throws(ProbeError) {
        var host = Substring(text)
        var port: Substring?
        if text.hasPrefix("["), let end = text.firstIndex(of: "]") {
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            // What follows the bracket without a colon is no port: "" is refused below.
            if rest.hasPrefix(":") { port = rest.dropFirst() } else if !rest.isEmpty { port = "" }
        } else if let colon = text.lastIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        let number = port == nil ? defaultPort : port.flatMap { UInt16($0) }
        guard let number, number > 0 else {
            throw ProbeError("use the address", "\"\(text)\"", .malformed("write it as IP:PORT, e.g. 127.0.0.1:6379"))
        }
        self.host = host == "localhost" ? "127.0.0.1" : String(host)
        self.port = number
        guard family != nil else {
            throw ProbeError(
                "use the address", "\"\(text)\"",
                .malformed("\(host) is not an IP address; names are not resolved here, write the address"))
        }
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// 127.0.0.0/8 or ::1.
    package var isLoopback: Bool { host == "::1" || (family == AF_INET && host.hasPrefix("127.")) }

    /// AF_INET or AF_INET6; nil when the host is no IP literal.
    var family: Int32? {
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 { return AF_INET }
        var six = in6_addr()
        if inet_pton(AF_INET6, host, &six) == 1 { return AF_INET6 }
        return nil
    }

    /// Calls the body with the kernel's form of the address.
    package func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        if family == AF_INET6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            inet_pton(AF_INET6, host, &address.sin6_addr)
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}
