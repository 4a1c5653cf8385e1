import COpenSSL
package import FleetCore

/// The private key of a coordinator's store: a file beside its journal, whose public half agents pin with the store's id.
///
/// A certificate says who a coordinator is; this key, that it is the one whose journal the agents have followed so far. It never
/// leaves the state directory, so that the certificate's key alone is not followed.
package struct StoreKey: Sendable {
    private let key: PrivateKey
    /// The public half: SubjectPublicKeyInfo (RFC 5280, section 4.1) in DER, in base64.
    package let publicText: String

    /// How people compare public keys: the first 16 hexadecimal digits of the SHA-256 of their text.
    package static func fingerprint(_ publicText: String) -> String { String(Digest.sha256Hex(Array(publicText.utf8)).prefix(16)) }

    private init(_ key: PrivateKey) throws(TrustError) {
        self.key = key
        guard let der = LibCrypto.written({ i2d_PUBKEY_bio($0, key.key) == 1 }) else { throw .libcrypto("encode", "the store's public key") }
        publicText = Base64.encode(der)
    }

    package static func generate() throws(TrustError) -> StoreKey { try StoreKey(try PrivateKey.generate()) }

    /// Reads the key at `path`; where nothing is there, makes one and writes it, synced, with mode 0600, over nothing.
    ///
    /// Throws for one that can't be read, and for one that others may read: whoever has read it is the store as far as agents can tell.
    package static func load(orMakeAt path: String) throws(TrustError) -> (key: StoreKey, isNew: Bool) {
        // One that can't be seen is not absent: to make another in its place would lose it for good.
        guard !CredentialFile.isAbsent(path) else {
            let made = try PrivateKey.generate()
            try CredentialFile.create(path, made.pem, mode: 0o600)
            return (try StoreKey(made), true)
        }
        let bytes = try CredentialFile.read(path)
        guard !CredentialFile.isOpenToOthers(path) else {
            throw TrustError(
                "use", path, "other users may read or change it",
                advice: "chmod 0600 \(path). If others could log in here: move it away, start again, and have agents follow the new key: "
                    + "trading coordinator succeed --reason …")
        }
        do throws(TrustError) {
            let key = try PrivateKey(pem: bytes, object: path)
            guard key.isP256 else { throw TrustError("use", path, "it is no ECDSA key on P-256") }
            return (try StoreKey(key), false)
        } catch {
            throw TrustError(
                error.operation, error.object, error.cause,
                advice: "restore the file. If it is lost: move it away, start again, and have agents follow the new key: trading coordinator succeed --reason …"
            )
        }
    }

    /// The proof of possession: an ECDSA signature over the challenge's document, in base64.
    package func proof(of challenge: StoreChallenge) throws(TrustError) -> String {
        guard let context = EVP_MD_CTX_new() else { throw .libcrypto("sign", "a proof of the store") }
        defer { EVP_MD_CTX_free(context) }
        let document = Array(challenge.document.utf8)
        var count = 0
        guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, key.key) == 1,
            EVP_DigestSign(context, nil, &count, document, document.count) == 1
        else { throw .libcrypto("sign", "a proof of the store") }
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &signature, &count, document, document.count) == 1 else { throw .libcrypto("sign", "a proof of the store") }
        return Base64.encode(Array(signature.prefix(count)))
    }

    /// True if whoever made `proof` holds the private half of `publicText`.
    package static func proves(_ proof: String, _ challenge: StoreChallenge, publicText: String) -> Bool {
        guard max(proof.utf8.count, publicText.utf8.count) <= StoreChallenge.keyBytesMax, let der = Base64.decode(publicText),
            let signature = Base64.decode(proof)
        else { return false }
        let read = LibCrypto.withReader(der) { (bio) throws(Never) in d2i_PUBKEY_bio(bio, nil) }
        // What is no key or no signature leaves its errors in the queue, where the next failure would find them.
        defer { _ = LibCrypto.drainErrors() }
        guard let read else { return false }
        defer { EVP_PKEY_free(read) }
        guard EVP_PKEY_get_base_id(read) == EVP_PKEY_EC, let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        let document = Array(challenge.document.utf8)
        return EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, read) == 1
            && EVP_DigestVerify(context, signature, signature.count, document, document.count) == 1
    }
}
