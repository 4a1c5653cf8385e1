import FleetTrust
import FleetWire
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

/// What the wire is held against: SwiftNIO SSL and one handler, nothing verified, nothing parsed.
final class BareEchoServer: BroadcastTarget {
    private let context: NIOSSLContext
    private let group: any EventLoopGroup
    private let tally: RoundTally
    private let loop: any EventLoop
    private let connections: NIOLoopBoundBox<[ChannelHandlerContext]>

    init(_ files: WireBenchFiles, _ group: any EventLoopGroup, _ tally: RoundTally) throws {
        let paths = files.paths(.coordinator)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMBytes(CredentialFile.read(paths.cert)).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: CredentialFile.read(paths.key), format: .pem)))
        configuration.minimumTLSVersion = .tlsv13
        context = try NIOSSLContext(configuration: configuration)
        self.group = group
        self.tally = tally
        loop = group.next()
        connections = NIOLoopBoundBox.makeBoxSendingValue([], eventLoop: loop)
    }

    func start() async throws -> SocketAddress {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4_096)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.addHandler(NIOSSLServerHandler(context: self.context))
                    try pipeline.addHandler(BareEchoServerHandler(self.connections, self.tally))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
        return address
    }

    func broadcast(_ frame: ByteBuffer) {
        loop.execute {
            for context in self.connections.value { context.writeAndFlush(NIOAny(frame), promise: nil) }
        }
    }
}

/// Counts the bytes of answers.
private final class BareEchoServerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connections: NIOLoopBoundBox<[ChannelHandlerContext]>
    private let tally: RoundTally
    private var pending = 0

    init(_ connections: NIOLoopBoundBox<[ChannelHandlerContext]>, _ tally: RoundTally) {
        self.connections = connections
        self.tally = tally
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // The only event of a fresh connection is the end of its handshake.
        connections.value.append(context)
        tally.connected()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pending += unwrapInboundIn(data).readableBytes
        while pending >= WireBenchFiles.answerBytes {
            pending -= WireBenchFiles.answerBytes
            tally.answered(nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Answers every command's worth of bytes.
final class BareEchoClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let answer: ByteBuffer
    private var pending = 0

    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        pending += unwrapInboundIn(data).readableBytes
        while pending >= WireBenchFiles.commandBytes {
            pending -= WireBenchFiles.commandBytes
            context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
