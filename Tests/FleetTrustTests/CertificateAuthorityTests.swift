import FleetCore
import FleetTrust
import Glibc
import Testing

@Suite struct CertificateAuthorityTests {
    private let directory = TemporaryDirectory()

    private func mode(_ path: String) -> mode_t {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        return status.st_mode & 0o777
    }

    private func names() -> Set<String> {
        Set(Program.run(["/bin/ls", "-A", directory.path]).output.split(separator: "\n").map(String.init))
    }

    @Test("keys are readable by their owner only, certificates by all")
    func modes() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        let issued = try ca.issue(.agent, name: "md-1")
        #expect(mode("\(directory.path)/ca.key") == 0o600)
        #expect(mode(issued.keyPath) == 0o600)
        #expect(mode("\(directory.path)/ca.pem") == 0o644)
        #expect(mode(issued.certificatePath) == 0o644)
        #expect(issued.certificatePath == "\(directory.path)/agent-md-1.pem")
        #expect(names() == [".lock", "ca.pem", "ca.key", "crl.pem", "index", "agent-md-1.pem", "agent-md-1.key"])
    }

    @Test("nothing is overwritten without force")
    func overwriting() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        let issued = try ca.issue(.operator, name: "alice")
        let before = try CredentialFile.read(issued.keyPath)
        #expect(throws: TrustError.self) { try ca.issue(.operator, name: "alice") }
        #expect(throws: TrustError.self) {
            try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        }
        #expect(try CredentialFile.read(issued.keyPath) == before)
        #expect(try CertificateAuthority(directory: directory.path).fleet == "demo")
        _ = try ca.issue(.operator, name: "alice", force: true)
        #expect(try CredentialFile.read(issued.keyPath) != before)
    }

    @Test("a name that the inventory would refuse gets no certificate", arguments: ["", "-x", "a/b", "a b", "a,URI:spiffe://x"])
    func names(name: String) throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        #expect(throws: TrustError.self) { try ca.issue(.agent, name: name) }
        #expect(throws: TrustError.self) { try ca.issue(.agent, name: "x", days: 0) }
        #expect(names() == [".lock", "ca.pem", "ca.key", "crl.pem", "index"])
    }

    @Test("an issue that can't be written leaves nothing new behind")
    func allOrNothing() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        // A directory in the key's place can't be replaced by a file.
        #expect(mkdir("\(directory.path)/agent-md-1.key", 0o700) == 0)
        #expect(throws: TrustError.self) { try ca.issue(.agent, name: "md-1", force: true) }
        #expect(names() == [".lock", "ca.pem", "ca.key", "crl.pem", "index", "agent-md-1.key"])
    }

    @Test("a revocation finds its certificate by name, by file name and by role/name, and says which names exist")
    func revocationByName() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        for name in ["md-1", "md-2", "md-3", "both"] { _ = try ca.issue(.agent, name: name) }
        _ = try ca.issue(.operator, name: "both")
        #expect(try ca.revoke("md-1").name == "agent-md-1")
        #expect(try ca.revoke("agent-md-2").certificates == 1)
        #expect(try ca.revoke("agent/md-3").certificates == 1)
        #expect(try ca.revoke("md-3").certificates == 0)
        let ambiguous = #expect(throws: TrustError.self) { try ca.revoke("both") }
        #expect(ambiguous?.description.contains("agent-both, operator-both") == true)
        let unknown = #expect(throws: TrustError.self) { try ca.revoke("md-9") }
        #expect(unknown?.description.contains("issued are: agent-both") == true)
    }

    @Test("a renewed certificate's predecessor is revoked with it")
    func revokesAll() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        _ = try ca.issue(.agent, name: "md-1")
        _ = try ca.issue(.agent, name: "md-1", force: true)
        #expect(try ca.revoke("md-1").certificates == 2)
    }

    @Test("an authority is opened only with its own key")
    func foreignKey() throws {
        _ = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        let other = TemporaryDirectory()
        _ = try CertificateAuthority.create(directory: other.path, fleet: "demo", force: false)
        #expect(Program.run(["/bin/cp", "\(other.path)/ca.key", "\(directory.path)/ca.key"]).status == 0)
        #expect(throws: TrustError.self) { try CertificateAuthority(directory: directory.path) }
    }

    @Test("openssl verifies what was issued, and refuses it once revoked")
    func openssl() throws {
        let ca = try CertificateAuthority.create(directory: directory.path, fleet: "demo", force: false)
        let issued = try ca.issue(.coordinator, name: "ctl-1")
        let command = [
            "/usr/bin/openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", ca.certificatePath, "-CRLfile",
            ca.revocationListPath, issued.certificatePath,
        ]
        let good = Program.run(command)
        #expect(good.status == 0, "\(good.output)")
        _ = try ca.revoke("ctl-1")
        let bad = Program.run(command)
        #expect(bad.status != 0)
        #expect(bad.output.contains("certificate revoked"))
    }
}
