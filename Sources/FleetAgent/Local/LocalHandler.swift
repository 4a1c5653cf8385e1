internal import FleetAPI
internal import FleetCore
internal import NIOCore
internal import NIOHTTP1

/// One connection of the local API: one request at a time, an answer or a stream of events.
///
/// `@unchecked Sendable`: everything mutable is touched on the channel's loop only, which is the agent's.
final class LocalHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// Every request of the API is small.
    static let bodyBytesMax = 64 << 10
    /// A listener that has this much unread is cut off, and so is one who asks on without reading the answers.
    static let unreadBytesMax = 1 << 20
    /// A stream that has nothing to say shows this often that it lives, and notices whether anybody listens.
    static let beatEvery: TimeAmount = .seconds(10)

    private let agent: Agent
    private let who: LocalPeer.Holder
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var tooLarge = false
    private var streaming = false
    private var beating: RepeatedTask?
    private weak var channel: (any Channel)?
    /// Called once when the connection ends while events are sent.
    private var onEnd: (() -> Void)?

    init(agent: Agent, who: LocalPeer.Holder) {
        self.agent = agent
        self.who = who
    }

    func handlerAdded(context: ChannelHandlerContext) { channel = context.channel }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            tooLarge = false
        case .body(let part):
            guard body.count + part.readableBytes <= Self.bodyBytesMax else {
                tooLarge = true
                return
            }
            body += part.readableBytesView
        case .end:
            guard let head else { return }
            self.head = nil
            if let refusal = who.refusal {
                return answer(APIProblem(slug: "not-allowed", what: "REFUSED  \(refusal)", then: "ask an administrator of this host"), keepAlive: false)
            }
            guard let peer = who.peer else {
                // The kernel's word on who this is comes before any byte of theirs is answered.
                context.close(promise: nil)
                return
            }
            guard bufferedBytes(context.channel) < Self.unreadBytesMax else {
                context.close(promise: nil)
                return
            }
            if tooLarge {
                return answer(APIProblem(slug: "body-too-large", what: "REFUSED  a body of more than \(Self.bodyBytesMax) bytes"), keepAlive: false)
            }
            LocalRoutes(agent: agent, peer: peer, reply: self, keepAlive: head.isKeepAlive).route(head, body)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        beating?.cancel()
        onEnd?()
        onEnd = nil
    }

    /// No word for long: half a request, or a connection that only holds its place. A stream is nobody's to end but its reader's.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent, !streaming { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Answers

    func answer(_ bytes: [UInt8], status: HTTPResponseStatus = .ok, keepAlive: Bool) {
        guard let channel else { return }
        var headers = HTTPHeaders([("content-type", "application/json"), ("content-length", "\(bytes.count)"), ("cache-control", "no-store")])
        if !keepAlive { headers.add(name: "connection", value: "close") }
        channel.write(HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers)), promise: nil)
        channel.write(HTTPServerResponsePart.body(.byteBuffer(channel.allocator.buffer(bytes: bytes))), promise: nil)
        let done = channel.writeAndFlush(HTTPServerResponsePart.end(nil))
        if !keepAlive { done.whenComplete { _ in channel.close(promise: nil) } }
    }

    func answer(_ problem: APIProblem, keepAlive: Bool) {
        do { answer(try APIJSON.encode(problem), status: HTTPResponseStatus(statusCode: problem.httpStatus), keepAlive: keepAlive) } catch {
            channel?.close(promise: nil)
        }
    }

    // MARK: Server-sent events (HTML Living Standard, "Server-sent events")

    /// `onEnd` is called once, when the connection ends, however it ends.
    func beginEvents(onEnd: @escaping () -> Void) {
        guard let channel, channel.isActive else { return onEnd() }
        self.onEnd = onEnd
        streaming = true
        beating = channel.eventLoop.scheduleRepeatedTask(initialDelay: Self.beatEvery, delay: Self.beatEvery) { [weak self] task in
            if self?.beat() != true { task.cancel() }
        }
        let headers = HTTPHeaders([("content-type", "text/event-stream"), ("cache-control", "no-store"), ("connection", "close")])
        channel.writeAndFlush(HTTPServerResponsePart.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)), promise: nil)
    }

    /// False when nobody listens any more, or too slowly.
    @discardableResult
    func event(id: UInt64?, kind: String?, _ json: [UInt8]) -> Bool {
        guard streaming, let channel, channel.isActive else { return false }
        guard channel.isWritable || bufferedBytes(channel) < Self.unreadBytesMax else {
            channel.close(promise: nil)
            return false
        }
        var buffer = channel.allocator.buffer(capacity: json.count + 64)
        if let id { buffer.writeString("id: \(id)\n") }
        if let kind { buffer.writeString("event: \(kind)\n") }
        buffer.writeString("data: ")
        buffer.writeBytes(json)
        buffer.writeString("\n\n")
        channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(buffer)), promise: nil)
        return true
    }

    /// A comment line, so that a listener who left is noticed.
    func beat() -> Bool {
        guard streaming, let channel, channel.isActive else { return false }
        channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(channel.allocator.buffer(string: ":\n\n"))), promise: nil)
        return true
    }

    /// Says that all has been told, and ends.
    func endEvents() {
        guard streaming, let channel else { return }
        event(id: nil, kind: "end", Array("{}".utf8))
        streaming = false
        beating?.cancel()
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in channel.close(promise: nil) }
    }

    private func bufferedBytes(_ channel: any Channel) -> Int {
        do { return try channel.syncOptions?.getOption(.bufferedWritableBytes) ?? 0 } catch { return Int.max }
    }
}
