import COpenSSL
package import FleetCore

/// A document with its detached signature, verified as of the time when it was made: years later, with its signer's
/// certificate long expired.
package struct SignedDocument: Equatable, Sendable {
    package let signer: FleetIdentity
    /// Upper-case hexadecimal, as in the authority's index and in the journal.
    package let serialHex: String
    package let notBeforeUnix: Int64
    package let notAfterUnix: Int64
    /// When its certificate was revoked; nil: it is not on the list, or no list was given.
    package let revokedUnix: Int64?

    /// Verifies the exact bytes: signature, chain to an authority at `signedAtUnix`, fleet and role.
    ///
    /// Revocation is reported, not judged: a stolen key can set any date into a document, so that only a record kept elsewhere
    /// shows that one was signed before its key was revoked. `crlPEM` nil: not looked at.
    package static func verify(
        _ document: [UInt8], signatureDER: [UInt8], caPEM: [UInt8], crlPEM: [UInt8]?, fleet: FleetName, role: FleetIdentity.Role, signedAtUnix: Int64
    ) throws(TrustError) -> SignedDocument {
        let chain = try DetachedSignature(der: signatureDER).signerChain(over: document)
        // Without lists, so that dates are those of the signing alone; the lists are asked by serial number.
        let verifier = try PeerVerifier(caPEM: caPEM, crlPEM: nil, fleet: fleet)
        let leaf = try Certificate(der: chain[0])
        let peer: VerifiedPeer
        switch verifier.verify(chainDER: chain, roles: [role], atUnix: signedAtUnix) {
        case .accepted(let accepted): peer = accepted
        case .refused(let slug, let text):
            throw TrustError("believe", "the signature", "\(slug): \(text)", advice: "only a \(role.rawValue) of the fleet \(fleet) signs this")
        }
        let dates = peer.restrictedBecause.filter { $0 != PeerVerifier.noList }
        guard dates.isEmpty, let notBefore = leaf.notBeforeUnix, let notAfter = leaf.notAfterUnix else {
            throw TrustError(
                "believe", "the signature of \(peer.identity)", "at the time that the document states: \(dates.joined(separator: "; "))",
                advice: "the document was not made when it says")
        }
        return SignedDocument(
            signer: peer.identity, serialHex: leaf.serialHex, notBeforeUnix: notBefore, notAfterUnix: notAfter,
            revokedUnix: try crlPEM.flatMap { pem throws(TrustError) in try revocation(of: leaf, caPEM: caPEM, crlPEM: pem) })
    }

    private static func revocation(of leaf: Certificate, caPEM: [UInt8], crlPEM: [UInt8]) throws(TrustError) -> Int64? {
        // Throws for lists that no authority signed.
        _ = try PeerVerifier(caPEM: caPEM, crlPEM: crlPEM, fleet: "any")
        var earliest: Int64?
        for list in try RevocationList.all(pem: crlPEM, object: "the revocation list's file") {
            guard let date = list.revocationUnix(of: leaf) else { continue }
            earliest = min(earliest ?? date, date)
        }
        return earliest
    }
}
