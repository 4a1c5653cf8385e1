import FleetAPI
import FleetCoordinator
import FleetTrust
import FleetWire
import HTTPTypes
import Hummingbird

/// Finds out who calls, and what a restricted caller may not do.
struct CallerMiddleware: RouterMiddleware {
    /// The bearer token of the loopback listener; nil where there is none.
    let token: String?

    func handle(
        _ request: Request, context: APIRequestContext, next: (Request, APIRequestContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        let caller = try identify(request, context.origin)
        if caller.restricted, !Self.openToRestricted(request) {
            throw APIProblem(
                slug: "restricted", what: "REFUSED  \(request.method) \(request.uri.path): this session is restricted",
                why: "the certificate of \(caller.name) is out of date, or the revocation list is. Status and emergency stop still work.",
                then: "Renew it: trading certs issue operator NAME --force")
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
            return Caller(name: "operator/\(peer.identity.name)", restricted: !peer.restrictedBecause.isEmpty)
        case .local(let name):
            return Caller(name: name, restricted: false)
        case .token:
            guard let token, let sent = request.headers[.authorization], sent.hasPrefix("Bearer "),
                Self.equal(sent.dropFirst("Bearer ".count).utf8, token.utf8)
            else {
                throw APIProblem(
                    slug: "no-token", what: "REFUSED  \(request.uri.path): the bearer token is missing or wrong",
                    why: "plain HTTP on loopback is served to holders of the coordinator's token only.",
                    then: "Send the header  Authorization: Bearer TOKEN")
            }
            return Caller(name: "token", restricted: false)
        case nil:
            throw APIProblem(slug: "internal", what: "FAILED   \(request.uri.path): the connection has no origin", then: "Report this as a defect")
        }
    }

    private static func openToRestricted(_ request: Request) -> Bool {
        switch (request.method, request.uri.path) {
        case (.get, Route.status), (.post, Route.emergencyStop), (.post, Route.emergencyRelease): true
        default: false
        }
    }

    /// Takes the same time wherever the difference is, so that a token can't be guessed byte by byte.
    private static func equal(_ sent: some Collection<UInt8>, _ token: some Collection<UInt8>) -> Bool {
        var difference = UInt8(sent.count == token.count ? 0 : 1)
        for (one, other) in zip(sent, token) { difference |= one ^ other }
        return difference == 0
    }
}
