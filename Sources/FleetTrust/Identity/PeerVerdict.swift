/// What came of verifying a peer.
package enum PeerVerdict: Equatable, Sendable {
    /// Perhaps restricted: see ``VerifiedPeer/restrictedBecause``.
    case accepted(VerifiedPeer)
    /// `slug` is one of ``TrustSlug``; `text` says what was found, for the log.
    case refused(slug: TrustSlug, text: String)
}

/// Why a peer was refused, in one word that logs and tests go by.
package enum TrustSlug: String, Sendable, CustomStringConvertible {
    case noCertificate = "no-certificate"
    /// Signed by another authority, or by none.
    case foreignCA = "foreign-ca"
    case wrongFleet = "wrong-fleet"
    case wrongRole = "wrong-role"
    /// Of the right role, and not the one that was meant.
    case wrongName = "wrong-name"
    case revoked
    /// The certificate names no identity of a fleet, or more than one.
    case badIdentity = "bad-identity"
    /// No revocation list of its authority is loaded: nobody can say whether it was revoked.
    case crlMissing = "crl-missing"
    /// Any other fault of the chain.
    case badCertificate = "bad-certificate"
    case tlsVersion = "tls-version"
    /// A resumed TLS session, in which nothing was verified.
    case resumed
    case handshakeTimeout = "handshake-timeout"
    case crowded
    /// The other side ended the handshake; its log says why.
    case refusedByPeer = "refused-by-peer"
    /// Gone before the handshake was over.
    case abandoned
    /// Not TLS, or broken TLS.
    case badHandshake = "bad-handshake"

    package var description: String { rawValue }
}
