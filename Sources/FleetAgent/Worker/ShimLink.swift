internal import FleetCore
internal import LinuxHost
internal import NIOCore
internal import NIOPosix

/// The stream between the agent and one shim: lines in, lines out.
///
/// Losing it says nothing about the worker by itself.
///
/// `@unchecked Sendable`: everything mutable is touched on the channel's event loop only, which is the agent's.
final class ShimLink: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let launch: LaunchID
    let directory: LaunchDirectory
    private let onMessage: (ShimMessage) -> Void
    private let onClosed: () -> Void
    private var channel: (any Channel)?
    private var line: [UInt8] = []
    private var closed = false
    /// The protocol's, once the shim has answered hello.
    private(set) var version: Int?
    private var offered = ShimRequest.version
    /// Whether it knows `ShimRequest.stop`: of a launch by an agent from before, its main process alone can be told.
    var speaksStop: Bool { version.map { $0 >= 3 } ?? false }
    private var nextRequest = 0
    /// Distinguishes this agent's request ids from those of the agent before it.
    private let prefix: String

    init(
        launch: LaunchID, directory: LaunchDirectory, instance: String, onMessage: @escaping (ShimMessage) -> Void,
        onClosed: @escaping () -> Void
    ) {
        self.launch = launch
        self.directory = directory
        prefix = String(instance.prefix(16))
        self.onMessage = onMessage
        self.onClosed = onClosed
    }

    /// Takes over a connected socket and says hello on it.
    ///
    /// `onClosed` follows exactly once, also when this fails.
    func attach(_ descriptor: Int32, on loop: any EventLoop) {
        ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(self) }
            }
            .withConnectedSocket(descriptor)
            .whenFailure { _ in self.finish() }
    }

    /// The id that the next request will bear; requests of one link never share one.
    func requestID() -> String {
        nextRequest += 1
        return "\(prefix)-\(nextRequest)"
    }

    func send(_ request: ShimRequest) {
        guard let channel, !closed else { return }
        let bytes = request.bytes
        var buffer = channel.allocator.buffer(capacity: bytes.count)
        buffer.writeBytes(bytes)
        channel.writeAndFlush(buffer, promise: nil)
    }

    func close() {
        guard let channel else { return }
        channel.close(promise: nil)
    }

    func channelActive(context: ChannelHandlerContext) { opened(context) }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { opened(context) }
    }

    private func opened(_ context: ChannelHandlerContext) {
        guard channel == nil else { return }
        channel = context.channel
        send(.hello(version: offered))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        for byte in buffer.readableBytesView {
            if byte == UInt8(ascii: "\n") {
                if let message = ShimMessage.parse(line) { received(message) }
                line.removeAll(keepingCapacity: true)
                if closed { return }
            } else if line.count < ShimMessage.lineBytesMax {
                line.append(byte)
            } else {
                // Not our shim's protocol: what follows can't be trusted to be in step.
                context.close(promise: nil)
                return
            }
        }
    }

    private func received(_ message: ShimMessage) {
        switch message {
        case .error("-", "version", _) where version == nil && offered > 1:
            // An older shim: it lives on under this agent.
            offered -= 1
            send(.hello(version: offered))
            return
        case .shim(let version, _, _): self.version = version
        default: break
        }
        onMessage(message)
    }

    func channelInactive(context: ChannelHandlerContext) { finish() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func finish() {
        guard !closed else { return }
        closed = true
        onClosed()
    }
}
