internal import FleetAPI
internal import FleetTrust
internal import FleetWire
internal import LinuxHost

/// A certificate on disk: the snapshot it rests on, the certificate, and its detached signature (CMS). Blocking.
struct CertificateFiles: Sendable {
    /// The coordinator's state directory.
    let directory: String
    let certificatePath: String
    let keyPath: String

    struct Kept: Sendable {
        /// With the snapshot's path and digest filled in.
        let certificate: APICertificate
        /// Of the certificate's bytes, which the signature covers.
        let sha256: String
    }

    /// The largest PEM file that is read.
    private static let credentialBytesMax = 1 << 20

    func path(run: UInt64) -> String { "\(directory)/certificates/stop-\(run).json" }

    /// Each file is whole or absent; the signature comes last. Throws what the disk or the key refuses.
    func write(_ unwritten: APICertificate) throws -> Kept {
        var certificate = unwritten
        var snapshot = APICertificate()
        snapshot.run = certificate.run
        snapshot.workers = certificate.workers
        snapshot.ledger = certificate.ledger
        let evidence = try APIJSON.encode(snapshot)
        certificate.snapshotFile = "\(directory)/snapshots/run-\(certificate.run).json"
        certificate.snapshotSha256 = Digest.sha256Hex(evidence)
        for name in ["snapshots", "certificates"] { try Files.makeDirectory("\(directory)/\(name)", mode: 0o750) }
        try Files.writeAtomically(certificate.snapshotFile, evidence, mode: 0o640, sync: true)
        let document = try APIJSON.encode(certificate)
        try Files.writeAtomically(path(run: certificate.run), document, mode: 0o640, sync: true)
        let signature = try DetachedSignature.sign(
            document, certPEM: Files.read(certificatePath, limit: Self.credentialBytesMax), keyPEM: Files.read(keyPath, limit: Self.credentialBytesMax))
        try Files.writeAtomically("\(directory)/certificates/stop-\(certificate.run).p7s", signature.der, mode: 0o640, sync: true)
        return Kept(certificate: certificate, sha256: Digest.sha256Hex(document))
    }
}
