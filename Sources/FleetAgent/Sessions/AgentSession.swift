internal import FleetCore
internal import FleetTrust
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// One live session with a coordinator or a relay, and what it may ask for.
///
/// `@unchecked Sendable`: touched on the agent's loop only.
final class AgentSession: @unchecked Sendable {
    let wire: WireSession
    /// Why its orders are not taken here; nil: they are, or it is a relay.
    let strange: String?
    /// Log followers to end with the session, by operation.
    var followers: Set<String> = []
    private var lines = RateBound(60, in: .seconds(60))

    init(_ wire: WireSession, strange: String? = nil) {
        self.wire = wire
        self.strange = strange
    }

    var id: String { wire.id }

    /// By its certificate; a coordinator's may serve as a relay, and says so.
    var isRelay: Bool { wire.peer.identity.role == .relay || wire.welcome.relay }

    var name: String { wire.peer.identity.name }

    /// Seconds since 1970, of its certificate.
    var notAfterUnix: Int64 { wire.peer.notAfterUnix }

    /// As it stands in the journal: `coordinator/ctl-1`.
    var origin: String { wire.peer.identity.author }

    /// What is left of it for reasons of trust.
    var limits: [SessionLimit] { wire.limits + (isRelay ? [.relay] : []) + (strange == nil ? [] : [.stranger]) }

    /// A relay, or a coordinator that isn't followed: what it asks takes no room from the one that is.
    var isGuest: Bool { isRelay || strange != nil }

    /// Who stands in the journal for an order: the person whom the followed coordinator names, or the guest itself (law 13).
    func author(claiming person: String) -> String { isGuest ? LatchBounds.author("\(origin), for \(person)") : person }

    /// Whether one more line about what it sends is logged.
    func maySay() -> Bool { lines.admits(at: Clock.boottime()) }

    /// On whose word a latch is held that it brings.
    var word: LatchWord { isGuest ? .relay(name) : .coordinator(name) }

    func send(_ body: WireEnvelope.OneOf_Body) {
        var envelope = WireEnvelope()
        envelope.body = body
        wire.send(envelope)
    }

    /// Nil where this session may ask for that; else why not.
    func refusal(of deed: Deed) -> (slug: String, text: String)? {
        guard let refusal = SessionRights.refusal(of: deed, under: limits) else { return nil }
        return strange.map { (refusal.slug, "\(refusal.text) (\($0))") } ?? refusal
    }
}
