import FleetCore
import FleetTrust
import LinuxHost
import Logging
import NIOCore
import SwiftProtobuf

/// One end of a session, behind TLS and its gate.
///
/// 1. It exchanges hello and welcome, or refuses and says why.
/// 2. It delivers the messages to the delegate and keeps the heartbeats to itself.
/// 3. It ends a session that is silent, out of order, holds back half a frame or reads too slowly.
/// The decisions are ``WireSessionStateMachine``'s.
final class WireSessionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Role {
        case server(answer: @Sendable (WireHello, VerifiedPeer) -> Result<WireWelcome, WireRefusal>, unopened: UnopenedPeers)
        case client(hello: @Sendable () -> WireHello)
    }

    /// Set once the session is open.
    private(set) var session: WireSession?
    /// Of the message that is being delivered.
    private(set) var payloadBytes = 0
    private let role: Role
    private let timing: WireTiming
    private let group: SessionGroup
    private let log: Logger
    private let peerLog: PeerLog
    private weak var delegate: (any WireSessionDelegate)?
    private let opened: @Sendable () -> Void
    private let ended: @Sendable (_ why: String) -> Void
    private var machine: WireSessionStateMachine
    private var decoder: FrameDecoder
    /// Bytes that came while others were being decoded: a write that fails in the middle has the channel deliver what is left.
    private var arrived: [ByteBuffer] = []
    private var isDecoding = false
    private var peer: VerifiedPeer?
    private var hello: WireHello?
    private var context: ChannelHandlerContext?
    private var wasConnected = false
    /// True while this connection counts among those of its peer that have no session.
    private var isUnopened = false

    /// `opened` is called before the delegate's; `ended` exactly once for a connection that came about, opened or not.
    init(
        role: Role, timing: WireTiming, group: SessionGroup, delegate: (any WireSessionDelegate)?, log: Logger, peerLog: PeerLog,
        opened: @escaping @Sendable () -> Void = {}, ended: @escaping @Sendable (_ why: String) -> Void = { _ in }
    ) {
        self.role = role
        self.timing = timing
        self.group = group
        self.delegate = delegate
        self.log = log
        self.peerLog = peerLog
        self.opened = opened
        self.ended = ended
        let side: WireSessionStateMachine.Side = if case .server = role { .server } else { .client }
        machine = WireSessionStateMachine(side: side, timing: timing)
        decoder = FrameDecoder(payloadMax: side == .server ? FrameDecoder.helloMax : FrameDecoder.payloadMax)
    }

    // MARK: channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        wasConnected = context.channel.isActive
        group.add(self)
    }

    func channelActive(context: ChannelHandlerContext) {
        wasConnected = true
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish(slug: "closed", text: "the connection was torn down")
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(slug: "disconnected", text: "the peer closed the connection")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let refusal = error as? HandshakeRefusal {
            finish(slug: refusal.slug.rawValue, text: refusal.text)
        } else {
            finish(slug: "disconnected", text: Self.words(error))
        }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let verified = event as? PeerVerified else { return context.fireUserInboundEventTriggered(event) }
        peer = verified.peer
        switch machine.peerVerified(at: Clock.boottime()) {
        case .sayHello:
            guard case .client(let make) = role else { return }
            let hello = make()
            self.hello = hello
            send(.with { $0.hello = hello })
        case .noteChange:
            session?.peerChanged(verified.peer)
            tellStanding(verified.peer)
            logSession("the peer was verified again", verified.peer)
        case .awaitHello: count(verified.peer)
        case .ignore: break
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        arrived.append(unwrapInboundIn(data))
        guard !isDecoding else { return }
        isDecoding = true
        defer { isDecoding = false }
        while !arrived.isEmpty { decode(arrived.removeFirst()) }
    }

    private func decode(_ bytes: ByteBuffer) {
        guard machine.state != .closed else { return }
        let now = Clock.boottime()
        do {
            try decoder.decode(bytes) { envelope, payloadBytes in
                machine.frameEnded()
                self.payloadBytes = payloadBytes
                received(envelope, at: now)
            }
            machine.bytesRead(midFrame: decoder.isMidFrame, at: now)
            if session != nil { decoder.payloadMax = FrameDecoder.payloadMax }
        } catch {
            end(slug: FrameError.slug, text: "\(error)", tell: false)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        machine.writabilityChanged(context.channel.isWritable, at: Clock.boottime())
        context.fireChannelWritabilityChanged()
    }

    // MARK: called by group and session

    func write(_ frame: ByteBuffer) {
        guard let context, machine.state != .closed else { return }
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
        if !context.channel.isWritable { checkOutbox(context) }
    }

    /// `heartbeat` where one is due.
    func tick(_ now: BootTime, heartbeat: ByteBuffer?) {
        switch machine.ticked(at: now) {
        case .nothing: break
        case .sendHeartbeat: if let heartbeat { write(heartbeat) }
        case .close("slow-reader", let text): abort(slug: "slow-reader", text: text)
        case .close(let slug, let text): end(slug: slug, text: text, tell: true)
        }
    }

    /// Ends the session; with `tell` says so to the peer first.
    func end(slug: String, text: String, tell: Bool) {
        guard let context, machine.state != .closed else { return }
        if tell {
            send(
                .with {
                    $0.refusal = .with {
                        $0.slug = slug; $0.text = text
                    }
                })
        }
        finish(slug: slug, text: text)
        context.close(promise: nil)
    }

    // MARK: messages

    private func received(_ envelope: WireEnvelope, at now: BootTime) {
        if let fault = MessageBounds.wire.fault(in: envelope) {
            return end(slug: MessageBounds.slug, text: "its message is out of bounds: \(fault)", tell: true)
        }
        switch machine.received(Self.kind(envelope), at: now) {
        case .answerHello: answer(envelope.hello, at: now)
        case .open: open(envelope.welcome, at: now)
        case .endRefused:
            finish(slug: envelope.refusal.slug.isEmpty ? "refused" : envelope.refusal.slug, text: envelope.refusal.text)
            context?.close(promise: nil)
        case .noteHeartbeat: session?.heard(envelope.heartbeat, at: now)
        case .deliver:
            guard let session else { return }
            session.heard(at: now)
            if case .client = role, case .standing(let standing)? = envelope.body {
                if session.told(restricted: standing.restricted) { delegate?.limitsChanged(session) }
                return
            }
            // What a limited session does not carry the delegate refuses with an answer: silence would hang who waits for it.
            delegate?.received(envelope, on: session)
        case .ignore: break
        case .close(let slug, let text): end(slug: slug, text: text, tell: true)
        }
    }

    private func answer(_ hello: WireHello, at now: BootTime) {
        guard case .server(let decide, _) = role, let peer, let context else { return }
        if let fault = WireProtocol.fault(in: hello, of: peer) {
            return end(slug: fault.slug, text: fault.text, tell: true)
        }
        switch decide(hello, peer) {
        case .failure(let refusal):
            end(slug: refusal.slug.isEmpty ? "refused" : refusal.slug, text: refusal.text, tell: true)
        case .success(var welcome):
            WireProtocol.complete(&welcome, for: peer, timing: timing)
            machine.opened(timing: timing, at: now)
            send(.with { $0.welcome = welcome })
            begin(hello, welcome, peer, context, at: now)
        }
    }

    private func open(_ welcome: WireWelcome, at now: BootTime) {
        guard let hello, let peer, let context else { return }
        if let fault = WireProtocol.fault(in: welcome, to: hello) {
            return end(slug: fault.slug, text: fault.text, tell: true)
        }
        var agreed = timing
        agreed.timeout = .nanoseconds(Int64(clamping: welcome.timeoutNs))
        machine.opened(timing: agreed, at: now)
        begin(hello, welcome, peer, context, at: now)
    }

    private func begin(
        _ hello: WireHello, _ welcome: WireWelcome, _ peer: VerifiedPeer, _ context: ChannelHandlerContext, at now: BootTime
    ) {
        // The write of the welcome may have failed and ended it all: whoever is told of a session is told of its end after that.
        guard machine.state == .open else { return }
        let session = WireSession(
            hello: hello, welcome: welcome, peer: peer, handler: self, eventLoop: context.eventLoop,
            remoteAddress: context.remoteAddress.map { "\($0)" } ?? "unknown", log: log, now: now)
        self.session = session
        countNoMore()
        logSession("session opened", peer)
        opened()
        delegate?.opened(session)
    }

    // MARK: private

    /// One key may hold a few connections without a session, not any number.
    private func count(_ peer: VerifiedPeer) {
        guard case .server(_, let unopened) = role else { return }
        isUnopened = unopened.enter(peer.identity.uri)
        guard !isUnopened else { return }
        end(slug: "too-many", text: "\(UnopenedPeers.perPeerMax) other connections of \(peer.identity) wait for their hello", tell: true)
    }

    private func countNoMore() {
        guard isUnopened, case .server(_, let unopened) = role, let peer else { return }
        isUnopened = false
        unopened.leave(peer.identity.uri)
    }

    /// What the welcome has said of the peer's dates, said anew where a reload has changed it: the session goes on.
    private func tellStanding(_ peer: VerifiedPeer) {
        guard case .server = role, let session, session.told(restricted: peer.isRestricted) else { return }
        send(.with { $0.standing = .with { $0.restricted = peer.isRestricted } })
        delegate?.limitsChanged(session)
    }

    private func send(_ envelope: WireEnvelope) {
        do {
            write(try FrameEncoder.encode(envelope))
        } catch {
            log.error("message not sent", metadata: ["why": "\(error)"])
        }
    }

    private func checkOutbox(_ context: ChannelHandlerContext) {
        do {
            let waiting = try context.channel.syncOptions?.getOption(.bufferedWritableBytes) ?? 0
            if let (slug, text) = machine.outboxHolds(waiting) { abort(slug: slug, text: text) }
        } catch {
            abort(slug: "disconnected", text: Self.words(error))
        }
    }

    /// Closes below TLS: a peer that doesn't read would not answer TLS's goodbye either.
    private func abort(slug: String, text: String) {
        guard let context else { return }
        finish(slug: slug, text: text)
        context.channel.pipeline.syncOperations.closeBelowTLS(context)
    }

    private func finish(slug: String, text: String) {
        guard machine.closed() else { return }
        group.remove(self)
        countNoMore()
        let why = text.isEmpty ? slug : "\(slug): \(text)"
        var metadata: Logger.Metadata = ["slug": "\(slug)", "why": "\(text)"]
        if let peer { metadata["peer"] = "\(peer.identity)" }
        if let session {
            metadata["session"] = "\(session.id)"
            peerLog.log(.notice, "session closed", metadata, about: session.peer.identity.uri, to: log)
            delegate?.closed(session, why: why)
        } else if let peer {
            // Verified and yet no session: the gate has logged everything before that.
            peerLog.log(.warning, "peer refused", metadata, about: peer.identity.uri, to: log)
            delegate?.refused(peer, why: why)
        }
        if wasConnected { ended(why) }
        // Session and handler hold each other while it is open, and not longer.
        session = nil
        hello = nil
    }

    private func logSession(_ message: Logger.Message, _ peer: VerifiedPeer) {
        guard let session else { return }
        var metadata: Logger.Metadata = ["session": "\(session.id)", "peer": "\(peer.identity)"]
        if session.isRestricted {
            metadata["restricted"] = "\(peer.isRestricted ? peer.restrictedBecause.joined(separator: "; ") : "by the other side")"
        }
        peerLog.log(session.isRestricted ? .warning : .notice, message, metadata, about: peer.identity.uri, to: log)
    }

    private static func kind(_ envelope: WireEnvelope) -> WireSessionStateMachine.Kind {
        switch envelope.body {
        case .hello: .hello
        case .welcome: .welcome
        case .refusal: .refusal
        case .heartbeat: .heartbeat
        case nil: .nothing
        default: .other
        }
    }

    private static func words(_ error: any Error) -> String {
        if let error = error as? IOError { return String(describing: error) }
        let words = String(describing: error)
        return words == "uncleanShutdown" ? "the connection broke off" : words
    }
}
