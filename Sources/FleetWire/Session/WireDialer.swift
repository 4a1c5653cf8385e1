import FleetCore
package import FleetTrust
import Glibc
import LinuxHost
package import Logging
import NIOConcurrencyHelpers
package import NIOCore
import NIOPosix

/// Keeps one session with one address: dials, and after every end dials again with back-off, until it is stopped.
package final class WireDialer: Sendable {
    /// A session that lasted this long was a good one: the next try comes soon.
    private static let steady = Duration.seconds(5)
    private static let connectMax = TimeAmount.seconds(5)
    /// What was sent and no kernel at the other end has acknowledged ends the connection after this long (tcp(7)).
    private static let unacknowledgedMax = Duration.seconds(5)

    /// Where it stands, for status.
    package enum Standing: Equatable, Sendable {
        case idle
        case connecting
        case open
        /// Waits to try again; why the last try or session ended.
        case waiting(why: String)
        case stopped
    }

    package let address: SocketAddress
    private let eventLoop: any EventLoop
    private let trust: TLSTrust
    private let roles: Set<FleetIdentity.Role>
    private let hello: @Sendable () -> WireHello
    private let heartbeat: @Sendable () -> WireHeartbeat
    private let timing: WireTiming
    private let looksItself: Bool
    private let log: Logger
    private let state: NIOLockedValueBox<State>

    private struct State: Sendable {
        weak var delegate: (any WireSessionDelegate)?
        var standing = Standing.idle
        var backoff = Backoff()
        var triedAt = BootTime.zero
        var channel: (any Channel)?
        var sessions: NIOLoopBound<SessionGroup>?
        var retry: Scheduled<Void>?
    }

    /// `hello` is asked anew for every try; its protocol versions are set here when left zero, its boot time always.
    ///
    /// The delegate is held weakly. Without `looksItself` there is no timer here, and the owner calls `look` once a second.
    package init(
        group: any EventLoopGroup, address: SocketAddress, trust: TLSTrust, roles: Set<FleetIdentity.Role> = [.coordinator, .relay],
        hello: @escaping @Sendable () -> WireHello,
        heartbeat: @escaping @Sendable () -> WireHeartbeat = { WireHeartbeat() }, timing: WireTiming = WireTiming(),
        looksItself: Bool = true, delegate: any WireSessionDelegate, log: Logger = Logger(label: "wire")
    ) {
        eventLoop = group.next()
        self.address = address
        self.trust = trust
        self.roles = roles
        self.hello = hello
        self.heartbeat = heartbeat
        self.timing = timing
        self.looksItself = looksItself
        self.log = log
        state = NIOLockedValueBox(State(delegate: delegate))
    }

    package var standing: Standing { state.withLockedValue { $0.standing } }

    /// Begins to dial.
    ///
    /// Returns at once; does nothing when it has begun already.
    package func start() {
        let begin = state.withLockedValue { state in
            guard state.standing == .idle else { return false }
            state.standing = .connecting
            return true
        }
        if begin { eventLoop.execute { self.dial() } }
    }

    /// Ends a silent session and sends the heartbeat that is due; on the event loop.
    package func look() { state.withLockedValue { $0.sessions }?.value.look() }

    /// Ends the session and dials no more.
    ///
    /// Returns at once.
    package func stop() {
        let (channel, retry) = state.withLockedValue { state in
            state.standing = .stopped
            defer { state.channel = nil; state.retry = nil }
            return (state.channel, state.retry)
        }
        retry?.cancel()
        channel?.close(promise: nil)
    }

    private func dial() {
        let now = Clock.boottime()
        let proceed = state.withLockedValue { state in
            guard state.standing != .stopped else { return false }
            state.standing = .connecting
            state.triedAt = now
            state.retry = nil
            return true
        }
        guard proceed else { return }
        ClientBootstrap(group: eventLoop)
            .connectTimeout(Self.connectMax)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: .init(Self.unacknowledgedMax.milliseconds))
            .channelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2_048, maximum: 16 << 10)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.prepare(channel) }
            }
            .connect(to: address)
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    let stopped = self.state.withLockedValue { state in
                        if state.standing == .stopped { return true }
                        // It may have ended within its own connect; then there is nothing to keep.
                        if channel.isActive { state.channel = channel }
                        return false
                    }
                    if stopped { channel.close(promise: nil) }
                case .failure(let error):
                    self.ended(why: "unreachable: \(error)")
                }
            }
    }

    private func prepare(_ channel: any Channel) throws {
        let sessions = SessionGroup(
            eventLoop: channel.eventLoop, heartbeatEvery: timing.heartbeat, lookEvery: looksItself ? timing.look : nil, heartbeat: heartbeat,
            log: log)
        let bound = NIOLoopBound(sessions, eventLoop: channel.eventLoop)
        state.withLockedValue { $0.sessions = bound }
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandlers(trust.clientHandlers(roles: roles, alpn: TLSTrust.wireALPN))
        try pipeline.addHandler(
            WireSessionHandler(
                role: .client(hello: { self.makeHello() }), timing: timing, group: sessions,
                delegate: state.withLockedValue { $0.delegate }, log: log, peerLog: trust.peerLog, opened: { self.opened() },
                ended: { self.ended(why: $0) }))
    }

    private func makeHello() -> WireHello {
        var hello = hello()
        if hello.protocolMin == 0 { hello.protocolMin = WireProtocol.version }
        if hello.protocolMax == 0 { hello.protocolMax = WireProtocol.version }
        hello.boottimeNs = Clock.boottime().nanoseconds
        return hello
    }

    private func opened() {
        state.withLockedValue { state in
            if state.standing == .connecting { state.standing = .open }
        }
    }

    /// A try failed, or the session ended: the next try is scheduled.
    private func ended(why: String) {
        let now = Clock.boottime()
        let random = Double.random(in: 0..<1)
        let wait = state.withLockedValue { state -> Duration? in
            switch state.standing {
            case .stopped, .idle, .waiting: return nil
            case .open where now - state.triedAt > Self.steady: state.backoff.reset()
            case .open, .connecting: break
            }
            state.standing = .waiting(why: why)
            state.channel = nil
            return state.backoff.wait(random: random)
        }
        guard let wait else { return }
        log.info("will dial again", metadata: ["address": "\(address)", "why": "\(why)", "in": "\(wait.words)"])
        let retry = eventLoop.scheduleTask(in: .nanoseconds(wait.nanoseconds)) { self.dial() }
        let stopped = state.withLockedValue { state in
            if case .waiting = state.standing { state.retry = retry }
            return state.standing == .stopped
        }
        if stopped { retry.cancel() }
    }
}
