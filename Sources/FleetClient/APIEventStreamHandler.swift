import FleetAPI
import NIOCore
import NIOHTTP1

/// Turns an answer of server-sent events into a stream.
///
/// `@unchecked Sendable`: its state is touched on its channel's event loop only.
final class APIEventStreamHandler: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart

    private let endpoint: String
    private let feed: AsyncThrowingStream<ServerSentEvent, any Error>.Continuation
    private var opened: EventLoopPromise<Void>?
    private var parser = ServerSentEventParser()
    private var refusal: APIAnswer?
    private var silence: Scheduled<Void>?

    /// Three missed keep-alives of 10 s: the other side is gone even if the connection does not say so.
    private static let silenceMax: TimeAmount = .seconds(35)

    init(endpoint: String, opened: EventLoopPromise<Void>, feed: AsyncThrowingStream<ServerSentEvent, any Error>.Continuation) {
        self.endpoint = endpoint
        self.opened = opened
        self.feed = feed
    }

    func handlerAdded(context: ChannelHandlerContext) { heard(context.channel) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        heard(context.channel)
        switch unwrapInboundIn(data) {
        case .head(let head):
            if head.status == .ok {
                opened?.succeed()
                opened = nil
            } else {
                refusal = APIAnswer(status: Int(head.status.code), body: [])
            }
        case .body(let part):
            if var answer = refusal {
                if answer.body.count < 1 << 20 { answer.body.append(contentsOf: part.readableBytesView) }
                refusal = answer
                return
            }
            do {
                for event in try parser.feed(part.readableBytesView) {
                    if case .enqueued = feed.yield(event) { continue }
                    end(broken("this side read its events too slowly"), context.channel)
                    return
                }
            } catch {
                end(broken(String(describing: error)), context.channel)
            }
        case .end:
            end(refusal.map { APIClient.problem($0, endpoint, "events") }, context.channel)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(broken(ConnectionFault.words(error)), context.channel)
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(broken("the connection ended"), context.channel)
        context.fireChannelInactive()
    }

    private func heard(_ channel: any Channel) {
        silence?.cancel()
        silence = channel.eventLoop.scheduleTask(in: Self.silenceMax) {
            self.end(self.broken("no word for 35 s"), channel)
        }
    }

    private func broken(_ why: String) -> APIProblem {
        APIProblem(
            slug: "stream-broken", what: "LOST     the events of \(endpoint): \(why). Workers are not affected.",
            why: "a run that was started goes on.", then: "trading runs  shows where it is")
    }

    /// Further calls change nothing: a finished stream stays finished.
    private func end(_ problem: APIProblem?, _ channel: any Channel) {
        silence?.cancel()
        silence = nil
        if let opened {
            self.opened = nil
            opened.fail(problem ?? broken("it ended before it began"))
        }
        if let problem { feed.finish(throwing: problem) } else { feed.finish() }
        channel.close(promise: nil)
    }
}
