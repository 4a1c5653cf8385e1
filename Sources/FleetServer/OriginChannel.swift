import FleetTrust
import FleetWire
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

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

    struct Value: ServerChildChannelValue {
        let http: HTTP1Channel.Value
        let origin: ConnectionOrigin

        var channel: any Channel { http.channel }
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
        await ConnectionOrigin.$current.withValue(value.origin) {
            await http.handle(value: value.http, logger: logger)
        }
    }
}
