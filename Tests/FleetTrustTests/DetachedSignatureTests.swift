import FleetCore
import FleetTrust
import Glibc
import Testing

@Suite struct DetachedSignatureTests {
    private let directory = TemporaryDirectory()
    private let ca: CertificateAuthority
    private let document = Array("verdict: proven\r\nnul \0 and all\n".utf8)

    init() throws {
        ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
    }

    private func sign(_ issued: CertificateAuthority.Issued) throws -> DetachedSignature {
        try DetachedSignature.sign(
            document, certPEM: CredentialFile.read(issued.certificatePath), keyPEM: CredentialFile.read(issued.keyPath))
    }

    @Test("a signature names its signer, also after the signer's certificate has expired")
    func verified() throws {
        let now = Int64(time(nil))
        let caPEM = try CredentialFile.read(ca.certificatePath)
        let fresh = try ca.issue(.coordinator, name: "ctl-1")
        #expect(try sign(fresh).verify(document, caPEM: caPEM).identity == fresh.identity)
        let old = try ca.issue(.coordinator, name: "ctl-2", notBeforeUnix: now - 1_000, notAfterUnix: now - 10)
        #expect(try sign(old).verify(document, caPEM: caPEM).identity == old.identity)
    }

    @Test("a changed document, a changed signature and another authority are found")
    func refused() throws {
        let caPEM = try CredentialFile.read(ca.certificatePath)
        let signature = try sign(ca.issue(.coordinator, name: "ctl-1"))
        for index in [0, document.count / 2, document.count - 1] {
            var changed = document
            changed[index] ^= 1
            #expect(throws: TrustError.self) { try signature.verify(changed, caPEM: caPEM) }
        }
        #expect(throws: TrustError.self) { try signature.verify(document + [0], caPEM: caPEM) }
        #expect(throws: TrustError.self) { try DetachedSignature(der: []).verify(document, caPEM: caPEM) }
        var broken = signature.der
        broken[broken.count - 5] ^= 1
        #expect(throws: TrustError.self) { try DetachedSignature(der: broken).verify(document, caPEM: caPEM) }
        let other = TemporaryDirectory()
        let foreign = try CertificateAuthority.create(directory: other.path, fleet: "demo", force: false)
        #expect(throws: TrustError.self) {
            try signature.verify(document, caPEM: CredentialFile.read(foreign.certificatePath))
        }
    }

    @Test("openssl verifies it too")
    func openssl() throws {
        let signature = try sign(ca.issue(.coordinator, name: "ctl-1"))
        for (name, bytes) in [("document", document), ("signature", signature.der)] {
            let file = try #require(fopen("\(directory.path)/\(name)", "w"))
            #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
            fclose(file)
        }
        let outcome = Program.run([
            "/usr/bin/openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "\(directory.path)/signature",
            "-content", "\(directory.path)/document", "-CAfile", ca.certificatePath, "-out", "/dev/null",
        ])
        #expect(outcome.status == 0, "\(outcome.output)")
    }
}
