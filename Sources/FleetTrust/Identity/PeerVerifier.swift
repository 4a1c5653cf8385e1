import COpenSSL
package import FleetCore

/// Verifies peers against one authority, its revocation lists and one fleet; never changes, a reload makes a new one.
///
/// `@unchecked Sendable`: it owns an X509_STORE that is complete after `init`; libcrypto locks it for lookups, and every
/// verification has a context of its own.
package final class PeerVerifier: @unchecked Sendable {
    package let fleet: FleetName
    private let store: OpaquePointer
    private let lists: [RevocationList]

    /// Links of a chain below the authority, the peer's own included; one more than an existing PKI would use.
    private static let chainMax = 4

    /// `caPEM` may hold several authorities, `crlPEM` several lists.
    ///
    /// Throws when no list is signed by one of the authorities: with such a set every peer would be refused. A list
    /// past its dates is taken. `crlPEM` nil: there is none; every peer is then accepted as unlisted, which leaves it next to
    /// nothing (`SessionLimit.unlisted`).
    package init(caPEM: [UInt8], crlPEM: [UInt8]?, fleet: FleetName) throws(TrustError) {
        let authorities = try Certificate.all(pem: caPEM, object: "the certificate authority's file")
        let lists = try crlPEM.map { pem throws(TrustError) in try RevocationList.all(pem: pem, object: "the revocation list's file") } ?? []
        let signed =
            lists.isEmpty
            || lists.contains { list in
                authorities.contains { authority in
                    guard let key = X509_get0_pubkey(authority.x509) else { return false }
                    return X509_CRL_verify(list.crl, key) == 1
                }
            }
        _ = LibCrypto.drainErrors()
        guard signed else {
            throw TrustError(
                "use", "the revocation list", "none of the loaded authorities signed it",
                advice: "take ca.pem and crl.pem from the same authority")
        }
        guard let store = X509_STORE_new() else { throw .libcrypto("make", "a certificate store") }
        self.store = store
        self.lists = lists
        self.fleet = fleet
        for authority in authorities where X509_STORE_add_cert(store, authority.x509) != 1 {
            throw .libcrypto("load", "a certificate authority")
        }
        for list in lists where X509_STORE_add_crl(store, list.crl) != 1 {
            throw .libcrypto("load", "a revocation list")
        }
        if !lists.isEmpty { X509_STORE_set_flags(store, UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL)) }
        X509_STORE_set_depth(store, CInt(Self.chainMax))
    }

    deinit { X509_STORE_free(store) }

    /// The verdict on a chain as presented, leaf first.
    ///
    /// `roles` nil: any. `atUnix` nil: now. Takes about 0.2 ms.
    package func verify(
        chainDER: [[UInt8]], roles: Set<FleetIdentity.Role>? = nil, atUnix: Int64? = nil
    ) -> PeerVerdict {
        guard !chainDER.isEmpty else { return .refused(slug: .noCertificate, text: "it showed no certificate") }
        guard chainDER.count <= Self.chainMax else {
            return .refused(slug: .badCertificate, text: "it showed a chain of \(chainDER.count) certificates")
        }
        let chain: [Certificate]
        do {
            chain = try chainDER.map { bytes throws(TrustError) in try Certificate(der: bytes) }
        } catch {
            return .refused(slug: .badCertificate, text: "\(error)")
        }
        let leaf = chain[0]
        let faults = chainFaults(leaf: leaf, others: chain.dropFirst(), atUnix: atUnix)
        let names = leaf.uris.isEmpty ? "no URI name" : leaf.uris.joined(separator: " ")
        if let fatal = faults.fatal { return .refused(slug: fatal.slug, text: "\(fatal.text) (\(names))") }

        guard let identity = leaf.identity else {
            return .refused(
                slug: .badIdentity, text: "its certificate must name exactly one spiffe://FLEET/ROLE/NAME, it has \(names)")
        }
        guard identity.fleet == fleet else {
            return .refused(slug: .wrongFleet, text: "it is \(identity.uri), this is the fleet \(fleet)")
        }
        if let roles, !roles.contains(identity.role) {
            let expected = roles.map(\.rawValue).sorted().joined(separator: " or ")
            return .refused(slug: .wrongRole, text: "it is \(identity.uri), expected is the role \(expected)")
        }
        guard let notAfter = leaf.notAfterUnix else {
            return .refused(slug: .badCertificate, text: "its certificate's last day can't be read (\(names))")
        }
        return .accepted(
            VerifiedPeer(
                identity: identity, restrictedBecause: faults.dates + (lists.isEmpty ? [Self.noList] : []), notAfterUnix: notAfter, chainDER: chainDER,
                fingerprint: leaf.fingerprint, isUnlisted: lists.isEmpty))
    }

    static let noList = "crl-missing: no revocation list was ever seen, so whether it was revoked can't be told"

    /// Whether revocation can be looked at.
    package var hasLists: Bool { !lists.isEmpty }

    /// Who signed a statement, if an identity of the fleet with one of `roles` did, with nothing against it: chain,
    /// revocation and dates as of now. Takes about 0.5 ms.
    package func signer(of bytes: [UInt8], signature: String, roles: Set<FleetIdentity.Role>) -> Result<FleetIdentity, TrustError> {
        guard let der = Base64.decode(signature) else { return .failure(TrustError("read", "the signature", "it is not base64")) }
        let chain: [[UInt8]]
        do { chain = try DetachedSignature(der: der).signerChain(over: bytes) } catch { return .failure(error) }
        switch verify(chainDER: chain, roles: roles) {
        case .refused(let slug, let text): return .failure(TrustError("believe", "the signature", "\(slug): \(text)"))
        case .accepted(let peer) where peer.isRestricted:
            return .failure(TrustError("believe", "the signature of \(peer.identity)", peer.restrictedBecause.joined(separator: "; ")))
        case .accepted(let peer): return .success(peer.identity)
        }
    }

    /// Whether this holds an older revocation list than `newer` would need: same issuer, smaller number.
    ///
    /// A reload must not bring a revoked certificate back.
    package func isRolledBack(from older: PeerVerifier) -> Bool {
        let newest = Dictionary(
            lists.compactMap { list in list.number.map { (list.issuer, $0) } }, uniquingKeysWith: Swift.max)
        return older.lists.contains { list in
            guard let before = list.number, let now = newest[list.issuer] else { return false }
            return now < before
        }
    }

    /// The earliest nextUpdate of the loaded lists, seconds since 1970.
    package var listsDueUnix: Int64? { lists.compactMap(\.nextUpdateUnix).min() }

    private struct Faults {
        var fatal: (slug: TrustSlug, text: String)?
        var dates: [String] = []
    }

    /// Filled by libcrypto's callback during one verification.
    private final class Findings {
        var fatal: [(code: CInt, depth: CInt)] = []
        var dates: [(code: CInt, depth: CInt)] = []
    }

    private func chainFaults(leaf: Certificate, others: ArraySlice<Certificate>, atUnix: Int64?) -> Faults {
        guard let context = X509_STORE_CTX_new() else { preconditionFailure("no memory to verify a certificate") }
        defer { X509_STORE_CTX_free(context) }
        let untrusted = OPENSSL_sk_new_null()
        defer { OPENSSL_sk_free(untrusted) }
        for other in others { OPENSSL_sk_push(untrusted, UnsafeRawPointer(other.x509)) }
        guard X509_STORE_CTX_init(context, store, leaf.x509, untrusted) == 1 else {
            return Faults(fatal: (.badCertificate, LibCrypto.drainErrors()))
        }
        if let atUnix { X509_STORE_CTX_set_time(context, 0, time_t(atUnix)) }

        let findings = Findings()
        // Index 0 is the application's (X509_STORE_CTX_set_app_data). `findings` outlives the call below.
        X509_STORE_CTX_set_ex_data(context, 0, Unmanaged.passUnretained(findings).toOpaque())
        X509_STORE_CTX_set_verify_cb(context) { ok, context in
            guard ok == 0, let context, let raw = X509_STORE_CTX_get_ex_data(context, 0) else { return ok }
            let findings = Unmanaged<Findings>.fromOpaque(raw).takeUnretainedValue()
            let fault = (X509_STORE_CTX_get_error(context), X509_STORE_CTX_get_error_depth(context))
            // A date is noted and verification goes on: signatures and revocation must still be looked at.
            if PeerVerifier.isDate(fault.0) {
                findings.dates.append(fault)
                return 1
            }
            findings.fatal.append(fault)
            return 0
        }
        let verified = withExtendedLifetime((findings, leaf, others)) { X509_verify_cert(context) == 1 }
        _ = LibCrypto.drainErrors()

        var faults = Faults()
        for (code, depth) in findings.dates {
            let text = Self.dateWords(code, depth)
            if !faults.dates.contains(text) { faults.dates.append(text) }
        }
        if let (code, depth) = findings.fatal.first {
            faults.fatal = (Self.slug(code), Self.words(code, depth))
        } else if !verified {
            let code = X509_STORE_CTX_get_error(context)
            faults.fatal = (Self.slug(code), Self.words(code, 0))
        }
        return faults
    }

    private static func isDate(_ code: CInt) -> Bool {
        switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CRL_HAS_EXPIRED,
            X509_V_ERR_CRL_NOT_YET_VALID:
            true
        default: false
        }
    }

    private static func dateWords(_ code: CInt, _ depth: CInt) -> String {
        let whose = depth == 0 ? "its certificate" : "its authority's certificate"
        return switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED: "expired: \(whose) is past its last day"
        case X509_V_ERR_CERT_NOT_YET_VALID: "not-yet-valid: \(whose) begins later (or this host's clock is wrong)"
        case X509_V_ERR_CRL_NOT_YET_VALID: "stale-crl: the revocation list begins later (or this host's clock is wrong)"
        default: "stale-crl: the revocation list is past its next update"
        }
    }

    private static func slug(_ code: CInt) -> TrustSlug {
        switch code {
        case X509_V_ERR_CERT_REVOKED: .revoked
        case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER: .crlMissing
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
            X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, X509_V_ERR_CERT_SIGNATURE_FAILURE, X509_V_ERR_CERT_UNTRUSTED,
            X509_V_ERR_INVALID_CA, X509_V_ERR_AKID_SKID_MISMATCH, X509_V_ERR_SUBJECT_ISSUER_MISMATCH:
            .foreignCA
        default: .badCertificate
        }
    }

    private static func words(_ code: CInt, _ depth: CInt) -> String {
        let reason = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "error \(code)"
        return depth == 0 ? reason : "\(reason), \(depth) above its own certificate"
    }
}
