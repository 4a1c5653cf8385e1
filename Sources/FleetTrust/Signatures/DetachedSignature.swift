import COpenSSL

/// A detached CMS signature (RFC 5652) in DER, which `openssl cms -verify -binary -inform DER` checks as well.
package struct DetachedSignature: Equatable, Sendable {
    package let der: [UInt8]

    package init(der: [UInt8]) { self.der = der }

    /// Signs the exact bytes; the signer's certificate goes in.
    package static func sign(_ bytes: [UInt8], certPEM: [UInt8], keyPEM: [UInt8]) throws(TrustError) -> DetachedSignature {
        let chain = try Certificate.all(pem: certPEM, object: "the signer's certificate")
        let key = try PrivateKey(pem: keyPEM, object: "of the signer")
        let flags = UInt32(CMS_DETACHED | CMS_BINARY | CMS_NOSMIMECAP)
        return try LibCrypto.withReader(bytes) { (bio) throws(TrustError) -> DetachedSignature in
            let others = OPENSSL_sk_new_null()
            defer { OPENSSL_sk_free(others) }
            for certificate in chain.dropFirst() { OPENSSL_sk_push(others, UnsafeRawPointer(certificate.x509)) }
            guard let cms = CMS_sign(chain[0].x509, key.key, others, bio, flags) else { throw .libcrypto("sign", "a document") }
            defer { CMS_ContentInfo_free(cms) }
            guard let der = LibCrypto.written({ i2d_CMS_bio($0, cms) == 1 }) else { throw .libcrypto("encode", "a signature") }
            return DetachedSignature(der: der)
        }
    }

    /// The chain of the one who signed exactly `bytes`, its own certificate first, as the signature carries it.
    ///
    /// Says nothing about the chain: the caller verifies it.
    func signerChain(over bytes: [UInt8]) throws(TrustError) -> [[UInt8]] {
        let cms = LibCrypto.withReader(der) { (bio) throws(Never) in d2i_CMS_bio(bio, nil) }
        guard let cms else { throw .libcrypto("read", "the signature", advice: "it must be a CMS signature in DER") }
        defer { CMS_ContentInfo_free(cms) }
        return try LibCrypto.withReader(bytes) { (bio) throws(TrustError) -> [[UInt8]] in
            guard CMS_verify(cms, nil, nil, bio, nil, UInt32(CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY)) == 1 else {
                throw .libcrypto("verify", "the signature", advice: "the document or the signature was changed")
            }
            let signer = try Self.onlySigner(of: cms)
            var chain = [signer.der]
            guard let held = CMS_get1_certs(cms) else { return chain }
            defer { OPENSSL_sk_pop_free(held) { X509_free($0.map { OpaquePointer($0) }) } }
            for index in 0..<OPENSSL_sk_num(held) {
                guard let raw = OPENSSL_sk_value(held, index) else { continue }
                let other = OpaquePointer(raw)
                X509_up_ref(other)
                let certificate = try Certificate(owning: other)
                if certificate.der != signer.der { chain.append(certificate.der) }
            }
            return chain
        }
    }

    /// Several signers would leave open who is meant.
    private static func onlySigner(of cms: OpaquePointer) throws(TrustError) -> Certificate {
        let signers = CMS_get0_signers(cms)
        defer { OPENSSL_sk_free(signers) }
        guard OPENSSL_sk_num(signers) == 1, let raw = OPENSSL_sk_value(signers, 0) else {
            throw TrustError("verify", "the signature", "it has \(OPENSSL_sk_num(signers)) signers, one is wanted")
        }
        let signer = OpaquePointer(raw)
        X509_up_ref(signer)
        return try Certificate(owning: signer)
    }

    /// Who signed exactly `bytes`.
    ///
    /// Checks the signature and the chain to `caPEM`, not dates, revocation or role: `SignedDocument` does.
    package func verify(_ bytes: [UInt8], caPEM: [UInt8]) throws(TrustError) -> Certificate {
        let authorities = try Certificate.all(pem: caPEM, object: "the certificate authority's file")
        guard let store = X509_STORE_new() else { throw .libcrypto("make", "a certificate store") }
        defer { X509_STORE_free(store) }
        for authority in authorities where X509_STORE_add_cert(store, authority.x509) != 1 {
            throw .libcrypto("load", "a certificate authority")
        }
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_NO_CHECK_TIME))
        let advice = "the document or the signature was changed, or another fleet's authority signed it"
        let cms = LibCrypto.withReader(der) { (bio) throws(Never) in d2i_CMS_bio(bio, nil) }
        guard let cms else { throw .libcrypto("read", "the signature", advice: "it must be a CMS signature in DER") }
        defer { CMS_ContentInfo_free(cms) }
        return try LibCrypto.withReader(bytes) { (bio) throws(TrustError) -> Certificate in
            guard CMS_verify(cms, nil, store, bio, nil, UInt32(CMS_BINARY)) == 1 else {
                throw .libcrypto("verify", "the signature", advice: advice)
            }
            return try Self.onlySigner(of: cms)
        }
    }
}
