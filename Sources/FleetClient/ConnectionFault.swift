import FleetAPI
import FleetTrust
import FleetWire
import LinuxHost
import NIOCore
import NIOPosix
import NIOSSL

/// Why an API could not be reached, in an operator's words.
enum ConnectionFault: Error {
    case handshakeLate
    case closedInHandshake

    static func problem(_ endpoint: APIEndpoint, _ error: any Error) -> APIProblem {
        let why = words(error)
        switch endpoint {
        case .unix(let name, let path) where name == "agent" && isDenied(error):
            return APIProblem(
                slug: "not-allowed", what: "REFUSED  you may not use \(path): permission denied",
                why: "Root, the agent's user and members of the group named by local-group in the agent's settings may.",
                then: "ask an administrator of this host")
        case .unix(let name, _) where name == "agent":
            return APIProblem(
                slug: "no-agent", what: "UNREACHABLE \(endpoint.words): \(why). Workers are not affected.",
                then: "Is trading-agent running? Without it only: trading --local emergency-stop --reason \"…\"")
        case .unix, .tls:
            return APIProblem(
                slug: "no-coordinator", what: "UNREACHABLE coordinator \(endpoint.words): \(why). Workers are not affected.",
                then: "This host: trading --local status|stop|emergency-stop    Fleet: trading --via RELAY status|quiesce|emergency-stop")
        }
    }

    private static func isDenied(_ error: any Error) -> Bool {
        switch error {
        case let error as LinuxError: error.errno == 13
        case let error as IOError: error.errnoCode == 13
        case let error as NIOConnectionError: error.connectionErrors.first.map { isDenied($0.error) } ?? false
        default: false
        }
    }

    static func words(_ error: any Error) -> String {
        switch error {
        case ConnectionFault.handshakeLate: "no TLS handshake within 2 s"
        case ConnectionFault.closedInHandshake: "it ended the TLS handshake: it refuses our certificate, and its log says why"
        case let error as HandshakeRefusal: error.text
        case let error as LinuxError: lowercaseFirst(error.description, errno: error.errno)
        case let error as IOError: lowercaseFirst(String(describing: error), errno: error.errnoCode)
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { words($0.error) } ?? "no address answered"
        case ChannelError.connectTimeout: "no answer within 2 s"
        case NIOSSLError.uncleanShutdown, ChannelError.eof, ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed: "the connection broke off"
        default: String(describing: error)
        }
    }

    private static func lowercaseFirst(_ text: String, errno: Int32) -> String {
        switch errno {
        case 111: "connection refused"
        case 113: "no route to host"
        case 2: "there is no such socket"
        case 13: "permission denied (are you in the group that may use it?)"
        default: text
        }
    }
}

/// Ends the wait for verification: with the gate's word, or when the connection ends first.
final class VerificationWatch: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = NIOAny
    /// As the settings call whoever answers there.
    private let name: String
    private let verified: EventLoopPromise<Void>
    private let told: (@Sendable (VerifiedPeer) -> Void)?

    init(name: String, verified: EventLoopPromise<Void>, told: (@Sendable (VerifiedPeer) -> Void)?) {
        self.name = name
        self.verified = verified
        self.told = told
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? PeerVerified {
            if event.peer.identity.name == name {
                told?(event.peer)
                verified.succeed()
            } else {
                verified.fail(HandshakeRefusal(slug: .wrongName, text: "it is \(event.peer.identity), expected is \(name)"))
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        verified.fail(error)
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        verified.fail(ConnectionFault.closedInHandshake)
        context.fireChannelInactive()
    }
}
