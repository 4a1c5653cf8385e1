import FleetAPI
import FleetCore
package import FleetTrust
import FleetWire
import LinuxHost
import NIOCore
import NIOHTTP1
import NIOPosix
package import SwiftProtobuf

/// One API, called over HTTP/1.1 with a connection for each call: calls never wait behind one another.
///
/// Every failure is an `APIProblem`: the other side's own, or `no-coordinator` when it can't be reached.
package struct APIClient: Sendable {
    package let endpoint: APIEndpoint

    /// How long a connection, its handshake included, may take.
    package static let connectBound: Duration = .seconds(2)
    /// What fits into a socket address (unix(7)), without its final zero.
    private static let socketPathMax = 107
    /// How long an answer may take once asked for; emergency stop and planning wait for agents, but never this long.
    package static let answerBound: Duration = .seconds(30)
    /// The largest answer that is kept: the status of a thousand hosts is far below.
    package static let answerBytesMax = 64 << 20

    /// One event loop for all calls of the process.
    ///
    /// Created on first use, never shut down: the process ends.
    private static let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// Told once the other side is verified, with what is held against its dates.
    private let verified: (@Sendable (VerifiedPeer) -> Void)?

    package init(_ endpoint: APIEndpoint, verified: (@Sendable (VerifiedPeer) -> Void)? = nil) {
        self.endpoint = endpoint
        self.verified = verified
    }

    // MARK: Calls

    package func get<Answer: Message>(_ path: String, as type: Answer.Type = Answer.self, within bound: Duration = answerBound) async throws -> Answer {
        try await decode(call(.GET, path, body: nil, within: bound), path)
    }

    package func post<Answer: Message>(
        _ path: String, _ message: some Message, as type: Answer.Type = Answer.self, within bound: Duration = answerBound
    ) async throws -> Answer {
        try await decode(call(.POST, path, body: try APIJSON.encode(message), within: bound), path)
    }

    /// The server-sent events of a path, until its end or until it breaks off (then it throws `stream-broken`).
    ///
    /// `after`: the id of the last event that is already known.
    package func events(_ path: String, after last: UInt64? = nil) async throws -> AsyncThrowingStream<ServerSentEvent, any Error> {
        let (stream, feed) = AsyncThrowingStream.makeStream(
            of: ServerSentEvent.self, bufferingPolicy: .bufferingOldest(10_000))
        let opened = Self.group.next().makePromise(of: Void.self)
        let handler = APIEventStreamHandler(endpoint: endpoint.words, opened: opened, feed: feed)
        do {
            let channel = try await connect(handler)
            feed.onTermination = { _ in channel.close(promise: nil) }
            var head = requestHead(.GET, path, bodyBytes: nil)
            head.headers.add(name: "accept", value: "text/event-stream")
            if let last { head.headers.add(name: "last-event-id", value: String(last)) }
            send(head, nil, on: channel)
        } catch {
            opened.fail(error)
            feed.finish(throwing: error)
        }
        try await opened.futureResult.get()
        return stream
    }

    // MARK: One exchange

    private func call(_ method: HTTPMethod, _ path: String, body: [UInt8]?, within bound: Duration) async throws -> APIAnswer {
        let answer = Self.group.next().makePromise(of: APIAnswer.self)
        let handler = APIExchangeHandler(endpoint: endpoint.words, answer: answer, within: .nanoseconds(bound.nanoseconds))
        do {
            let channel = try await connect(handler)
            send(requestHead(method, path, bodyBytes: body?.count), body, on: channel)
        } catch {
            answer.fail(error)
        }
        return try await answer.futureResult.get()
    }

    private func decode<Answer: Message>(_ answer: APIAnswer, _ path: String) throws -> Answer {
        guard (200..<300).contains(answer.status) else { throw Self.problem(answer, endpoint.words, path) }
        do {
            return try APIJSON.decode(Answer.self, from: answer.body)
        } catch {
            throw APIProblem(
                slug: "bad-answer", what: "FAILED   \(endpoint.words) answered \(path) with something else than this program expects",
                why: String(describing: error), then: "Compare the versions: trading --version, and the one in trading status")
        }
    }

    /// The other side's own words; if there are none, its status.
    static func problem(_ answer: APIAnswer, _ endpoint: String, _ path: String) -> APIProblem {
        do {
            let problem = try APIJSON.decode(APIProblem.self, from: answer.body)
            if !problem.slug.isEmpty { return problem }
        } catch {
            // Not ours: something else answers there, which the problem below says.
        }
        return APIProblem(
            slug: "bad-answer", what: "FAILED   \(endpoint) answered \(path) with HTTP \(answer.status)",
            why: "its body is not a problem as our programs write it; something else may listen there.")
    }

    // MARK: Connection

    /// Connects and waits until the peer was verified; nothing is sent before.
    private func connect(_ handler: some ChannelInboundHandler & Sendable) async throws -> any Channel {
        let bootstrap = ClientBootstrap(group: Self.group)
            .connectTimeout(.nanoseconds(Self.connectBound.nanoseconds))
            .channelOption(.socketOption(.init(rawValue: 9 /* SO_KEEPALIVE of socket(7) */)), value: 1)
        do {
            switch endpoint {
            case .unix(_, let path):
                let prepared = bootstrap.channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try Self.addHTTP(handler, to: channel) }
                }
                guard path.utf8.count > Self.socketPathMax, let slash = path.lastIndex(of: "/") else {
                    return try await prepared.connect(unixDomainSocketPath: path).get()
                }
                // An agent listens in a directory with a long path all the same.
                let descriptor = try UnixSocket.connect(in: String(path[..<slash]), name: String(path[path.index(after: slash)...]))
                return try await prepared.withConnectedSocket(descriptor).get()
            case .tls(let name, let isRelay, let host, let port, let trust):
                let address = try SocketAddress(ipAddress: host, port: port)
                let verified = Self.group.next().makePromise(of: Void.self)
                // A coordinator's certificate that serves as a relay is taken for one version more.
                let roles: Set<FleetIdentity.Role> = isRelay ? [.relay, .coordinator] : [.coordinator]
                let told = self.verified
                do {
                    let channel = try await bootstrap.channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandlers(trust.clientHandlers(roles: roles, alpn: TLSTrust.httpALPN))
                            try channel.pipeline.syncOperations.addHandler(VerificationWatch(name: name, verified: verified, told: told))
                            try Self.addHTTP(handler, to: channel)
                        }
                    }.connect(to: address).get()
                    let late = channel.eventLoop.scheduleTask(in: .nanoseconds(Self.connectBound.nanoseconds)) {
                        verified.fail(ConnectionFault.handshakeLate)
                    }
                    defer { late.cancel() }
                    do {
                        try await verified.futureResult.get()
                    } catch {
                        channel.close(promise: nil)
                        throw error
                    }
                    return channel
                } catch {
                    verified.fail(error)
                    throw error
                }
            }
        } catch {
            throw ConnectionFault.problem(endpoint, error)
        }
    }

    private static func addHTTP(_ handler: some ChannelInboundHandler & Sendable, to channel: any Channel) throws {
        try channel.pipeline.syncOperations.addHTTPClientHandlers(leftOverBytesStrategy: .dropBytes)
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    private func requestHead(_ method: HTTPMethod, _ path: String, bodyBytes: Int?) -> HTTPRequestHead {
        var headers = HTTPHeaders([("host", endpoint.name), ("connection", "close"), ("user-agent", "trading")])
        if let bodyBytes {
            headers.add(name: "content-type", value: "application/json")
            headers.add(name: "content-length", value: String(bodyBytes))
        }
        return HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
    }

    /// A failed write surfaces as the connection's end, which the handler reports.
    private func send(_ head: HTTPRequestHead, _ body: [UInt8]?, on channel: any Channel) {
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body { channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }
}
