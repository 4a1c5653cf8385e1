/// A typed name: the same spelling everywhere, never mixed up with a name of another kind.
package protocol Name: Hashable, Comparable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    var raw: String { get }
    init(_ raw: String)
}

extension Name {
    package var description: String { raw }
    package init(stringLiteral value: String) { self.init(value) }
    package static func < (a: Self, b: Self) -> Bool { a.raw < b.raw }
}

/// A name as the inventory allows it: 1 to 63 letters, digits, `-`, `_` or `.`, starting with a letter or a digit.
package func isValidName(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= 63 else { return false }
    func alphanumeric(_ c: UInt8) -> Bool { (48...57).contains(c) || (65...90).contains(c) || (97...122).contains(c) }
    return alphanumeric(first) && text.utf8.allSatisfy { alphanumeric($0) || $0 == 45 || $0 == 95 || $0 == 46 }
}

package struct FleetName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

package struct HostName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

package struct ServiceName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

package struct TierName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

package struct StreamName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

package struct CoordinatorName: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

/// One service on one host, written `service@host`.
package struct WorkerName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let service: ServiceName
    package let host: HostName

    package init(_ service: ServiceName, on host: HostName) {
        self.service = service
        self.host = host
    }

    /// Parses `service@host`; nil when either side is missing.
    package init?(_ text: String) {
        guard let at = text.firstIndex(of: "@") else { return nil }
        let service = String(text[..<at])
        let host = String(text[text.index(after: at)...])
        guard !service.isEmpty, !host.isEmpty, !host.contains("@") else { return nil }
        self.init(ServiceName(service), on: HostName(host))
    }

    package var description: String { "\(service)@\(host)" }

    package static func < (a: Self, b: Self) -> Bool {
        a.service == b.service ? a.host < b.host : a.service < b.service
    }
}
