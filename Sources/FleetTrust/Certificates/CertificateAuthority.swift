import COpenSSL
package import FleetCore

/// The fleet's own certificate authority: a directory with `ca.pem`, `ca.key` (0600), `crl.pem` and `index`.
///
/// It issues ECDSA P-256 identities and revokes them. Each change is all or nothing, and holds the directory's lock
/// meanwhile, so that two of them at once can't lose one another's entry.
package struct CertificateAuthority: Sendable {
    package let directory: String
    package let fleet: FleetName
    private let certificate: Certificate
    private let key: PrivateKey

    /// Where an issued identity was written.
    package struct Issued: Equatable, Sendable {
        package let identity: FleetIdentity
        package let certificatePath: String
        package let keyPath: String
        package let notAfterUnix: Int64
    }

    package struct Revoked: Equatable, Sendable {
        /// As in its files: `agent-md-1`.
        package let name: String
        /// How many of its certificates the list now names that it didn't before.
        package let certificates: Int
        package let revocationListPath: String
    }

    package static let authorityDays = 3_650
    package static let identityDays = 365
    package static let revocationListDays = 365

    /// Clocks of hosts differ a little: what is issued now must be valid on one that runs behind.
    private static let backdatedSeconds: Int64 = 300
    private static let daySeconds: Int64 = 86_400

    /// Makes a new authority with an empty revocation list.
    ///
    /// Without `force` refuses a directory that has one: every certificate of the old one would be foreign.
    package static func create(
        directory: String, fleet: FleetName, force: Bool, days: Int = authorityDays,
        revocationListDays: Int = revocationListDays
    ) throws(TrustError) -> CertificateAuthority {
        let uri = "spiffe://\(fleet)"
        guard isValidName(fleet.raw) else {
            throw TrustError(
                "make a certificate authority for the fleet", "\"\(fleet)\"", "the name isn't allowed",
                advice: "use \(FleetIdentity.nameRule)")
        }
        try requireDays(days, "the certificate authority")
        try requireDays(revocationListDays, "the revocation list")
        try CredentialFile.makeDirectory(directory)
        return try CredentialFile.locked(Path.lock(directory)) { () throws(TrustError) -> CertificateAuthority in
            if !force {
                for path in [Path.certificate(directory), Path.key(directory), Path.list(directory), Path.index(directory)]
                where CredentialFile.exists(path) {
                    throw TrustError(
                        "make a certificate authority in", directory, "\(path) exists",
                        advice: "choose another directory, or --force to replace it (every certificate it issued is then foreign)")
                }
            }
            let now = ASN1Time.nowUnix
            let key = try PrivateKey.generate()
            // A random part: two authorities of one fleet name must not be mistaken for each other.
            let template = CertificateTemplate(
                commonName: "trading fleet \(fleet) CA \(Random.hex(4))", uri: uri, isAuthority: true,
                notBeforeUnix: now - backdatedSeconds, notAfterUnix: now + Int64(days) * daySeconds)
            let certificate = try template.sign(subject: key, issuer: nil)
            let list = try RevocationList.make(
                entries: [], number: now, issuer: certificate, key: key, lastUpdateUnix: now - backdatedSeconds,
                nextUpdateUnix: now + Int64(revocationListDays) * daySeconds)
            try CredentialFile.write(
                [
                    .init(path: Path.key(directory), bytes: key.pem, mode: 0o600),
                    .init(path: Path.certificate(directory), bytes: certificate.pem, mode: 0o644),
                    .init(path: Path.list(directory), bytes: list.pem, mode: 0o644),
                    .init(path: Path.index(directory), bytes: [], mode: 0o644),
                ], in: directory)
            return CertificateAuthority(directory: directory, fleet: fleet, certificate: certificate, key: key)
        }
    }

    /// Opens the authority in `directory`.
    package init(directory: String) throws(TrustError) {
        let path = Path.certificate(directory)
        // Asked for its absence, not for its presence: in a directory that may not be searched nothing is seen.
        guard !CredentialFile.isAbsent(path) else {
            throw TrustError(
                "open the certificate authority in", directory, "there is no \(path)",
                advice: "`trading certs init` makes one")
        }
        let certificate = try Certificate.all(pem: try CredentialFile.read(path), object: path)[0]
        guard let fleet = certificate.authorityFleet else {
            throw TrustError(
                "open the certificate authority in", directory, "\(path) doesn't name a fleet (spiffe://FLEET)",
                advice: "issue from the PKI it belongs to, or make a new one with `trading certs init`")
        }
        let keyPath = Path.key(directory)
        let key = try PrivateKey(pem: try CredentialFile.read(keyPath), object: keyPath)
        guard X509_check_private_key(certificate.x509, key.key) == 1 else {
            _ = LibCrypto.drainErrors()
            throw TrustError("open the certificate authority in", directory, "ca.key isn't the key of ca.pem", advice: "restore both")
        }
        self.init(directory: directory, fleet: fleet, certificate: certificate, key: key)
    }

    private init(directory: String, fleet: FleetName, certificate: Certificate, key: PrivateKey) {
        self.directory = directory
        self.fleet = fleet
        self.certificate = certificate
        self.key = key
    }

    /// Writes `ROLE-NAME.pem` and `ROLE-NAME.key` (0600), valid for `days` from now.
    ///
    /// Without `force` refuses to replace them; what `force` replaces stays valid until it expires or is revoked.
    package func issue(
        _ role: FleetIdentity.Role, name: String, days: Int = identityDays, alternatives: [AlternativeName] = [], force: Bool = false
    ) throws(TrustError) -> Issued {
        try Self.requireDays(days, "\(role.rawValue) \(name)")
        let now = ASN1Time.nowUnix
        return try issue(
            role, name: name, notBeforeUnix: now - Self.backdatedSeconds,
            notAfterUnix: now + Int64(days) * Self.daySeconds, alternatives: alternatives, force: force)
    }

    /// As above, with exact bounds in seconds since 1970.
    package func issue(
        _ role: FleetIdentity.Role, name: String, notBeforeUnix: Int64, notAfterUnix: Int64, alternatives: [AlternativeName] = [],
        force: Bool = false
    ) throws(TrustError) -> Issued {
        guard let identity = FleetIdentity(role: role, name: name, fleet: fleet) else {
            throw TrustError(
                "issue a certificate for the \(role.rawValue)", "\"\(name)\"", "the name isn't allowed",
                advice: "use \(FleetIdentity.nameRule)")
        }
        let certificatePath = "\(directory)/\(identity.fileName).pem"
        let keyPath = "\(directory)/\(identity.fileName).key"
        return try CredentialFile.locked(Path.lock(directory)) { () throws(TrustError) -> Issued in
            if !force {
                for path in [certificatePath, keyPath] where CredentialFile.exists(path) {
                    throw TrustError(
                        "issue a certificate for", identity.uri, "\(path) exists",
                        advice: "--force replaces it; the old one stays valid until it expires or is revoked")
                }
            }
            var index = try readIndex()
            let subjectKey = try PrivateKey.generate()
            let template = CertificateTemplate(
                commonName: identity.fileName, uri: identity.uri, alternatives: alternatives, isAuthority: false, notBeforeUnix: notBeforeUnix,
                notAfterUnix: notAfterUnix)
            let issued = try template.sign(subject: subjectKey, issuer: (certificate, key))
            index.append(
                .init(
                    serialHex: issued.serialHex, revokedUnix: nil, notAfterUnix: notAfterUnix,
                    fileName: identity.fileName, fingerprint: issued.fingerprint))
            // The index first: a certificate that exists can then always be revoked by name.
            try CredentialFile.write(
                [
                    .init(path: Path.index(directory), bytes: index.bytes, mode: 0o644),
                    .init(path: keyPath, bytes: subjectKey.pem, mode: 0o600),
                    .init(path: certificatePath, bytes: issued.pem, mode: 0o644),
                ], in: directory)
            return Issued(
                identity: identity, certificatePath: certificatePath, keyPath: keyPath, notAfterUnix: notAfterUnix)
        }
    }

    /// Revokes every certificate ever issued to `name`: `md-1`, `agent-md-1` or `agent/md-1`; `md-1` alone must be of
    /// one role only.
    ///
    /// Writes `crl.pem`; what was revoked before stays so, and its list is renewed.
    package func revoke(_ name: String, listDays: Int = revocationListDays) throws(TrustError) -> Revoked {
        try Self.requireDays(listDays, "the revocation list")
        return try CredentialFile.locked(Path.lock(directory)) { () throws(TrustError) -> Revoked in
            var index = try readIndex()
            let fileName = try Self.resolve(name, in: index)
            let now = ASN1Time.nowUnix
            let count = index.revoke(fileName: fileName, atUnix: now)
            try writeList(
                index, lastUpdateUnix: now - Self.backdatedSeconds, nextUpdateUnix: now + Int64(listDays) * Self.daySeconds)
            return Revoked(name: fileName, certificates: count, revocationListPath: Path.list(directory))
        }
    }

    /// Signs a certificate for the same identity, names and key with new dates, and writes it over `ROLE-NAME.pem`: the key stays where it
    /// is. The one before stays valid until its own end.
    ///
    /// `within`: only if the present one ends in fewer days. Returns nil where it doesn't.
    package func renew(_ name: String, days: Int = identityDays, within: Int? = nil) throws(TrustError) -> Issued? {
        return try CredentialFile.locked(Path.lock(directory)) { () throws(TrustError) -> Issued? in
            var index = try readIndex()
            let fileName = try Self.resolve(name, in: index, to: "renew")
            try Self.requireDays(days, fileName)
            let certificatePath = "\(directory)/\(fileName).pem"
            let before = try Certificate.all(pem: try CredentialFile.read(certificatePath), object: certificatePath)[0]
            guard let identity = before.identity, identity.fileName == fileName, identity.fleet == fleet else {
                throw TrustError("renew", certificatePath, "it is not \(fileName)'s", advice: "put that certificate there, or issue a new one with --force")
            }
            guard X509_verify(before.x509, X509_get0_pubkey(certificate.x509)) == 1 else {
                _ = LibCrypto.drainErrors()
                throw TrustError("renew", certificatePath, "this authority has not issued it", advice: "renew it where it was issued")
            }
            if let revoked = index.entries.first(where: { $0.serialHex == before.serialHex }), revoked.revokedUnix != nil {
                throw TrustError("renew", certificatePath, "it was revoked", advice: "issue a new one, with a new key: trading certs issue … --force")
            }
            let now = ASN1Time.nowUnix
            if let within, Expiry(untilUnix: before.notAfterUnix ?? 0, nowUnix: now).daysLeft >= Int64(within) { return nil }
            let notAfter = now + Int64(days) * Self.daySeconds
            let template = CertificateTemplate(
                commonName: fileName, uri: identity.uri, renewing: before, isAuthority: false, notBeforeUnix: now - Self.backdatedSeconds,
                notAfterUnix: notAfter)
            let issued = try template.sign(subject: nil, issuer: (certificate, key))
            index.append(
                .init(serialHex: issued.serialHex, revokedUnix: nil, notAfterUnix: notAfter, fileName: fileName, fingerprint: issued.fingerprint))
            try CredentialFile.write(
                [
                    .init(path: Path.index(directory), bytes: index.bytes, mode: 0o644),
                    .init(path: certificatePath, bytes: issued.pem, mode: 0o644),
                ], in: directory)
            return Issued(identity: identity, certificatePath: certificatePath, keyPath: "\(directory)/\(fileName).key", notAfterUnix: notAfter)
        }
    }

    /// Signs the same list again, with new dates.
    package func renewRevocationList(days: Int = revocationListDays) throws(TrustError) {
        try Self.requireDays(days, "the revocation list")
        let now = ASN1Time.nowUnix
        try renewRevocationList(
            lastUpdateUnix: now - Self.backdatedSeconds, nextUpdateUnix: now + Int64(days) * Self.daySeconds)
    }

    /// As above, with exact dates in seconds since 1970.
    package func renewRevocationList(lastUpdateUnix: Int64, nextUpdateUnix: Int64) throws(TrustError) {
        try CredentialFile.locked(Path.lock(directory)) { () throws(TrustError) in
            try writeList(try readIndex(), lastUpdateUnix: lastUpdateUnix, nextUpdateUnix: nextUpdateUnix)
        }
    }

    package var certificatePath: String { Path.certificate(directory) }
    package var revocationListPath: String { Path.list(directory) }

    private enum Path {
        static func certificate(_ directory: String) -> String { "\(directory)/ca.pem" }
        static func key(_ directory: String) -> String { "\(directory)/ca.key" }
        static func list(_ directory: String) -> String { "\(directory)/crl.pem" }
        static func index(_ directory: String) -> String { "\(directory)/index" }
        static func lock(_ directory: String) -> String { "\(directory)/.lock" }
    }

    private func readIndex() throws(TrustError) -> CertificateIndex {
        let path = Path.index(directory)
        return try CertificateIndex(bytes: try CredentialFile.read(path), object: path)
    }

    private func writeList(_ index: CertificateIndex, lastUpdateUnix: Int64, nextUpdateUnix: Int64) throws(TrustError) {
        let path = Path.list(directory)
        let entries = index.entries.compactMap { entry in
            entry.revokedUnix.map { RevocationList.Entry(serialHex: entry.serialHex, revokedUnix: $0) }
        }
        let list = try RevocationList.make(
            entries: entries, number: Self.nextNumber(path), issuer: certificate, key: key,
            lastUpdateUnix: lastUpdateUnix, nextUpdateUnix: nextUpdateUnix)
        // The list first: should the machine stop between the two, the certificate is refused and can be revoked again.
        try CredentialFile.write(
            [
                .init(path: path, bytes: list.pem, mode: 0o644),
                .init(path: Path.index(directory), bytes: index.bytes, mode: 0o644),
            ], in: directory)
    }

    /// Larger than that of the list in `path`.
    ///
    /// The clock is part of it, so that a list that was lost or broken, which must not stand in the way of a
    /// revocation, is followed by a larger one all the same.
    private static func nextNumber(_ path: String) -> Int64 {
        let now = ASN1Time.nowUnix
        do {
            let before = try RevocationList.all(pem: try CredentialFile.read(path), object: path)
            return max(now, (before.compactMap(\.number).max() ?? 0) + 1)
        } catch {
            return now
        }
    }

    private static func resolve(_ name: String, in index: CertificateIndex, to verb: String = "revoke") throws(TrustError) -> String {
        let known = Set(index.entries.map(\.fileName))
        let exact = name.replacing("/", with: "-")
        if known.contains(exact) { return exact }
        let matching = FleetIdentity.Role.allCases.map { "\($0.rawValue)-\(name)" }.filter(known.contains)
        switch matching.count {
        case 1: return matching[0]
        case 0:
            let names = known.sorted().joined(separator: ", ")
            throw TrustError(
                verb, "\"\(name)\"", "no certificate was issued under that name",
                advice: names.isEmpty ? "nothing was issued yet" : "issued are: \(names)")
        default:
            throw TrustError(
                verb, "\"\(name)\"", "several identities have that name",
                advice: "write one of: \(matching.joined(separator: ", "))")
        }
    }

    private static func requireDays(_ days: Int, _ object: String) throws(TrustError) {
        // X.509 dates end in 9999; a hundred years is already a mistake.
        guard (1...36_500).contains(days) else {
            throw TrustError("issue", object, "\(days) days isn't a validity", advice: "use 1 to 36500 days")
        }
    }
}
