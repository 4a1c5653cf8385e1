/// A peer whose certificate was verified here: chain, revocation, fleet and role.
package struct VerifiedPeer: Equatable, Sendable {
    package let identity: FleetIdentity
    /// Why it gets a restricted session only, one phrase each; empty: no fault at all.
    ///
    /// Dates are the only possible reasons.
    package let restrictedBecause: [String]
    /// Seconds since 1970, of its own certificate.
    package let notAfterUnix: Int64
    /// As presented, leaf first; a newly loaded revocation list is held against it.
    package let chainDER: [[UInt8]]
    /// SHA-256 of its own certificate, lower-case hexadecimal.
    package let fingerprint: String

    package var isRestricted: Bool { !restrictedBecause.isEmpty }

    package init(
        identity: FleetIdentity, restrictedBecause: [String], notAfterUnix: Int64, chainDER: [[UInt8]], fingerprint: String
    ) {
        self.identity = identity
        self.restrictedBecause = restrictedBecause
        self.notAfterUnix = notAfterUnix
        self.chainDER = chainDER
        self.fingerprint = fingerprint
    }
}
