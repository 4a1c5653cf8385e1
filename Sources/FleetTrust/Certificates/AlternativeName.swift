import Glibc

/// A DNS name or an IP address that a certificate is also valid for (RFC 5280, section 4.2.1.6).
///
/// Our own programs never look at it: to them a peer's role, name and fleet count.
package struct AlternativeName: Hashable, Sendable, CustomStringConvertible {
    /// `DNS:ctl-1.example.net` or `IP:10.20.0.11`, as x509v3_config(5) writes it.
    package let description: String

    /// Of an IP address' literal, else of a host name; nil for anything that is neither, so that nothing else gets into the
    /// extension's text.
    package init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 || inet_pton(AF_INET6, text, &bytes) == 1 {
            description = "IP:\(text)"
            return
        }
        // RFC 1123, section 2.1. A wildcard would speak for hosts that nobody named.
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.utf8.first != 45 && label.utf8.last != 45
                && label.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 }
        }
        guard isName, text.utf8.count <= 253, !labels.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        description = "DNS:\(text)"
    }
}
