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
        /// Where the certificate lies.
        let path: String
        /// Of the certificate that signed it, upper-case hexadecimal.
        let signerSerial: String
    }

    /// A certificate of that run was there before: numbers of runs have come again.
    struct Repeated: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) is there already: numbers of runs have come again, as after a backup of the journal was put back" }
    }

    /// The largest PEM file that is read.
    private static let credentialBytesMax = 1 << 20

    /// Each file is whole or absent, and the certificate comes last: none is without its signature. None that is there is ever replaced: a run whose number has
    /// come again gets names of its own, and `note` of what that means, which makes its certificate at most unproven.
    /// Throws what the disk or the key refuses.
    func write(_ unwritten: APICertificate, repeated note: (inout APICertificate, String) -> Void) throws -> Kept {
        for name in ["snapshots", "certificates"] { try Files.makeDirectory("\(directory)/\(name)", mode: 0o750) }
        var certificate = unwritten
        var name = "stop-\(certificate.run)"
        if Files.exists("\(directory)/certificates/\(name).json") || Files.exists("\(directory)/snapshots/run-\(certificate.run).json") {
            note(&certificate, Repeated(path: "\(directory)/certificates/\(name).json").description)
            name += "-\(Random.hex(4))"
        }
        var snapshot = APICertificate()
        snapshot.run = certificate.run
        snapshot.workers = certificate.workers
        snapshot.ledger = certificate.ledger
        let evidence = try APIJSON.encode(snapshot)
        certificate.snapshotFile = "\(directory)/snapshots/\(name.replacing("stop-", with: "run-")).json"
        certificate.snapshotSha256 = Digest.sha256Hex(evidence)
        try Files.writeNew(certificate.snapshotFile, evidence, mode: 0o640)
        let certPEM = try Files.read(certificatePath, limit: Self.credentialBytesMax)
        let document = try APIJSON.encode(certificate)
        let path = "\(directory)/certificates/\(name).json"
        let signature = try DetachedSignature.sign(document, certPEM: certPEM, keyPEM: Files.read(keyPath, limit: Self.credentialBytesMax))
        try Files.writeNew("\(directory)/certificates/\(name).p7s", signature.der, mode: 0o640)
        try Files.writeNew(path, document, mode: 0o640)
        return Kept(
            certificate: certificate, sha256: Digest.sha256Hex(document), path: path,
            signerSerial: try Certificate.all(pem: certPEM, object: certificatePath)[0].serialHex)
    }

    /// The highest number of a run that a certificate or snapshot is there for; 0: none. Numbers go on above it, whatever a
    /// journal that was put back says.
    static func lastRun(in directory: String) throws(LinuxError) -> UInt64 {
        let names = try Files.listIfPresent("\(directory)/certificates") + Files.listIfPresent("\(directory)/snapshots")
        return names.compactMap { name in
            let digits = name.drop { !$0.isASCII || !$0.isNumber }.prefix { $0.isASCII && $0.isNumber }
            return UInt64(digits).flatMap { $0 < UInt64(Int64.max) ? $0 : nil }
        }.max() ?? 0
    }
}
