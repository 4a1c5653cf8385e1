import FleetAPI
import HTTPTypes
import Hummingbird
import Logging
import NIOCore

/// Turns everything that a route throws into an `APIProblem` as JSON: what, why, what to do next.
struct ProblemMiddleware: RouterMiddleware {
    func handle(
        _ request: Request, context: APIRequestContext, next: (Request, APIRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let problem as APIProblem {
            return try Self.answer(problem)
        } catch let error as HTTPError {
            return try Self.answer(Self.problem(error, request))
        } catch is CancellationError {
            return try Self.answer(
                APIProblem(
                    slug: "starting", what: "UNREACHABLE  \(request.uri.path): the coordinator is shutting down",
                    then: "Ask again in a moment; the workers are not affected"))
        } catch {
            context.logger.error(
                "a request failed", metadata: ["path": .string(request.uri.path), "error": .string(String(describing: error))])
            return try Self.answer(
                APIProblem(
                    slug: "internal", what: "FAILED   \(request.method) \(request.uri.path)", why: String(describing: error),
                    then: "The coordinator's log has the same line; trading status shows what holds now"))
        }
    }

    private static func problem(_ error: HTTPError, _ request: Request) -> APIProblem {
        switch error.status {
        case .notFound:
            APIProblem(
                slug: "not-found", what: "REFUSED  \(request.method) \(request.uri.path): there is no such path here",
                why: "the paths are /api/v1/status, /runs, /stop, /start, … as in FleetAPI/Route.swift.")
        case .contentTooLarge:
            APIProblem(
                slug: "body-too-large", what: "REFUSED  \(request.uri.path): the body is larger than \(FleetServerSettings.bodyBytesMax) bytes",
                then: "Name tiers or hosts instead of every worker")
        default:
            APIProblem(
                slug: "bad-request", what: "REFUSED  \(request.method) \(request.uri.path): \(error.body ?? error.status.reasonPhrase)")
        }
    }

    static func answer(_ problem: APIProblem) throws -> Response {
        try JSONAnswer.response(problem, status: .init(code: problem.httpStatus))
    }
}
