package import FleetTrust
import Logging
package import NIOCore
import NIOSSL
import NIOTLS

/// Fired once a peer is verified, and again when a reload changes what is held against it.
package struct PeerVerified: Equatable, Sendable {
    package let peer: VerifiedPeer
}

/// Stands behind every TLS handler and lets nothing through that wasn't verified.
///
/// 1. It runs our verification when the TLS handler asks for one, and keeps the verdict.
/// 2. When the handshake completes without a verdict of ours, which is what a resumed session does, it closes.
/// 3. It closes a connection whose handshake isn't over in time, or, of an accepted one, when too many others wait (``HandshakeQueue``).
/// 4. It logs every refusal with its slug, and fires it down the pipeline as a ``HandshakeRefusal``.
/// 5. Once open, it is in the register that a reload goes through, and closes when the new material refuses the peer.
package final class VerifiedHandshakeGate: ChannelInboundHandler, RemovableChannelHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    /// From the connection to a verified peer; a slow link needs two round trips, a busy machine some tenths of a second.
    static let handshakeMax: TimeAmount = .seconds(10)

    private let trust: TLSTrust
    private let roles: Set<FleetIdentity.Role>
    private let onVerified: (@Sendable (VerifiedPeer, any Channel) -> Void)?
    private var state = State.handshaking(nil)
    private var context: ChannelHandlerContext?
    private var deadline: Scheduled<Void>?
    private let isAccepted: Bool
    private var ticket: UInt64?

    private enum State {
        /// With the verdict, once the TLS handler has asked.
        case handshaking((verdict: PeerVerdict, generation: UInt64)?)
        case open(VerifiedPeer)
        /// Refused, or gone: nothing passes any more.
        case shut
    }

    init(
        trust: TLSTrust, roles: Set<FleetIdentity.Role>, isAccepted: Bool,
        onVerified: (@Sendable (VerifiedPeer, any Channel) -> Void)?
    ) {
        self.trust = trust
        self.roles = roles
        self.isAccepted = isAccepted
        self.onVerified = onVerified
    }

    /// The verified peer; nil before the handshake is over, and after a refusal.
    package var peer: VerifiedPeer? {
        if case .open(let peer) = state { peer } else { nil }
    }

    // MARK: verification

    /// The TLS handler asks.
    ///
    /// Never called for a resumed session.
    func verify(_ chain: [NIOSSLCertificate], _ promise: EventLoopPromise<NIOSSLVerificationResult>) {
        do {
            let result = trust.verdict(on: try chain.map { try $0.toDERBytes() }, roles: roles)
            if case .handshaking = state { state = .handshaking(result) }
            if case .accepted = result.verdict {
                promise.succeed(.certificateVerified)
            } else {
                promise.succeed(.failed)
            }
        } catch {
            state = .handshaking((.refused(slug: .badCertificate, text: "\(error)"), 0))
            promise.succeed(.failed)
        }
    }

    /// A reload has verified the stored chain again.
    func reverified(_ verdict: PeerVerdict) {
        guard case .open(let before) = state, let context else { return }
        switch verdict {
        case .accepted(let peer):
            guard peer != before else { return }
            state = .open(peer)
            context.fireUserInboundEventTriggered(PeerVerified(peer: peer))
        case .refused(let slug, let text):
            refuse(HandshakeRefusal(slug: slug, text: text), context)
        }
    }

    // MARK: channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let box = NIOLoopBound(self, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: Self.handshakeMax) { box.value.handshakeTimedOut() }
        if isAccepted { ticket = trust.handshakeBegan(box, on: context.eventLoop) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { shut() }

    package func channelInactive(context: ChannelHandlerContext) {
        if case .handshaking = state {
            report(HandshakeRefusal(slug: .abandoned, text: "it closed the connection during the handshake"), context)
        }
        shut()
        context.fireChannelInactive()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .open = state { context.fireChannelRead(data) }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? TLSUserEvent, case .handshakeCompleted = event else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        guard case .handshaking(let found) = state else { return }
        guard var found else {
            refuse(
                HandshakeRefusal(slug: .resumed, text: "it resumed a TLS session, in which no certificate is verified"),
                context)
            return
        }
        let gate = NIOLoopBound(self, eventLoop: context.eventLoop)
        while true {
            switch found.verdict {
            case .refused(let slug, let text):
                refuse(HandshakeRefusal(slug: slug, text: text), context)
                return
            case .accepted(let peer):
                guard
                    trust.register(
                        gate, id: ObjectIdentifier(self), on: context.eventLoop, peer, roles: roles,
                        generation: found.generation)
                else {
                    found = trust.verdict(on: peer.chainDER, roles: roles)
                    continue
                }
                state = .open(peer)
                handshakeOver()
                onVerified?(peer, context.channel)
                context.fireUserInboundEventTriggered(PeerVerified(peer: peer))
                context.fireUserInboundEventTriggered(event)
                return
            }
        }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch state {
        case .handshaking(let found):
            if case .refused(let slug, let text) = found?.verdict {
                refuse(HandshakeRefusal(slug: slug, text: text), context)
            } else {
                refuse(HandshakeRefusal(handshake: error), context)
            }
        case .open:
            if let refusal = HandshakeRefusal(alert: error) {
                refuse(refusal, context)
            } else {
                context.fireErrorCaught(error)
            }
        case .shut:
            // Told already; what the TLS handler has to say about closing adds nothing.
            break
        }
    }

    // MARK: private

    private func handshakeTimedOut() {
        guard case .handshaking = state, let context else { return }
        refuse(
            HandshakeRefusal(slug: .handshakeTimeout, text: "no handshake within \(Self.handshakeMax.nanoseconds / 1_000_000_000) s"),
            context)
    }

    /// Too many handshakes are unfinished, and this is the oldest of them.
    func giveWay() {
        guard case .handshaking = state, let context else { return }
        refuse(HandshakeRefusal(slug: .crowded, text: "more handshakes are unfinished than are kept, and this is the oldest"), context)
    }

    private func refuse(_ refusal: HandshakeRefusal, _ context: ChannelHandlerContext) {
        report(refusal, context)
        shut(keepContext: true)
        context.fireErrorCaught(refusal)
        context.close(promise: nil)
    }

    private func report(_ refusal: HandshakeRefusal, _ context: ChannelHandlerContext) {
        let address = context.remoteAddress.map { "\($0)" } ?? "unknown"
        // A probe that connects and leaves (a load balancer, a port scan) calls for nobody.
        let level: Logger.Level = refusal.slug == .abandoned ? .info : .warning
        trust.peerLog.log(
            level, "peer refused", ["slug": "\(refusal.slug)", "why": "\(refusal.text)", "peer": "\(address)"], about: refusal.slug.rawValue, to: trust.log)
    }

    private func shut(keepContext: Bool = false) {
        state = .shut
        handshakeOver()
        trust.unregister(ObjectIdentifier(self))
        if !keepContext { context = nil }
    }

    private func handshakeOver() {
        deadline?.cancel()
        deadline = nil
        ticket.map(trust.handshakeEnded)
        ticket = nil
    }
}

extension VerifiedPeer {
    /// The verified peer of a connection with the handlers of ``TLSTrust``; nil when there is none (yet).
    ///
    /// Only on the channel's event loop.
    package static func of(_ channel: any Channel) -> VerifiedPeer? {
        do {
            return try channel.pipeline.syncOperations.handler(type: VerifiedHandshakeGate.self).peer
        } catch {
            // No such handler: a Unix socket, or plain HTTP on loopback.
            return nil
        }
    }
}
