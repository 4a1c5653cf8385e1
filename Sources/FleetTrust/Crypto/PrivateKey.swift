import COpenSSL

/// A private key.
///
/// `@unchecked Sendable`: it owns one reference to an EVP_PKEY, which nothing changes after `init`; libcrypto allows
/// concurrent signing with one key.
final class PrivateKey: @unchecked Sendable {
    let key: OpaquePointer

    private init(owning key: OpaquePointer) { self.key = key }

    deinit { EVP_PKEY_free(key) }

    /// A new ECDSA key on P-256.
    static func generate() throws(TrustError) -> PrivateKey {
        guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { throw .libcrypto("make", "a P-256 key") }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1,
            EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1,
            EVP_PKEY_CTX_set_ec_param_enc(context, OPENSSL_EC_NAMED_CURVE) == 1,
            EVP_PKEY_keygen(context, &key) == 1, let key
        else { throw .libcrypto("make", "a P-256 key") }
        return PrivateKey(owning: key)
    }

    /// An encrypted key is refused: nobody is there to type its passphrase.
    init(pem: [UInt8], object: String) throws(TrustError) {
        let read = LibCrypto.withReader(pem) { (bio) throws(Never) -> OpaquePointer? in
            PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in -1 }, nil)
        }
        guard let read else {
            throw .libcrypto("read the private key", object, advice: "it must be an unencrypted key in PEM")
        }
        key = read
    }

    var isP256: Bool {
        var name = [CChar](repeating: 0, count: 64)
        return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1
            && String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) == "prime256v1"
    }

    var pem: [UInt8] {
        LibCrypto.written { PEM_write_bio_PKCS8PrivateKey($0, key, nil, nil, 0, nil, nil) == 1 } ?? []
    }
}
