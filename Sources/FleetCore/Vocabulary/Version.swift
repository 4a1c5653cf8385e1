/// The product's version, one for all programs.
package enum Version {
    package static let number = "0.1.0"
    /// For `--version`: whose TLS and cryptography this is.
    package static let libraries = "SwiftNIO SSL with BoringSSL for TLS, OpenSSL libcrypto for identities"
}
