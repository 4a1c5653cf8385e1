import FleetAPI
import HTTPTypes
import Hummingbird
import NIOCore
import SwiftProtobuf

/// A message as an HTTP answer.
enum JSONAnswer {
    static func response(_ message: some Message, status: HTTPResponse.Status = .ok) throws -> Response {
        let bytes = try APIJSON.encode(message)
        return Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    /// A request's body as a message.
    ///
    /// An empty body is the empty message where `optional` says so. Unknown fields are refused, except where `lenient`: an
    /// emergency stop is not turned away over a word.
    static func read<M: Message>(_ type: M.Type, _ request: Request, optional: Bool = false, lenient: Bool = false) async throws -> M {
        var body = try await collect(request)
        let bytes = body.readBytes(length: body.readableBytes) ?? []
        if bytes.isEmpty {
            if optional { return M() }
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(request.uri.path): the request has no body",
                then: "Send a JSON object, for example {\"reason\": \"end of day\", \"scope\": {\"all\": true}}")
        }
        do {
            return try lenient ? APIJSON.decode(M.self, from: bytes) : APIJSON.decodeOrder(M.self, from: bytes)
        } catch JSONDecodingError.unknownField(let name) {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(request.uri.path): there is no field \"\(name)\"",
                why: "Nothing was done: it might have meant less than the rest says.",
                then: "The fields are those of api.proto, with the names as written there")
        } catch {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(request.uri.path): the body is not the JSON that this path takes",
                why: String(describing: error), then: "The fields are those of api.proto, with the names as written there")
        }
    }

    private static func collect(_ request: Request) async throws -> ByteBuffer {
        do {
            return try await request.body.collect(upTo: FleetServerSettings.bodyBytesMax)
        } catch is NIOTooManyBytesError {
            throw HTTPError(.contentTooLarge)
        }
    }
}
