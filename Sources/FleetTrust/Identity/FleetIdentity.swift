package import FleetCore

/// Who a certificate speaks for: a role, a name and the fleet, written as the URI SAN `spiffe://<fleet>/<role>/<name>`.
///
/// Source: the SPIFFE ID standard, section 2, narrowed to the names that the inventory allows.
package struct FleetIdentity: Hashable, Sendable, CustomStringConvertible {
    package enum Role: String, CaseIterable, Sendable {
        case agent, coordinator, relay, `operator`
    }

    package let role: Role
    package let name: String
    package let fleet: FleetName

    /// Nil when the name or the fleet is one that the inventory would refuse (see ``isValidName(_:)``).
    package init?(role: Role, name: String, fleet: FleetName) {
        guard isValidName(name), isValidName(fleet.raw) else { return nil }
        self.role = role
        self.name = name
        self.fleet = fleet
    }

    /// Parses `spiffe://<fleet>/agent/<host>` and its siblings; nil for anything else, other roles included.
    package init?(uri: String) {
        let scheme = "spiffe://"
        guard uri.hasPrefix(scheme) else { return nil }
        let parts = uri.dropFirst(scheme.count).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 3, let role = Role(rawValue: String(parts[1])) else { return nil }
        self.init(role: role, name: String(parts[2]), fleet: FleetName(String(parts[0])))
    }

    /// What a fleet's or an identity's name may be, for whoever writes one.
    package static let nameRule = "up to 63 letters, digits, '-', '_' or '.', starting with a letter or a digit"

    package var uri: String { "spiffe://\(fleet)/\(role.rawValue)/\(name)" }

    /// `operator/alice`: as it stands in a record, a statement or a certificate.
    package var author: String { "\(role.rawValue)/\(name)" }

    /// `operator-alice`: the name of its files and how people refer to it.
    package var fileName: String { "\(role.rawValue)-\(name)" }

    package var description: String { uri }
}
