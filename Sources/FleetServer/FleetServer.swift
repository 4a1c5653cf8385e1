package import FleetCoordinator
package import FleetWire
import Hummingbird
import HummingbirdCore
package import Logging
import NIOCore
import NIOPosix

/// A coordinator's HTTP API: one router on up to three listeners, which differ in how they know the caller.
///
/// 1. TLS 1.3 with operators' certificates. 2. A Unix socket, by the peer's user. 3. Plain HTTP on loopback, by a bearer
/// token, only when the settings ask for it.
package struct FleetServer: Sendable {
    private let service: any CoordinatorService
    private let settings: FleetServerSettings
    private let trust: TLSTrust?
    private let log: Logger

    /// `trust` may be nil only when the settings have no TLS listener.
    package init(service: any CoordinatorService, settings: FleetServerSettings, trust: TLSTrust?, log: Logger) {
        self.service = service
        self.settings = settings
        self.trust = trust
        self.log = log
    }

    /// Serves until cancelled.
    ///
    /// Throws when a listener can't be bound or any of them ends.
    ///
    /// `listening` is called once per listener, with its name (`tls`, `unix`, `loopback`) and the port bound (0: a path).
    package func run(listening: @escaping @Sendable (_ listener: String, _ port: Int) -> Void = { _, _ in }) async throws {
        try check()
        let responder = APIRoutes(service: service, settings: settings).router().buildResponder()
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let address = settings.tls, let trust {
                let app = application(
                    responder, .tls(trust), .hostname(address.host, port: address.port), "tls", listening)
                group.addTask { try await app.run() }
            }
            if let path = settings.unixSocket {
                try UnixSocketPath.clear(path)
                let app = application(responder, .unix, .unixDomainSocket(path: path), "unix", listening)
                group.addTask { try await app.run() }
            }
            if let loopback = settings.loopback {
                let app = application(
                    responder, .loopback, .hostname(loopback.address.host, port: loopback.address.port), "loopback", listening)
                group.addTask { try await app.run() }
            }
            // The first listener to fail ends them all: an API that is only half there would mislead.
            try await group.next()
            group.cancelAll()
        }
    }

    private func check() throws {
        if settings.tls != nil, trust == nil {
            throw FleetServerError("the API is to be served over TLS, but there is no certificate. Name cert, key, ca and crl in the settings")
        }
        guard let loopback = settings.loopback else { return }
        guard Self.isLoopback(loopback.address.host) else {
            throw FleetServerError(
                "plain HTTP is served on loopback only, not on \(loopback.address.host). Use 127.0.0.1, or the TLS listener")
        }
        guard loopback.token.utf8.count >= 16 else {
            throw FleetServerError("the bearer token has fewer than 16 bytes. Make one: openssl rand -hex 16")
        }
    }

    private static func isLoopback(_ host: String) -> Bool {
        do {
            switch try SocketAddress(ipAddress: host, port: 0) {
            case .v4: return host.hasPrefix("127.")
            case .v6: return host == "::1"
            case .unixDomainSocket: return false
            }
        } catch {
            return false  // a name, which may resolve to anything
        }
    }

    private func application(
        _ responder: some HTTPResponder<APIRequestContext>, _ listener: OriginChannel.Listener, _ address: BindAddress, _ name: String,
        _ listening: @escaping @Sendable (String, Int) -> Void
    ) -> some ApplicationProtocol {
        let idle = TimeAmount.nanoseconds(settings.idleTimeout.components.seconds * 1_000_000_000)
        let log = log
        let path = settings.unixSocket
        var quiet = log
        // Hummingbird's own start-up lines say nothing that ours do not.
        quiet.logLevel = max(.warning, log.logLevel)
        return Application(
            responder: responder,
            server: HTTPServerBuilder { respond in
                OriginChannel(listener: listener, http: HTTP1Channel(responder: respond, configuration: .init(idleTimeout: idle)))
            },
            // A fleet's worth of dashboards may reconnect at once; NIO's default backlog is small.
            configuration: ApplicationConfiguration(address: address, serverName: nil, backlog: 1024),
            onServerRunning: { channel in
                if case .unix = listener, let path {
                    do {
                        try UnixSocketPath.setMode(path)
                    } catch {
                        log.error("the API's socket has the wrong mode", metadata: ["path": .string(path), "error": .string("\(error)")])
                    }
                }
                log.notice("the API is served", metadata: ["listener": .string(name), "address": .string(channel.localAddress?.description ?? "?")])
                listening(name, channel.localAddress?.port ?? 0)
            },
            logger: quiet)
    }
}
