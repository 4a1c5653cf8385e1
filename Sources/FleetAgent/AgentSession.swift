internal import FleetWire
internal import NIOCore

/// One live session with a coordinator or a relay, and what it may ask for.
///
/// `@unchecked Sendable`: touched on the agent's loop only.
final class AgentSession: @unchecked Sendable {
    let wire: WireSession
    /// Log followers to end with the session, by operation.
    var followers: Set<String> = []

    init(_ wire: WireSession) { self.wire = wire }

    var id: String { wire.id }
    var isRelay: Bool { wire.welcome.relay }
    /// A fault of dates on either side: status, latch, quiesce and stop only.
    var isRestricted: Bool { wire.isRestricted }

    func send(_ body: WireEnvelope.OneOf_Body) {
        var envelope = WireEnvelope()
        envelope.body = body
        wire.send(envelope)
    }

    /// Nil where this session may ask for that; else why not.
    func refusal(_ what: WireCommand.OneOf_What?) -> (slug: String, text: String)? {
        switch what {
        case nil: return ("unknown-command", "this agent does not know that command; it is older than the coordinator. Update it")
        case .readGate, .readStreams, .verify, .snapshot, .quiesce, .readDetail: return nil
        // What ends a stop goes with the stop: a held worker of a restricted session must not stay held.
        case .holdWait, .holdRelease, .lock: return isRelay ? ("not-allowed", "a relay may quiesce and emergency-stop, nothing else. Ask a coordinator") : nil
        case .stop:
            return isRelay ? ("not-allowed", "a relay may quiesce and emergency-stop, not stop. Ask a coordinator") : nil
        case .start, .resume, .unlock, .remark, .layout:
            if isRelay { return ("not-allowed", "a relay may quiesce and emergency-stop, nothing else. Ask a coordinator") }
            if isRestricted {
                return ("restricted", "a certificate's dates are wrong on this session: it may show status, quiesce and stop. Renew the certificate")
            }
            return nil
        }
    }
}
