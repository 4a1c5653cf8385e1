import FleetCore
import FleetTrust
import Glibc
import Testing

@Suite struct PeerVerifierTests {
    private let directory = TemporaryDirectory()
    private let ca: CertificateAuthority
    private let now = Int64(time(nil))

    init() throws {
        ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
    }

    private func verifier(fleet: FleetName = "demo") throws -> PeerVerifier {
        try PeerVerifier(
            caPEM: CredentialFile.read(ca.certificatePath), crlPEM: CredentialFile.read(ca.revocationListPath), fleet: fleet)
    }

    private func chain(_ issued: CertificateAuthority.Issued) throws -> [[UInt8]] {
        try Certificate.all(pem: CredentialFile.read(issued.certificatePath), object: "test").map(\.der)
    }

    private func slug(_ verdict: PeerVerdict) -> TrustSlug? {
        if case .refused(let slug, _) = verdict { slug } else { nil }
    }

    private func reasons(_ verdict: PeerVerdict) -> [String]? {
        if case .accepted(let peer) = verdict { peer.restrictedBecause.map { String($0.prefix { $0 != ":" }) } } else { nil }
    }

    @Test("an identity of the fleet is accepted without restriction")
    func accepted() throws {
        let issued = try ca.issue(.agent, name: "md-1")
        guard case .accepted(let peer) = try verifier().verify(chainDER: chain(issued), roles: [.agent]) else {
            Issue.record("refused")
            return
        }
        #expect(peer.identity == issued.identity)
        #expect(!peer.isRestricted)
        #expect(peer.notAfterUnix == issued.notAfterUnix)
        #expect(peer.fingerprint.utf8.count == 64)
    }

    @Test("no certificate, garbage, and a chain too long are refused")
    func malformed() throws {
        let verifier = try verifier()
        let good = try chain(ca.issue(.agent, name: "md-1"))
        #expect(slug(verifier.verify(chainDER: [])) == .noCertificate)
        #expect(slug(verifier.verify(chainDER: [[]])) == .badCertificate)
        #expect(slug(verifier.verify(chainDER: [[1, 2, 3]])) == .badCertificate)
        #expect(slug(verifier.verify(chainDER: [good[0] + [0]])) == .badCertificate)
        #expect(slug(verifier.verify(chainDER: [good[0].dropLast()])) == .badCertificate)
        #expect(slug(verifier.verify(chainDER: Array(repeating: good[0], count: 50))) == .badCertificate)
    }

    @Test("another authority's certificate is refused, though it names the same fleet and host")
    func foreign() throws {
        let other = TemporaryDirectory()
        let foreign = try CertificateAuthority.create(directory: other.path, fleet: "demo", force: false)
        let issued = try foreign.issue(.agent, name: "md-1")
        #expect(slug(try verifier().verify(chainDER: chain(issued))) == .foreignCA)
        let withCA = try chain(issued) + [Certificate.all(pem: CredentialFile.read(foreign.certificatePath), object: "x")[0].der]
        #expect(slug(try verifier().verify(chainDER: withCA)) == .foreignCA)
    }

    @Test("a changed certificate is refused")
    func changed() throws {
        var der = try chain(ca.issue(.agent, name: "md-1"))[0]
        let at = try #require(der.indices.first { der[$0...].starts(with: Array("agent/md-1".utf8)) })
        der[at + 9] = UInt8(ascii: "2")
        #expect(slug(try verifier().verify(chainDER: [der])) == .foreignCA)
    }

    @Test("another fleet, another role and the authority itself are refused")
    func wrongOnes() throws {
        let agent = try chain(ca.issue(.agent, name: "md-1"))
        #expect(slug(try verifier(fleet: "prod").verify(chainDER: agent)) == .wrongFleet)
        #expect(slug(try verifier().verify(chainDER: agent, roles: [.coordinator, .operator])) == .wrongRole)
        let authority = try Certificate.all(pem: CredentialFile.read(ca.certificatePath), object: "x")[0].der
        #expect(slug(try verifier().verify(chainDER: [authority])) == .badIdentity)
    }

