import FleetCore
import Glibc
import LinuxHost
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

/// A receiver of webhooks: a real HTTP server on loopback that answers as it is told.
final class Receiver: Sendable {
    enum Answer: Sendable {
        case status(UInt)
        /// Takes the request and never answers.
        case hang
        case redirect(String)
    }

    private struct State {
        var answers: [Answer]
        var bodies: [String] = []
    }

    private let state: NIOLockedValueBox<State>
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let channel: any Channel
    let url: String

    /// The last answer holds for all that follows.
    init(_ answers: Answer...) throws {
        let state = NIOLockedValueBox(State(answers: answers))
        self.state = state
        channel = try ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 512)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { body in
                            state.withLockedValue { state in
                                state.bodies.append(body)
                                return state.answers.count > 1 ? state.answers.removeFirst() : state.answers[0]
                            }
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        url = "http://127.0.0.1:\(channel.localAddress?.port ?? 0)/hook"
    }

    var bodies: [String] { state.withLockedValue { $0.bodies } }

    func stop() throws {
        try channel.close().wait()
        try group.syncShutdownGracefully()
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: @Sendable (String) -> Answer
        private var body = ""

        init(answer: @escaping @Sendable (String) -> Answer) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head: body = ""
            case .body(let buffer): body += String(buffer: buffer)
            case .end:
                var head = HTTPResponseHead(version: .http1_1, status: .ok, headers: ["content-length": "0"])
                switch answer(body) {
                case .hang: return
                case .status(let code): head.status = HTTPResponseStatus(statusCode: Int(code))
                case .redirect(let place):
                    head.status = .temporaryRedirect
                    head.headers.add(name: "location", value: place)
                }
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}

/// Waits until a level is reached; false when it isn't within the bound.
func eventually(within bound: Duration = .seconds(20), _ holds: () throws -> Bool) rethrows -> Bool {
    let deadline = Clock.boottime() + bound
    while try !holds() {
        guard Clock.boottime() < deadline else { return false }
        poll(nil, 0, 2)
    }
    return true
}
