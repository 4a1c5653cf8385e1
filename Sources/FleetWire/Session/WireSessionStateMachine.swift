package import FleetCore

/// What one end of a session is in, and what follows from each event.
///
/// No NIO, no clock: time comes in.
///
///     server:  verifying -> awaitingHello -> deciding -> open -> closed
///     client:  verifying -> awaitingWelcome ---------- -> open -> closed
package struct WireSessionStateMachine: Equatable, Sendable {
    package enum Side: Equatable, Sendable { case server, client }

    package enum State: Equatable, Sendable {
        /// TLS; the gate has its own deadline.
        case verifying
        /// Server: the peer is verified and must say hello.
        case awaitingHello(since: BootTime)
        /// Server: the hello is here, the answer isn't made yet.
        case deciding
        /// Client: hello is said, the welcome must come.
        case awaitingWelcome(since: BootTime)
        case open
        case closed
    }

    /// What kind of message came, as far as the session is concerned.
    package enum Kind: Equatable, Sendable { case hello, welcome, refusal, heartbeat, other, nothing }

    package enum VerifiedAction: Equatable, Sendable { case sayHello, awaitHello, noteChange, ignore }
    package enum ReceivedAction: Equatable, Sendable {
        case answerHello, open, endRefused, noteHeartbeat, deliver, ignore
        case close(slug: String, text: String)
    }
    package enum TickAction: Equatable, Sendable {
        case nothing, sendHeartbeat
        case close(slug: String, text: String)
    }

    package private(set) var state = State.verifying
    package let side: Side
    private var timing: WireTiming
    private var heardAt = BootTime.zero
    private var frameSince: BootTime?
    private var unwritableSince: BootTime?

    package init(side: Side, timing: WireTiming) {
        self.side = side
        self.timing = timing
    }

    /// The gate has verified the peer, or verified it again.
    package mutating func peerVerified(at now: BootTime) -> VerifiedAction {
        switch state {
        case .verifying where side == .server:
            state = .awaitingHello(since: now)
            return .awaitHello
        case .verifying:
            state = .awaitingWelcome(since: now)
            return .sayHello
        case .awaitingHello, .awaitingWelcome, .deciding, .open: return .noteChange
        case .closed: return .ignore
        }
    }

    package mutating func received(_ kind: Kind, at now: BootTime) -> ReceivedAction {
        heardAt = now
        switch (state, kind) {
        case (.closed, _): return .ignore
        case (.awaitingHello, .hello):
            state = .deciding
            return .answerHello
        case (.awaitingWelcome, .welcome):
            state = .open
            return .open
        case (.awaitingWelcome, .refusal), (.open, .refusal), (.awaitingHello, .refusal): return .endRefused
        case (.open, .heartbeat): return .noteHeartbeat
        case (.open, .other): return .deliver
        // A later version's message: fields and bodies unknown here are no fault.
        case (.open, .nothing): return .ignore
        default: return .close(slug: "out-of-order", text: "it sent a \(kind) where the session expects something else")
        }
    }

    /// The server's answer is a welcome, or the client's welcome has told the bounds.
    package mutating func opened(timing: WireTiming, at now: BootTime) {
        precondition(state == .deciding || state == .open, "a session opened while \(state)")
        self.timing = timing
        state = .open
        heardAt = now
    }

    /// Bytes have come; `midFrame`: the last frame among them isn't complete.
    package mutating func bytesRead(midFrame: Bool, at now: BootTime) {
        guard midFrame else {
            frameSince = nil
            return
        }
        if frameSince == nil { frameSince = now }
        // A large frame on a slow link is no silence; the frame's own bound ends a trickle.
        heardAt = now
    }

    /// A frame has ended: one that has begun since is another, with a bound of its own.
    package mutating func frameEnded() { frameSince = nil }

    package mutating func writabilityChanged(_ writable: Bool, at now: BootTime) {
        if writable {
            unwritableSince = nil
        } else if unwritableSince == nil {
            unwritableSince = now
        }
    }

    /// Bytes wait for the reader; nil, or why it must be cut off.
    package func outboxHolds(_ bytes: Int) -> (slug: String, text: String)? {
        guard bytes > timing.outboxBytesMax else { return nil }
        return ("slow-reader", "it is \(bytes >> 10) KiB behind, more than \(timing.outboxBytesMax >> 10)")
    }

    /// Called once a heartbeat.
    package mutating func ticked(at now: BootTime) -> TickAction {
        if let since = unwritableSince, now - since > timing.stalled {
            return .close(slug: "slow-reader", text: "it has read nothing for \((now - since).words)")
        }
        if let since = frameSince, now - since > timing.frame {
            return .close(slug: FrameError.slug, text: "it began a frame \((now - since).words) ago and hasn't ended it")
        }
        switch state {
        case .verifying, .deciding, .closed: return .nothing
        case .awaitingHello(let since):
            return now - since > timing.greeting
                ? .close(slug: "no-hello", text: "it said no hello within \(timing.greeting.words)") : .nothing
        case .awaitingWelcome(let since):
            return now - since > timing.greeting
                ? .close(slug: "no-welcome", text: "it gave no answer to hello within \(timing.greeting.words)") : .nothing
        case .open:
            return now - heardAt > timing.timeout
                ? .close(slug: "silent", text: "nothing heard for \((now - heardAt).words)") : .sendHeartbeat
        }
    }

    /// True the first time.
    package mutating func closed() -> Bool {
        defer { state = .closed }
        return state != .closed
    }
}
