import COpenSSL

/// What a new certificate shall say; turns it into a signed one.
struct CertificateTemplate {
    /// The subject's common name, for people; nothing here decides by it.
    let commonName: String
    /// The identity, and the only URI among the subject alternative names.
    let uri: String
    /// Further names, for clients that know nothing of identities: curl, browsers, Prometheus.
    var alternatives: [AlternativeName] = []
    /// Takes that certificate's names and key over: only its dates are new.
    var renewing: Certificate?
    let isAuthority: Bool
    let notBeforeUnix: Int64
    let notAfterUnix: Int64

    /// `issuer` nil: self-signed with `key`.
    func sign(subject key: PrivateKey?, issuer: (certificate: Certificate, key: PrivateKey)?) throws(TrustError) -> Certificate {
        guard let x509 = X509_new() else { throw .libcrypto("make", "a certificate") }
        // From here `certificate` would own it; until then every way out must free it.
        do throws(TrustError) {
            try fill(x509, key, issuer)
        } catch {
            X509_free(x509)
            throw error
        }
        return try Certificate(owning: x509)
    }

    private func fill(
        _ x509: OpaquePointer, _ key: PrivateKey?, _ issuer: (certificate: Certificate, key: PrivateKey)?
    ) throws(TrustError) {
        let object = "the certificate of \(commonName)"
        guard let name = X509_NAME_new() else { throw .libcrypto("make", object) }
        defer { X509_NAME_free(name) }
        // RFC 5280, appendix A.1: a common name has at most 64 characters; a host's name alone may have 63.
        let shortName = String(commonName.prefix(64))
        var serial = Random.bytes(16)
        // RFC 5280, 4.1.2.2: positive, at most 20 bytes.
        serial[0] = serial[0] & 0x7f | 0x40
        guard let number = BN_bin2bn(serial, CInt(serial.count), nil) else { throw .libcrypto("make", object) }
        defer { BN_free(number) }
        let done =
            X509_set_version(x509, 2) == 1
            && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != nil
            && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, shortName, -1, -1, 0) == 1
            && X509_set_subject_name(x509, name) == 1
            && X509_set_issuer_name(x509, issuer.map { X509_get_subject_name($0.certificate.x509) } ?? name) == 1
            && ASN1_TIME_set(X509_getm_notBefore(x509), time_t(notBeforeUnix)) != nil
            && ASN1_TIME_set(X509_getm_notAfter(x509), time_t(notAfterUnix)) != nil
            && X509_set_pubkey(x509, renewing.map { X509_get0_pubkey($0.x509) } ?? key?.key) == 1
        guard done else { throw .libcrypto("make", object) }

        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer?.certificate.x509 ?? x509, x509, nil, nil, 0)
        func add(_ nid: CInt, _ value: String) throws(TrustError) {
            guard let made = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw .libcrypto("make", object) }
            defer { X509_EXTENSION_free(made) }
            guard X509_add_ext(x509, made, -1) == 1 else { throw .libcrypto("make", object) }
        }
        // No extended key usage: every identity is both client and server, and `openssl cms -verify` wants none.
        try add(NID_basic_constraints, isAuthority ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE")
        try add(NID_key_usage, isAuthority ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature")
        try add(NID_subject_key_identifier, "hash")
        if issuer != nil { try add(NID_authority_key_identifier, "keyid:always") }
        if let renewing {
            guard let names = X509_get_ext(renewing.x509, X509_get_ext_by_NID(renewing.x509, NID_subject_alt_name, -1)), X509_add_ext(x509, names, -1) == 1
            else { throw .libcrypto("take the names over from", object) }
        } else {
            try add(NID_subject_alt_name, (["URI:\(uri)"] + alternatives.map(\.description)).joined(separator: ","))
        }
        guard X509_sign(x509, issuer?.key.key ?? key?.key, EVP_sha256()) > 0 else { throw .libcrypto("sign", object) }
    }
}
