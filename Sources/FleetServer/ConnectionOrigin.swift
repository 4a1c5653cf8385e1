import FleetTrust
import FleetWire
import NIOConcurrencyHelpers
import NIOCore

/// Where a connection comes from, and therefore who speaks on it.
///
/// Fixed for the life of the connection.
enum ConnectionOrigin: Sendable {
    /// A mutually authenticated session; the peer is known once the handshake was verified, which is before any byte of a
    /// request is let through.
    case certificate(PeerBox)
    /// The Unix socket; the peer's name as in the audit.
    case local(String)
    /// Plain HTTP on loopback: the bearer token speaks.
    case token

    /// The origin of the connection that the current task serves.
    @TaskLocal static var current: ConnectionOrigin?
}

/// Carries the verified peer from the event loop to the task that serves the connection.
final class PeerBox: Sendable {
    private let peer = NIOLockedValueBox<VerifiedPeer?>(nil)

    func fill(_ verified: VerifiedPeer) { peer.withLockedValue { $0 = verified } }

    var verified: VerifiedPeer? { peer.withLockedValue { $0 } }
}

/// Stands behind the gate and keeps the box up to date: a reload may change what is held against a peer.
final class PeerWatch: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let box: PeerBox

    init(_ box: PeerBox) { self.box = box }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? PeerVerified { box.fill(event.peer) }
        context.fireUserInboundEventTriggered(event)
    }
}
