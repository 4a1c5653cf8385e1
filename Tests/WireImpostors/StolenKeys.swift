import FleetCore
import FleetTrust
package import FleetWire
import Glibc
package import Logging

/// A directory of certificates and keys, in whoever's hands.
package struct StolenKeys: Sendable {
    package let directory: String
    package let fleet: String

    package init(_ directory: String, fleet: String = "demo") {
        self.directory = directory
        self.fleet = fleet
    }

    package static var quiet: Logger { Logger(label: "attack", factory: { _ in SwiftLogNoOpLogHandler() }) }

    /// Of the files `NAME.pem` and `NAME.key`.
    package func trust(_ name: String) throws -> TLSTrust {
        try TLSTrust(
            paths: TLSPaths(cert: "\(directory)/\(name).pem", key: "\(directory)/\(name).key", ca: "\(directory)/ca.pem", crl: "\(directory)/crl.pem"),
            fleet: FleetName(fleet), lists: .optional, log: Self.quiet)
    }
}

/// Looks at a level every 20 ms until it holds; false when `within` seconds have passed.
func comes(within seconds: Int, _ holds: () -> Bool) -> Bool {
    for _ in 0..<seconds * 50 {
        if holds() { return true }
        poll(nil, 0, 20)
    }
    return holds()
}

extension StolenKeys {
    /// Lower-case hexadecimal.
    package static func sha256(_ bytes: [UInt8]) -> String { Digest.sha256Hex(bytes) }

    /// Replaces an identity by one whose last day was years ago.
    package func issueExpired(_ role: String, _ name: String) throws {
        guard let role = FleetIdentity.Role(rawValue: role) else { preconditionFailure("no role \(role)") }
        _ = try CertificateAuthority(directory: directory).issue(role, name: name, notBeforeUnix: 1_600_000_000, notAfterUnix: 1_600_086_400, force: true)
    }
}

extension StolenKeys {
    /// Replaces the authority's list by one of today, newer than any before.
    package func freshList() throws { try CertificateAuthority(directory: directory).renewRevocationList() }

    /// Writes the authority's list with dates that are past.
    package func staleList(at path: String) throws {
        let authority = try CertificateAuthority(directory: directory)
        let current = try CredentialFile.read(authority.revocationListPath)
        try authority.renewRevocationList(lastUpdateUnix: 1_600_000_000, nextUpdateUnix: 1_600_086_400)
        let stale = try CredentialFile.read(authority.revocationListPath)
        try CredentialFile.replace(authority.revocationListPath, current, mode: 0o644)
        try CredentialFile.replace(path, stale, mode: 0o644)
    }
}

extension StolenKeys {
    private func signature(over bytes: [UInt8], by signer: String) throws -> [UInt8] {
        try DetachedSignature.sign(
            bytes, certPEM: CredentialFile.read("\(directory)/\(signer).pem"), keyPEM: CredentialFile.read("\(directory)/\(signer).key")
        ).der
    }

    /// Signs a file as a coordinator signs its certificates.
    package func sign(_ path: String, by signer: String, to signature: String) throws {
        try CredentialFile.replace(signature, self.signature(over: CredentialFile.read(path), by: signer), mode: 0o644)
    }

    /// The signature of an emergency stop, as `trading` makes it, in base64.
    package func sign(_ latch: WireLatch, by signer: String) throws -> String {
        Base64.encode(try signature(over: LatchStatement.set(latch.core(word: .signed), fleet: FleetName(fleet)), by: signer))
    }

    /// The signature of its release.
    package func signRelease(_ latch: WireLatch, by signer: String) throws -> String {
        guard let release = latch.core(word: .signed).release else { preconditionFailure("\(latch.id) is not released") }
        return Base64.encode(try signature(over: LatchStatement.release(latch.id, release, fleet: FleetName(fleet)), by: signer))
    }

    /// An identity with exact dates, in place of the one that is there.
    package func issue(_ role: String, _ name: String, fromUnix: Int64, toUnix: Int64) throws {
        guard let role = FleetIdentity.Role(rawValue: role) else { preconditionFailure("no role \(role)") }
        _ = try CertificateAuthority(directory: directory).issue(role, name: name, notBeforeUnix: fromUnix, notAfterUnix: toUnix, force: true)
    }
}
