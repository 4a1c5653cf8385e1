import FleetAPI
import NIOCore
import NIOHTTP1

/// A whole answer.
struct APIAnswer: Sendable {
    var status: Int
    var body: [UInt8]
}

/// Collects one answer and closes the connection.
///
/// `@unchecked Sendable`: its state is touched on its channel's event loop only.
final class APIExchangeHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart

    private let endpoint: String
    private let bound: TimeAmount
    private var answer: EventLoopPromise<APIAnswer>?
    private var received = APIAnswer(status: 0, body: [])
    private var late: Scheduled<Void>?

    init(endpoint: String, answer: EventLoopPromise<APIAnswer>, within bound: TimeAmount) {
        self.endpoint = endpoint
        self.answer = answer
        self.bound = bound
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        late = context.eventLoop.scheduleTask(in: bound) {
            self.finish(
                .failure(
                    APIProblem(
                        slug: "no-coordinator", what: "UNREACHABLE \(self.endpoint) took the request and did not answer. Workers are not affected.",
                        why: "it may or may not have done what was asked.", then: "Look first: trading status, trading runs")), channel)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            received.status = Int(head.status.code)
        case .body(let part):
            guard received.body.count + part.readableBytes <= APIClient.answerBytesMax else {
                finish(
                    .failure(APIProblem(slug: "bad-answer", what: "FAILED   the answer of \(endpoint) is larger than \(APIClient.answerBytesMax) bytes")),
                    context.channel)
                return
            }
            received.body.append(contentsOf: part.readableBytesView)
        case .end:
            finish(.success(received), context.channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(.failure(broken(ConnectionFault.words(error))), context.channel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(broken("the connection ended before the answer was complete")), context.channel)
        context.fireChannelInactive()
    }

    private func broken(_ why: String) -> APIProblem {
        APIProblem(
            slug: "no-coordinator", what: "UNREACHABLE \(endpoint): \(why). Workers are not affected.",
            why: "it may or may not have done what was asked.", then: "Look first: trading status, trading runs")
    }

    private func finish(_ result: Result<APIAnswer, any Error>, _ channel: any Channel) {
        late?.cancel()
        late = nil
        guard let answer else { return }
        self.answer = nil
        answer.completeWith(result)
        channel.close(promise: nil)
    }
}
