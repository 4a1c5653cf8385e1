package import FleetCore
import FleetTrust
package import FleetWire

/// Signs with the operator's own key what must prove whose word it is: an emergency stop, its release, a succession.
package struct OperatorSignature: Sendable {
    /// `operator/alice`, as coordinators know the caller.
    package let author: String
    package let fleet: FleetName
    private let certPEM: [UInt8]
    private let keyPEM: [UInt8]

    /// Nil where the settings have no identity, or it is no operator's, or can't be read: what can't be signed goes out as the
    /// coordinator's or relay's word.
    package init?(_ settings: FleetClientSettings, _ trust: TLSTrust?) {
        guard let certificate = settings.certificate, let key = settings.key, let own = trust?.ownIdentity, own.role == .operator else { return nil }
        do {
            certPEM = try CredentialFile.read(certificate)
            keyPEM = try CredentialFile.read(key)
        } catch {
            return nil
        }
        author = "operator/\(own.name)"
        fleet = own.fleet
    }

    /// Base64; empty when the key refuses. About a millisecond.
    package func sign(_ statement: [UInt8]) -> String {
        do { return Base64.encode(try DetachedSignature.sign(statement, certPEM: certPEM, keyPEM: keyPEM).der) } catch { return "" }
    }
}
