import FleetCore
import FleetTrust
package import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Holds an agent's certificate and says what it likes: a session with a coordinator or a relay.
package final class Liar: WireSessionDelegate {
    private struct State {
        var session: WireSession?
        var heard: [WireEnvelope] = []
        var ended: [String] = []
    }

    private let state = Mutex(State())
    private let dialer = Mutex<WireDialer?>(nil)

    /// Dials `port` with the certificate `agent-HOST` of the fleet, or the one that is named.
    package init(
        _ keys: StolenKeys, as host: String, certificate: String? = nil, port: Int, fleet: String = "demo",
        hello change: @escaping @Sendable (inout WireHello) -> Void = { _ in }
    ) throws {
        let trust = try keys.trust(certificate ?? "agent-\(host)")
        let made = WireDialer(
            group: MultiThreadedEventLoopGroup.singleton, address: try SocketAddress(ipAddress: "127.0.0.1", port: port),
            trust: trust,
            hello: {
                var hello = WireHello()
                hello.fleet = fleet
                hello.host = host
                hello.agentInstance = "liar"
                change(&hello)
                return hello
            }, delegate: self, log: StolenKeys.quiet)
        dialer.withLock { $0 = made }
        made.start()
    }

    package func opened(_ session: WireSession) { state.withLock { $0.session = session } }
    package func received(_ envelope: WireEnvelope, on session: WireSession) { state.withLock { $0.heard.append(envelope) } }
    package func closed(_ session: WireSession, why: String) {
        state.withLock {
            $0.ended.append(why); $0.session = nil
        }
    }

    package var session: WireSession? { state.withLock { $0.session } }
    package var heard: [WireEnvelope] { state.withLock { $0.heard } }
    package var ended: [String] { state.withLock { $0.ended } }

    /// Waits for its session and says it.
    package func say(_ fill: (inout WireEnvelope) -> Void) throws {
        struct NoSession: Error {}
        guard comes(within: 20, { session != nil }), let session else { throw NoSession() }
        var envelope = WireEnvelope()
        fill(&envelope)
        session.send(envelope)
    }

    /// A report that says nothing wrong, so that its host counts as known.
    package func report(_ change: (inout WireHostReport) -> Void = { _ in }) throws {
        try say { envelope in
            envelope.report.host = session?.hello.host ?? ""
            envelope.report.boottimeNs = 1_000_000_000
            change(&envelope.report)
        }
    }

    package func stop() { dialer.withLock { $0?.stop() } }
}
