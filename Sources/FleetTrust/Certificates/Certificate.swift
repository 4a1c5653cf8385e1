import COpenSSL
package import FleetCore

/// One X.509 certificate.
///
/// `@unchecked Sendable`: it owns one reference to an X509, which nothing here changes after `init`; libcrypto's reads
/// of an X509 (its cached extensions included) take its own lock, and reference counts are atomic.
package final class Certificate: @unchecked Sendable {
    let x509: OpaquePointer
    /// The exact bytes, DER.
    package let der: [UInt8]

    /// Takes over one reference.
    init(owning x509: OpaquePointer) throws(TrustError) {
        self.x509 = x509
        guard let der = LibCrypto.written({ i2d_X509_bio($0, x509) == 1 }) else {
            X509_free(x509)
            throw .libcrypto("encode", "a certificate")
        }
        self.der = der
    }

    deinit { X509_free(x509) }

    /// Trailing bytes are refused.
    package convenience init(der: [UInt8]) throws(TrustError) {
        let parsed: OpaquePointer? = der.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            guard let x509 = d2i_X509(nil, &cursor, bytes.count) else { return nil }
            guard cursor == bytes.baseAddress.map({ $0 + bytes.count }) else {
                X509_free(x509)
                return nil
            }
            return x509
        }
        guard let parsed else { throw .libcrypto("read", "a certificate", advice: "it must be one X.509 certificate in DER") }
        try self.init(owning: parsed)
    }

    /// Every certificate in a PEM text, in order; at least one.
    ///
    /// `object` names the file in errors.
    package static func all(pem: [UInt8], object: String) throws(TrustError) -> [Certificate] {
        let found = try LibCrypto.withReader(pem) { (bio) throws(TrustError) -> [Certificate] in
            var found: [Certificate] = []
            while let x509 = PEM_read_bio_X509(bio, nil, nil, nil) { found.append(try Certificate(owning: x509)) }
            return found
        }
        // The loop ends on an error, "no start line" at the end of the text: nothing of it may stay queued.
        let words = LibCrypto.drainErrors()
        guard !found.isEmpty else {
            throw TrustError("read a certificate from", object, words, advice: "it must hold PEM certificates")
        }
        return found
    }

    package var pem: [UInt8] { LibCrypto.written { PEM_write_bio_X509($0, x509) == 1 } ?? [] }

    /// SHA-256 of the DER, lower-case hexadecimal.
    package var fingerprint: String { Digest.sha256Hex(der) }

    /// Seconds since 1970; nil when the certificate's own time can't be read.
    package var notBeforeUnix: Int64? { X509_get0_notBefore(x509).flatMap(ASN1Time.unix) }
    package var notAfterUnix: Int64? { X509_get0_notAfter(x509).flatMap(ASN1Time.unix) }

    /// Every URI among the subject alternative names, as written.
    package var uris: [String] {
        guard let raw = X509_get_ext_d2i(x509, NID_subject_alt_name, nil, nil) else { return [] }
        let names = OpaquePointer(raw)
        defer { OPENSSL_sk_pop_free(names) { GENERAL_NAME_free($0.map { $0.assumingMemoryBound(to: GENERAL_NAME.self) }) } }
        var uris: [String] = []
        for index in 0..<OPENSSL_sk_num(names) {
            guard let value = OPENSSL_sk_value(names, index) else { continue }
            var type: CInt = 0
            let name = value.assumingMemoryBound(to: GENERAL_NAME.self)
            guard let held = GENERAL_NAME_get0_value(name, &type), type == GEN_URI else { continue }
            let string = held.assumingMemoryBound(to: ASN1_STRING.self)
            let bytes = UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string)))
            uris.append(String(decoding: bytes, as: UTF8.self))
        }
        return uris
    }

    /// The fleet identity, if exactly one URI name is there and it is one; nil otherwise.
    package var identity: FleetIdentity? {
        let uris = uris
        return uris.count == 1 ? FleetIdentity(uri: uris[0]) : nil
    }

    /// The fleet that a certificate authority made here speaks for: its only URI name is `spiffe://<fleet>`.
    package var authorityFleet: FleetName? {
        let uris = uris
        guard uris.count == 1, uris[0].hasPrefix("spiffe://") else { return nil }
        let name = String(uris[0].dropFirst("spiffe://".count))
        return isValidName(name) ? FleetName(name) : nil
    }

    /// Upper-case hexadecimal.
    package var serialHex: String {
        guard let serial = X509_get0_serialNumber(x509), let number = ASN1_INTEGER_to_BN(serial, nil) else { return "" }
        defer { BN_free(number) }
        guard let text = BN_bn2hex(number) else { return "" }
        defer { CRYPTO_free(text, "", 0) }
        return String(cString: text)
    }
}
