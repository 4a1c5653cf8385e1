import FleetCore
import FleetTrust
package import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization

/// Holds a relay's or a coordinator's certificate and plays a coordinator towards agents.
package final class Pretender: WireSessionDelegate {
    private struct State {
        var sessions: [String: WireSession] = [:]
        var heard: [WireEnvelope] = []
        var helloBytes: [Int] = []
        var reportBytes: [Int] = []
    }

    private let state = Mutex(State())
    private let listener = Mutex<WireListener?>(nil)

    /// Listens where the fleet's relay, or its coordinator, would.
    package init(_ keys: StolenKeys, certificate: String, port: Int, welcome change: @escaping @Sendable (WireHello, inout WireWelcome) -> Void = { _, _ in })
        async throws
    {
        let name = String(certificate.drop { $0 != "-" }.dropFirst())
        let made = WireListener(
            group: MultiThreadedEventLoopGroup.singleton, address: try SocketAddress(ipAddress: "127.0.0.1", port: port),
            trust: try keys.trust(certificate),
            welcome: { hello, _ in
                var welcome = WireWelcome()
                welcome.coordinator = name
                welcome.storeID = "0123456789abcdef"
                welcome.epoch = 1
                welcome.instance = "pretender"
                change(hello, &welcome)
                return .success(welcome)
            }, timing: .coordinator, delegate: self, log: StolenKeys.quiet)
        listener.withLock { $0 = made }
        _ = try await made.start()
    }

    package func opened(_ session: WireSession) {
        let bytes = Self.bytes(session.hello)
        state.withLock { state in
            state.sessions[session.hello.host] = session
            state.helloBytes.append(bytes)
        }
    }

    package func received(_ envelope: WireEnvelope, on session: WireSession) {
        let bytes = Self.bytes(envelope)
        state.withLock { state in
            if case .report? = envelope.body { state.reportBytes.append(bytes) } else { state.heard.append(envelope) }
        }
    }

    package func closed(_ session: WireSession, why: String) {}

    private static func bytes(_ message: some Message) -> Int {
        do {
            let bytes: [UInt8] = try message.serializedBytes()
            return bytes.count
        } catch {
            return Int.max
        }
    }

    package func session(_ host: String) -> WireSession? { state.withLock { $0.sessions[host] } }
    package var heard: [WireEnvelope] { state.withLock { $0.heard } }
    package var largest: (hello: Int, report: Int) { state.withLock { ($0.helloBytes.max() ?? 0, $0.reportBytes.max() ?? 0) } }

    package func say(to host: String, _ fill: (inout WireEnvelope) -> Void) throws {
        struct NoSession: Error {}
        guard comes(within: 30, { session(host) != nil }), let session = session(host) else { throw NoSession() }
        var envelope = WireEnvelope()
        fill(&envelope)
        session.send(envelope)
    }

    /// A command, and its answer.
    package func order(_ host: String, _ service: String, _ what: WireCommand.OneOf_What) throws -> WireCommandResult? {
        let operation = "pretended/\(Random.hex(8))"
        try say(to: host) { envelope in
            envelope.command.operation = operation
            envelope.command.session = session(host)?.id ?? ""
            envelope.command.origin = "operator/alice"
            envelope.command.reason = "forged"
            envelope.command.service = service
            envelope.command.what = what
        }
        var found: WireCommandResult?
        _ = comes(within: 5) {
            found = heard.compactMap { if case .result(let result)? = $0.body, result.operation == operation { result } else { nil } }.last
            return found != nil
        }
        return found
    }

    package func stop() { listener.withLock { $0?.stop() } }
}
