/// What somebody asks another side to do, as far as trust is concerned.
package enum Deed: String, Sendable, CaseIterable {
    case readStatus = "status"
    case readLogs = "logs"
    case readAudit = "audit"
    /// Of an emergency stop, on the asker's own word.
    case setLatch = "emergency stop"
    /// On the asker's own word.
    case releaseLatch = "release of an emergency stop"
    /// With the signature of an operator, which is looked at by whoever obeys.
    case releaseSignedLatch = "signed release of an emergency stop"
    case quiesce
    /// And what belongs to a stop: holds, gates, the look at what is left.
    case stop
    case start
    case restart
    case resume
    case lock
    case unlock
    case note
    case readLayout = "layout"
    case applyLayout = "layout apply"
    /// Overrides, attestations and aborts of a run.
    case intervene = "decision about a run"
    case sendPart = "part of the inventory"
    /// Which coordinator's store agents follow.
    case succeed = "succession of coordinators"
}

/// What limits a session or a caller; more than one may hold.
package enum SessionLimit: String, Sendable, CaseIterable {
    /// The only fault of a certificate, or of the revocation list, is a date.
    case restricted
    /// No revocation list was ever seen: whether the peer was revoked can't be told.
    case unlisted
    /// The role is relay, or a coordinator that serves as one.
    case relay
    /// A coordinator whose orders this agent does not take: it follows another store.
    case stranger

    /// The one list of what is left under this limit (DESIGN: "Wire and trust"): for agents, API callers and the command line.
    package var allowed: Set<Deed> {
        switch self {
        case .restricted: [.readStatus, .setLatch, .quiesce, .stop]
        case .unlisted: [.readStatus, .setLatch]
        case .relay: [.readStatus, .setLatch, .releaseSignedLatch, .quiesce]
        case .stranger: [.readStatus, .setLatch, .releaseSignedLatch]
        }
    }

    package var slug: String {
        switch self {
        case .restricted, .unlisted: "restricted"
        case .relay: "not-here"
        case .stranger: "other-coordinator"
        }
    }

    /// Why, and what to do.
    package var words: String {
        let kept = Deed.allCases.filter { allowed.contains($0) }.map(\.rawValue).joined(separator: ", ")
        return switch self {
        case .restricted:
            "a certificate or the revocation list is out of date: \(kept) go on. Renew it: trading certs renew NAME, or the list: trading certs renew-crl; copy it and send SIGHUP"
        case .unlisted: "no revocation list was ever seen here, so nobody can say who was revoked: \(kept) go on. Install crl.pem"
        case .relay: "a relay carries \(kept), nothing else. Ask a full coordinator"
        case .stranger:
            "this host follows another coordinator's store: \(kept) go on. trading status HOST shows whose; trading coordinator succeed takes over"
        }
    }
}

/// Whether a deed is allowed where limits hold.
package enum SessionRights {
    package static func refusal(of deed: Deed, under limits: some Sequence<SessionLimit>) -> (slug: String, text: String)? {
        for limit in limits where !limit.allowed.contains(deed) { return (limit.slug, "no \(deed.rawValue) here: \(limit.words)") }
        return nil
    }
}
