import FleetCore
package import FleetTrust
package import Logging
import NIOConcurrencyHelpers
package import NIOCore
import NIOPosix

/// Accepts agents: TLS, verification, hello, and then sessions for its delegate.
package final class WireListener: Sendable {
    /// A whole fleet may reconnect at once.
    private static let backlog: Int32 = 4_096

    private let group: any EventLoopGroup
    private let address: SocketAddress
    private let trust: TLSTrust
    private let roles: Set<FleetIdentity.Role>
    private let welcome: @Sendable (WireHello, VerifiedPeer) -> Result<WireWelcome, WireRefusal>
    private let log: Logger
    private let unopened = UnopenedPeers()
    private let timing: WireTiming
    private let groups: [ObjectIdentifier: NIOLoopBoundBox<SessionGroup>]
    private let loops: [any EventLoop]
    private let state: NIOLockedValueBox<State>

    private struct State: Sendable {
        weak var delegate: (any WireSessionDelegate)?
        var channel: (any Channel)?
        var stopped = false
    }

    /// `welcome` decides about a hello, on the session's event loop; what it leaves empty in the welcome (protocol,
    /// session, restricted, heartbeat, time-out) is filled in.
    ///
    /// `heartbeat` fills this side's heartbeats; the boot time is set here. The delegate is held weakly.
    package init(
        group: any EventLoopGroup, address: SocketAddress, trust: TLSTrust, roles: Set<FleetIdentity.Role> = [.agent],
        welcome: @escaping @Sendable (WireHello, VerifiedPeer) -> Result<WireWelcome, WireRefusal>,
        heartbeat: @escaping @Sendable () -> WireHeartbeat = { WireHeartbeat() }, timing: WireTiming = WireTiming(),
        delegate: any WireSessionDelegate, log: Logger = Logger(label: "wire")
    ) {
        self.group = group
        self.address = address
        self.trust = trust
        self.roles = roles
        self.welcome = welcome
        self.timing = timing
        self.log = log
        let loops = Array(group.makeIterator())
        self.loops = loops
        groups = Dictionary(
            uniqueKeysWithValues: loops.map { loop in
                let sessions = NIOLoopBoundBox.makeBoxSendingValue(
                    SessionGroup(eventLoop: loop, heartbeatEvery: timing.heartbeat, lookEvery: timing.look, heartbeat: heartbeat, log: log),
                    eventLoop: loop)
                return (ObjectIdentifier(loop), sessions)
            })
        state = NIOLockedValueBox(State(delegate: delegate))
    }

    /// Binds and accepts; the address that it listens on (the port is chosen by the kernel when zero was given).
    package func start() async throws -> SocketAddress {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2_048, maximum: 16 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.prepare(channel) }
            }
            .bind(to: address).get()
        let stopped = state.withLockedValue { state in
            state.channel = channel
            return state.stopped
        }
        if stopped { channel.close(promise: nil) }
        guard let bound = channel.localAddress else { throw ChannelError.unknownLocalAddress }
        return bound
    }

    /// Stops accepting and ends every session.
    ///
    /// Returns at once.
    package func stop() {
        let channel = state.withLockedValue { state in
            state.stopped = true
            return state.channel
        }
        channel?.close(promise: nil)
        endSessions(why: "the coordinator is stopping")
    }

    /// Ends every session that there is. Peers dial again and judge this side's certificate anew.
    package func endSessions(why: String) { eachGroup { $0.closeAll(why: why) } }

    /// Writes one frame to every open session that `included` lets in: one hop per event loop, nothing encoded again.
    package func broadcast(_ frame: ByteBuffer, where included: @escaping @Sendable (WireSession) -> Bool = { _ in true }) {
        eachGroup { $0.broadcast(frame, where: included) }
    }

    private func eachGroup(_ body: @escaping @Sendable (SessionGroup) -> Void) {
        for loop in loops {
            guard let sessions = groups[ObjectIdentifier(loop)] else { continue }
            loop.execute { body(sessions.value) }
        }
    }

    private func prepare(_ channel: any Channel) throws {
        guard let sessions = groups[ObjectIdentifier(channel.eventLoop)]?.value else {
            preconditionFailure("a connection on an event loop that isn't of its listener's group")
        }
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandlers(trust.serverHandlers(roles: roles, alpn: TLSTrust.wireALPN))
        try pipeline.addHandler(
            WireSessionHandler(
                role: .server(answer: welcome, unopened: unopened), timing: timing, group: sessions,
                delegate: state.withLockedValue { $0.delegate }, log: log, peerLog: trust.peerLog))
    }
}
