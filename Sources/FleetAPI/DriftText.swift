package import FleetWire

/// One thing that is unlike the declared layout, in words.
package enum DriftText {
    /// `IRQ 143 (ens1f0-rx-2): 0-5, wanted 0-1, disturbs feed-xlon`
    package static func words(_ drift: WireLayoutDrift) -> String {
        var text = drift.subject
        if !drift.found.isEmpty { text += ": \(drift.found)" }
        if !drift.wanted.isEmpty { text += ", wanted \(drift.wanted)" }
        if !drift.service.isEmpty, !drift.subject.contains(drift.service) { text += ", disturbs \(drift.service)" }
        return text
    }
}
