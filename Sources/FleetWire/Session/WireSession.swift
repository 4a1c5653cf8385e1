package import FleetCore
package import FleetTrust
import LinuxHost
import Logging
import NIOConcurrencyHelpers
package import NIOCore

/// One open session with a verified peer, on either side.
///
/// Usable from any thread; what is sent from its own event loop goes out at once, from elsewhere after one hop, in order.
package final class WireSession: Sendable {
    /// As the welcome says.
    package let id: String
    package let hello: WireHello
    package let welcome: WireWelcome
    package let eventLoop: any EventLoop
    /// For logs.
    package let remoteAddress: String
    private let handler: NIOLoopBound<WireSessionHandler>
    private let log: Logger
    private let state: NIOLockedValueBox<State>

    private struct State {
        var peer: VerifiedPeer
        var peerBoottime: BootTime
        var peerBoottimeReadAt: BootTime
        var heardAt: BootTime
        /// What the coordinator has last said of the agent's dates.
        var toldRestricted: Bool
    }

    init(
        hello: WireHello, welcome: WireWelcome, peer: VerifiedPeer, handler: WireSessionHandler, eventLoop: any EventLoop,
        remoteAddress: String, log: Logger, now: BootTime
    ) {
        id = welcome.session
        self.hello = hello
        self.welcome = welcome
        self.eventLoop = eventLoop
        self.remoteAddress = remoteAddress
        self.handler = NIOLoopBound(handler, eventLoop: eventLoop)
        self.log = log
        state = NIOLockedValueBox(
            State(
                peer: peer, peerBoottime: BootTime(nanoseconds: hello.boottimeNs), peerBoottimeReadAt: now, heardAt: now,
                toldRestricted: welcome.restricted))
    }

    /// Bytes of the message that is being delivered; on the event loop, while the delegate has it.
    package var payloadBytes: Int { handler.value.payloadBytes }

    /// As last verified: a reload may restrict it, or lift that.
    package var peer: VerifiedPeer { state.withLockedValue { $0.peer } }

    /// Either side holds something against the other's dates.
    package var isRestricted: Bool { !limits.isEmpty }

    /// What is left of the session for reasons of trust, on either side's word.
    package var limits: [SessionLimit] {
        let own = peer.limits
        return own.isEmpty && state.withLockedValue({ $0.toldRestricted }) ? [.restricted] : own
    }

    /// Why this session does not carry `envelope`; nil: it does.
    package func refusal(of envelope: WireEnvelope) -> (slug: String, text: String)? {
        envelope.deed.flatMap { SessionRights.refusal(of: $0, under: limits) }
    }

    /// This host's CLOCK_BOOTTIME when the last message came in.
    package var receivedAt: BootTime { state.withLockedValue { $0.heardAt } }

    /// The peer's CLOCK_BOOTTIME as of now, never ahead of the true one: its last reading heard here plus the time
    /// since.
    ///
    /// Behind by the delay of that message. Base a command's `not_after_boottime_ns` on it. Only clocks' rates may
    /// differ.
    package func peerBoottime() -> BootTime {
        let (read, at) = state.withLockedValue { ($0.peerBoottime, $0.peerBoottimeReadAt) }
        return read + (Clock.boottime() - at)
    }

    /// Sends a message; dropped when the session is closed (the delegate is told of that by `closed`).
    ///
    /// One that this session doesn't carry (ask `refusal` first), or that is too large for a frame, is dropped and logged as
    /// an error.
    package func send(_ envelope: WireEnvelope) {
        if let refusal = refusal(of: envelope) {
            log.error("message not sent", metadata: ["session": "\(id)", "peer": "\(peer.identity)", "why": "\(refusal.text)"])
            return
        }
        do {
            send(encoded: try FrameEncoder.encode(envelope))
        } catch {
            log.error("message not sent", metadata: ["session": "\(id)", "why": "\(error)"])
        }
    }

    /// Sends a frame of ``encodeFrame(_:allocator:)``.
    package func send(encoded frame: ByteBuffer) {
        if eventLoop.inEventLoop {
            handler.value.write(frame)
        } else {
            eventLoop.execute { self.handler.value.write(frame) }
        }
    }

    /// Ends the session.
    ///
    /// The peer is told why in a refusal, if it still reads.
    package func close(why: String) {
        eventLoop.execute { self.handler.value.end(slug: "closed", text: why, tell: true) }
    }

    // MARK: for the handler

    func heard(at now: BootTime) { state.withLockedValue { $0.heardAt = now } }

    func heard(_ heartbeat: WireHeartbeat, at now: BootTime) {
        state.withLockedValue { state in
            state.heardAt = now
            state.peerBoottime = BootTime(nanoseconds: heartbeat.boottimeNs)
            state.peerBoottimeReadAt = now
        }
    }

    /// True if that was not what was said before.
    func told(restricted: Bool) -> Bool {
        state.withLockedValue { state in
            defer { state.toldRestricted = restricted }
            return state.toldRestricted != restricted
        }
    }

    func peerChanged(_ peer: VerifiedPeer) { state.withLockedValue { $0.peer = peer } }
}
