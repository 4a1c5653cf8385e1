import COpenSSL
import Glibc

/// One certificate revocation list (RFC 5280, section 5).
///
/// `@unchecked Sendable`: it owns one reference to an X509_CRL, which nothing here changes after `init`.
package final class RevocationList: @unchecked Sendable {
    let crl: OpaquePointer

    init(owning crl: OpaquePointer) { self.crl = crl }

    deinit { X509_CRL_free(crl) }

    /// Every list in a PEM text, in order; at least one.
    ///
    /// `object` names the file in errors.
    package static func all(pem: [UInt8], object: String) throws(TrustError) -> [RevocationList] {
        let found = LibCrypto.withReader(pem) { (bio) throws(Never) -> [RevocationList] in
            var found: [RevocationList] = []
            while let crl = PEM_read_bio_X509_CRL(bio, nil, nil, nil) { found.append(RevocationList(owning: crl)) }
            return found
        }
        let words = LibCrypto.drainErrors()
        guard !found.isEmpty else {
            throw TrustError(
                "read a revocation list from", object, words,
                advice: "copy crl.pem from another host, or from where the authority is kept")
        }
        return found
    }

    package var pem: [UInt8] { LibCrypto.written { PEM_write_bio_X509_CRL($0, crl) == 1 } ?? [] }

    /// Seconds since 1970; nil when the list doesn't say.
    package var lastUpdateUnix: Int64? { X509_CRL_get0_lastUpdate(crl).flatMap(ASN1Time.unix) }
    package var nextUpdateUnix: Int64? { X509_CRL_get0_nextUpdate(crl).flatMap(ASN1Time.unix) }

    /// The issuer's name in DER, to compare by.
    var issuer: [UInt8] {
        var der: UnsafePointer<UInt8>?
        var count = 0
        guard let name = X509_CRL_get_issuer(crl), X509_NAME_get0_der(name, &der, &count) == 1 else { return [] }
        return Array(UnsafeBufferPointer(start: der, count: count))
    }

    /// Grows with each list of one issuer; nil when the list has none, or one beyond 63 bits.
    package var number: Int64? {
        guard let raw = X509_CRL_get_ext_d2i(crl, NID_crl_number, nil, nil) else { return nil }
        let integer = raw.assumingMemoryBound(to: ASN1_INTEGER.self)
        defer { ASN1_INTEGER_free(integer) }
        var value: Int64 = 0
        return ASN1_INTEGER_get_int64(&value, integer) == 1 ? value : nil
    }

    /// When a certificate of this list's issuer was revoked, seconds since 1970; nil: it is not on the list.
    func revocationUnix(of certificate: Certificate) -> Int64? {
        guard X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_issuer_name(certificate.x509)) == 0 else { return nil }
        var entry: OpaquePointer?
        guard X509_CRL_get0_by_cert(crl, &entry, certificate.x509) == 1, let entry else { return nil }
        return X509_REVOKED_get0_revocationDate(entry).flatMap(ASN1Time.unix) ?? 0
    }

    struct Entry {
        let serialHex: String
        let revokedUnix: Int64
    }

    static func make(
        entries: [Entry], number: Int64, issuer: Certificate, key: PrivateKey, lastUpdateUnix: Int64,
        nextUpdateUnix: Int64
    ) throws(TrustError) -> RevocationList {
        let object = "the revocation list"
        guard let made = X509_CRL_new() else { throw .libcrypto("make", object) }
        let list = RevocationList(owning: made)
        let crl = list.crl
        guard let last = ASN1_TIME_set(nil, time_t(lastUpdateUnix)) else { throw .libcrypto("make", object) }
        defer { ASN1_STRING_free(last) }
        guard let next = ASN1_TIME_set(nil, time_t(nextUpdateUnix)) else { throw .libcrypto("make", object) }
        defer { ASN1_STRING_free(next) }
        guard X509_CRL_set_version(crl, 1) == 1,
            X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer.x509)) == 1,
            X509_CRL_set1_lastUpdate(crl, last) == 1, X509_CRL_set1_nextUpdate(crl, next) == 1
        else { throw .libcrypto("make", object) }

        for entry in entries { try add(entry, to: crl, object) }
        guard X509_CRL_sort(crl) == 1 else { throw .libcrypto("make", object) }

        var context = X509V3_CTX()
        X509V3_set_ctx(&context, issuer.x509, nil, nil, crl, 0)
        guard let authority = X509V3_EXT_conf_nid(nil, &context, NID_authority_key_identifier, "keyid:always") else {
            throw .libcrypto("make", object)
        }
        defer { X509_EXTENSION_free(authority) }
        guard let integer = ASN1_INTEGER_new() else { throw .libcrypto("make", object) }
        defer { ASN1_INTEGER_free(integer) }
        guard X509_CRL_add_ext(crl, authority, -1) == 1, ASN1_INTEGER_set_int64(integer, number) == 1,
            X509_CRL_add1_ext_i2d(crl, NID_crl_number, integer, 0, 0) == 1,
            X509_CRL_sign(crl, key.key, EVP_sha256()) > 0
        else { throw .libcrypto("sign", object) }
        return list
    }

    private static func add(_ entry: Entry, to crl: OpaquePointer, _ object: String) throws(TrustError) {
        var number: OpaquePointer?
        guard BN_hex2bn(&number, entry.serialHex) > 0, let number else { throw .libcrypto("make", object) }
        defer { BN_free(number) }
        guard let serial = BN_to_ASN1_INTEGER(number, nil) else { throw .libcrypto("make", object) }
        defer { ASN1_INTEGER_free(serial) }
        guard let date = ASN1_TIME_set(nil, time_t(entry.revokedUnix)) else { throw .libcrypto("make", object) }
        defer { ASN1_STRING_free(date) }
        guard let revoked = X509_REVOKED_new() else { throw .libcrypto("make", object) }
        guard X509_REVOKED_set_serialNumber(revoked, serial) == 1, X509_REVOKED_set_revocationDate(revoked, date) == 1,
            X509_CRL_add0_revoked(crl, revoked) == 1
        else {
            X509_REVOKED_free(revoked)
            throw .libcrypto("make", object)
        }
    }
}
