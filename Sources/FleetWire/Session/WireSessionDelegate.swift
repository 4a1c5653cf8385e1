package import FleetTrust

/// Told about sessions, always on the session's own event loop, and never to block it.
package protocol WireSessionDelegate: AnyObject, Sendable {
    /// Hello and welcome are exchanged.
    func opened(_ session: WireSession)
    /// Everything but hello, welcome and heartbeats, in the order of arrival.
    func received(_ envelope: WireEnvelope, on session: WireSession)
    /// A verified peer got no session; `why` is `slug: text`.
    func refused(_ peer: VerifiedPeer, why: String)
    /// A reload has changed what the session carries; `session.limits` says what is left.
    func limitsChanged(_ session: WireSession)
    /// Exactly once for every session that was opened.
    ///
    /// `why` is `slug: text`.
    func closed(_ session: WireSession, why: String)
}

extension WireSessionDelegate {
    package func refused(_ peer: VerifiedPeer, why: String) {}
    package func limitsChanged(_ session: WireSession) {}
}
