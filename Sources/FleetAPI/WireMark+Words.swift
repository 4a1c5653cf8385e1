package import FleetWire

extension WireMark {
    /// Who said it, without the kind of identity: `alice` of `operator/alice`.
    package var person: String { by.hasPrefix("operator/") ? String(by.dropFirst(9)) : by }
}
