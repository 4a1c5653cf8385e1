import FleetTrust
import FleetWire
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization

/// A connection of one of the listeners: sets up what identifies the peer, then HTTP, and serves it with the origin at hand.
///
/// The TLS handlers are asked for on every connection, so that a reloaded trust counts from the next connection on
/// (Hummingbird's own TLS channel freezes its context).
struct OriginChannel: ServerChildChannel {
    enum Listener: Sendable {
        case tls(TLSTrust)
        case unix
        case loopback
    }

    /// An accepted connection, closed by whoever lets go of it unserved.
    ///
    /// A server that is cancelled drops what it has accepted and not yet served, and NIO ends the process for a connection that is
    /// dropped so (swift-nio issue 2637: "Deinited NIOAsyncWriter without calling finish()").
    final class Value: ServerChildChannelValue {
        let channel: any Channel
        let origin: ConnectionOrigin
        private let unserved: Mutex<HTTP1Channel.Value?>

        init(http: HTTP1Channel.Value, origin: ConnectionOrigin) {
            channel = http.channel
            self.origin = origin
            unserved = Mutex(http)
        }

        /// Once; nil afterwards.
        func take() -> HTTP1Channel.Value? {
            unserved.withLock { http in
                defer { http = nil }
                return http
            }
        }

        deinit {
            guard let http = take() else { return }
            Task {
                do {
                    try await http.executeThenClose { _, _ in }
                } catch {
                    // Its peer was faster: it is closed.
                }
            }
        }
    }

    let listener: Listener
    let http: HTTP1Channel

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        switch listener {
        case .tls(let trust):
            let box = PeerBox()
            return channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandlers(
                    trust.serverHandlers(roles: [.operator], alpn: TLSTrust.httpALPN))
                try channel.pipeline.syncOperations.addHandler(PeerWatch(box))
            }.flatMap {
                http.setup(channel: channel, logger: logger).map { Value(http: $0, origin: .certificate(box)) }
            }
        case .unix:
            return UnixPeer.name(of: channel).flatMap { name in
                http.setup(channel: channel, logger: logger).map { Value(http: $0, origin: .local(name)) }
            }
        case .loopback:
            return http.setup(channel: channel, logger: logger).map { Value(http: $0, origin: .token) }
        }
    }

    func handle(value: Value, logger: Logger) async {
        guard let accepted = value.take() else { return }
        await ConnectionOrigin.$current.withValue(value.origin) {
            await http.handle(value: accepted, logger: logger)
        }
    }
}
