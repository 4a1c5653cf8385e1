internal import AsyncHTTPClient
internal import FleetCore
internal import Glibc
internal import NIOConcurrencyHelpers
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Posts JSON to those who are not ours: one attempt per call.
///
/// It follows no redirect, keeps no answer, and shares no thread with what decides.
final class AlertSender: Sendable {
    private let client: HTTPClient

    init() {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        // An attempt is an attempt: the one who counts them is the caller.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(10)
        client = HTTPClient(eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: configuration)
    }

    /// The status of the answer, whatever it is.
    ///
    /// Fails with `AlertFailure` in an operator's words. An attempt that ran out of time may have been taken all the same.
    func post(_ url: String, _ body: String, within: Duration) -> EventLoopFuture<UInt> {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let deadline = NIODeadline.now() + .nanoseconds(within.nanoseconds)
        do {
            let request = try HTTPClient.Request(
                url: url, method: .POST, headers: ["content-type": "application/json", "user-agent": "trading-coordinator"], body: .string(body))
            return client.execute(request: request, delegate: StatusReader(), deadline: deadline).futureResult
                .flatMapErrorThrowing { throw AlertFailure($0, within: within) }
        } catch {
            return loop.makeFailedFuture(AlertFailure(error, within: within))
        }
    }

    /// Once; nothing is posted afterwards.
    @discardableResult
    func close() -> EventLoopFuture<Void> { client.shutdown() }
}

/// Why an attempt came to nothing.
struct AlertFailure: Error, Equatable, Sendable, CustomStringConvertible {
    let description: String

    init(_ error: any Error, within: Duration) {
        if let error = error as? HTTPClientError, [.deadlineExceeded, .readTimeout, .connectTimeout].contains(error) {
            description = "no answer within \(within.words)"
        } else if let error = error as? NIOConnectionError, error.connectionErrors.count == 1 {
            description = Self.words(error.connectionErrors[0].error)
        } else {
            description = Self.words(error)
        }
    }

    private static func words(_ error: any Error) -> String {
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)) }
        return "\(error)"
    }
}

/// Keeps the status and drops the body: what a receiver answers is of no interest, however long.
private final class StatusReader: HTTPClientResponseDelegate {
    private let status = NIOLockedValueBox<UInt>(0)

    func didReceiveHead(task: HTTPClient.Task<UInt>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        status.withLockedValue { $0 = head.status.code }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<UInt>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> { task.eventLoop.makeSucceededVoidFuture() }

    func didFinishRequest(task: HTTPClient.Task<UInt>) throws -> UInt { status.withLockedValue { $0 } }
}
