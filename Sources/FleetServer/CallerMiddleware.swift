import FleetAPI
import FleetCoordinator
import FleetCore
import FleetTrust
import FleetWire
import HTTPTypes
import Hummingbird

/// Finds out who calls, and refuses what the caller or this program may not do, by the one list (`SessionRights`).
struct CallerMiddleware: RouterMiddleware {
    /// The bearer token of the loopback listener; nil where there is none.
    let token: String?
    /// What limits everybody here.
    let limits: [SessionLimit]

    func handle(
        _ request: Request, context: APIRequestContext, next: (Request, APIRequestContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        let caller = try identify(request, context.origin)
        if let (slug, text) = SessionRights.refusal(of: Self.deed(request), under: limits + caller.limits) {
            throw APIProblem(
                slug: slug, what: "REFUSED  \(request.method) \(request.uri.path)", why: text,
                then: limits.isEmpty ? "Renew it: trading certs issue operator NAME --force" : "trading status")
        }
        context.caller = caller
        return try await next(request, context)
    }

    private func identify(_ request: Request, _ origin: ConnectionOrigin?) throws -> Caller {
        switch origin {
        case .certificate(let box):
            // The gate lets no byte through before the peer is verified; without a peer nothing is answered all the same.
            guard let peer = box.verified else {
                throw APIProblem(slug: "no-certificate", what: "REFUSED  \(request.uri.path): no verified certificate on this connection")
            }
            return Caller(name: "operator/\(peer.identity.name)", limits: peer.limits)
        case .local(let name):
            return Caller(name: name)
        case .token:
            guard let token, let sent = request.headers[.authorization], sent.hasPrefix("Bearer "),
                Self.equal(sent.dropFirst("Bearer ".count).utf8, token.utf8)
            else {
                throw APIProblem(
                    slug: "no-token", what: "REFUSED  \(request.uri.path): the bearer token is missing or wrong",
                    why: "plain HTTP on loopback is served to holders of the coordinator's token only.",
                    then: "Send the header  Authorization: Bearer TOKEN")
            }
            return Caller(name: "token")
        case nil:
            throw APIProblem(slug: "internal", what: "FAILED   \(request.uri.path): the connection has no origin", then: "Report this as a defect")
        }
    }

    /// What a request asks for. Whether a release needs a signature its answerer knows.
    private static func deed(_ request: Request) -> Deed {
        // As the router reads it: empty components count for nothing.
        let path = "/" + request.uri.path.split(separator: "/").joined(separator: "/")
        if request.method == .get {
            switch path {
            case Route.logs: return .readLogs
            case Route.audit: return .readAudit
            default: return .readStatus
            }
        }
        switch path {
        case Route.emergencyStop: return .setLatch
        case Route.emergencyRelease: return .releaseSignedLatch
        case Route.stop, Route.pipelineStop, Route.hold: return .stop
        case Route.start, Route.pipelineStart: return .start
        case Route.restart, Route.pipelineRestart: return .restart
        case Route.quiesce: return .quiesce
        case Route.resume: return .resume
        case Route.lock: return .lock
        case Route.unlock: return .unlock
        case Route.note: return .note
        case Route.layout: return .applyLayout
        case Route.succession: return .succeed
        // Whatever else is posted decides about a run or a host; a path that nobody knows is refused by the router.
        default: return .intervene
        }
    }

    /// Takes the same time wherever the difference is, so that a token can't be guessed byte by byte.
    private static func equal(_ sent: some Collection<UInt8>, _ token: some Collection<UInt8>) -> Bool {
        var difference = UInt8(sent.count == token.count ? 0 : 1)
        for (one, other) in zip(sent, token) { difference |= one ^ other }
        return difference == 0
    }
}