    @Test("a revoked certificate is refused, whatever else is wrong with its dates")
    func revoked() throws {
        let plain = try ca.issue(.agent, name: "plain")
        let expired = try ca.issue(.agent, name: "expired", notBeforeUnix: now - 1_000, notAfterUnix: now - 10)
        _ = try ca.revoke("plain")
        _ = try ca.revoke("expired")
        #expect(slug(try verifier().verify(chainDER: chain(plain))) == .revoked)
        #expect(slug(try verifier().verify(chainDER: chain(expired))) == .revoked)
        try ca.renewRevocationList(lastUpdateUnix: now - 1_000, nextUpdateUnix: now - 10)
        #expect(slug(try verifier().verify(chainDER: chain(plain))) == .revoked)
        #expect(slug(try verifier().verify(chainDER: chain(expired))) == .revoked)
    }

    @Test("a peer whose only fault is a date is accepted, restricted, with each reason named")
    func restricted() throws {
        let good = try ca.issue(.agent, name: "good")
        let expired = try ca.issue(.agent, name: "expired", notBeforeUnix: now - 1_000, notAfterUnix: now - 10)
        let early = try ca.issue(.agent, name: "early", notBeforeUnix: now + 3_600, notAfterUnix: now + 7_200)
        #expect(reasons(try verifier().verify(chainDER: chain(expired))) == ["expired"])
        #expect(reasons(try verifier().verify(chainDER: chain(early))) == ["not-yet-valid"])
        try ca.renewRevocationList(lastUpdateUnix: now - 1_000, nextUpdateUnix: now - 10)
        #expect(reasons(try verifier().verify(chainDER: chain(good))) == ["stale-crl"])
        #expect(Set(reasons(try verifier().verify(chainDER: chain(expired))) ?? []) == ["expired", "stale-crl"])
        try ca.renewRevocationList(lastUpdateUnix: now + 3_600, nextUpdateUnix: now + 7_200)
        #expect(reasons(try verifier().verify(chainDER: chain(good))) == ["stale-crl"])
        // Years later the authority itself has expired as well.
        let later = try verifier().verify(chainDER: chain(good), atUnix: now + 40 * 365 * 86_400)
        #expect(Set(reasons(later) ?? []) == ["expired", "stale-crl"])
    }

    @Test("an expired certificate of another fleet is refused, not restricted")
    func expiredForeign() throws {
        let expired = try ca.issue(.agent, name: "expired", notBeforeUnix: now - 1_000, notAfterUnix: now - 10)
        #expect(slug(try verifier(fleet: "prod").verify(chainDER: chain(expired))) == .wrongFleet)
        #expect(slug(try verifier().verify(chainDER: chain(expired), roles: [.operator])) == .wrongRole)
    }

    @Test("a list of another authority, or none, can't be loaded")
    func foreignList() throws {
        let other = TemporaryDirectory()
        let foreign = try CertificateAuthority.create(directory: other.path, fleet: "demo", force: false)
        let caPEM = try CredentialFile.read(ca.certificatePath)
        #expect(throws: TrustError.self) {
            try PeerVerifier(caPEM: caPEM, crlPEM: CredentialFile.read(foreign.revocationListPath), fleet: "demo")
        }
        #expect(throws: TrustError.self) { try PeerVerifier(caPEM: caPEM, crlPEM: [], fleet: "demo") }
        #expect(throws: TrustError.self) { try PeerVerifier(caPEM: [], crlPEM: caPEM, fleet: "demo") }
    }

    @Test("an authority whose own list isn't loaded has its peers refused, beside one whose list is")
    func missingList() throws {
        let other = TemporaryDirectory()
        let second = try CertificateAuthority.create(directory: other.path, fleet: "demo", force: false)
        let both = try CredentialFile.read(ca.certificatePath) + CredentialFile.read(second.certificatePath)
        let verifier = try PeerVerifier(caPEM: both, crlPEM: CredentialFile.read(ca.revocationListPath), fleet: "demo")
        #expect(slug(verifier.verify(chainDER: try chain(second.issue(.agent, name: "md-1")))) == .crlMissing)
        #expect(reasons(verifier.verify(chainDER: try chain(ca.issue(.agent, name: "md-1")))) == [])
    }

    @Test("an older list is told from a newer one")
    func rollback() throws {
        let first = try verifier()
        _ = try ca.issue(.agent, name: "md-1")
        _ = try ca.revoke("md-1")
        let second = try verifier()
        #expect(first.isRolledBack(from: second))
        #expect(!second.isRolledBack(from: first))
        #expect(!second.isRolledBack(from: second))
    }
}
