package import FleetCore

/// A peer whose certificate was verified here: chain, revocation, fleet and role.
package struct VerifiedPeer: Equatable, Sendable {
    package let identity: FleetIdentity
    /// Why it gets a restricted session only, one phrase each; empty: no fault at all.
    ///
    /// Dates, and the lack of a revocation list, are the only possible reasons.
    package let restrictedBecause: [String]
    /// Seconds since 1970, of its own certificate.
    package let notAfterUnix: Int64
    /// As presented, leaf first; a newly loaded revocation list is held against it.
    package let chainDER: [[UInt8]]
    /// SHA-256 of its own certificate, lower-case hexadecimal.
    package let fingerprint: String

    /// No revocation list was there to look at: whether it was revoked can't be told.
    package let isUnlisted: Bool

    package var isRestricted: Bool { !restrictedBecause.isEmpty }

    /// What its certificate and the revocation list leave it.
    package var limits: [SessionLimit] { (isUnlisted ? [.unlisted] : []) + (isRestricted ? [.restricted] : []) }

    package init(
        identity: FleetIdentity, restrictedBecause: [String], notAfterUnix: Int64, chainDER: [[UInt8]], fingerprint: String, isUnlisted: Bool = false
    ) {
        self.identity = identity
        self.restrictedBecause = restrictedBecause
        self.notAfterUnix = notAfterUnix
        self.chainDER = chainDER
        self.fingerprint = fingerprint
        self.isUnlisted = isUnlisted
    }
}
