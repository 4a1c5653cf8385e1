package import FleetTrust
import NIOSSL

/// Why a handshake, or a session after it, was ended for reasons of trust.
///
/// Fired down the pipeline as an error.
package struct HandshakeRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    package let slug: TrustSlug
    package let text: String

    package init(slug: TrustSlug, text: String) {
        self.slug = slug
        self.text = text
    }

    package var description: String { "\(slug): \(text)" }

    /// What an error from the TLS handler during the handshake means.
    ///
    /// BoringSSL tells its reasons apart only in words.
    init(handshake error: any Error) {
        let words = String(describing: error)
        func says(_ any: String...) -> Bool { any.contains { words.contains($0) } }
        if says("PEER_DID_NOT_RETURN_A_CERTIFICATE") {
            self.init(slug: .noCertificate, text: "it showed no certificate")
        } else if says("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL") {
            self.init(slug: .tlsVersion, text: "it doesn't offer TLS 1.3")
        } else if says("HTTP_REQUEST", "HTTPS_PROXY_REQUEST") {
            self.init(slug: .badHandshake, text: "it spoke plain HTTP")
        } else if says("_ALERT_") {
            self.init(slug: .refusedByPeer, text: "it ended the handshake (\(Self.alert(in: words))); its log says why")
        } else if says("EOF during") || (error as? NIOSSLError) == .uncleanShutdown {
            self.init(slug: .abandoned, text: "it closed the connection during the handshake")
        } else {
            self.init(slug: .badHandshake, text: words)
        }
    }

    /// An alert that arrives on an established connection; nil for any other error.
    ///
    /// In TLS 1.3 a client learns only so that the server refused its certificate.
    init?(alert error: any Error) {
        let words = String(describing: error)
        guard error is BoringSSLError || error is NIOSSLError, words.contains("_ALERT_") else { return nil }
        self.init(slug: .refusedByPeer, text: "it ended the connection (\(Self.alert(in: words))); its log says why")
    }

    /// `CERTIFICATE_UNKNOWN` out of `…:SSLV3_ALERT_CERTIFICATE_UNKNOWN at …`.
    private static func alert(in words: String) -> String {
        guard let start = words.firstRange(of: "_ALERT_")?.upperBound else { return "alert" }
        return String(words[start...].prefix { $0.isLetter || $0 == "_" }).lowercased().replacing("_", with: " ")
    }
}
