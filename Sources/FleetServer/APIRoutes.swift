import FleetAPI
import FleetCoordinator
import FleetCore
import FleetWire
import HTTPTypes
import Hummingbird
import NIOCore

/// Every path of `Route`, answered by a coordinator's service.
struct APIRoutes: Sendable {
    let service: any CoordinatorService
    let settings: FleetServerSettings

    func router() -> Router<APIRequestContext> {
        let router = Router(context: APIRequestContext.self)
        router.add(middleware: ProblemMiddleware())
        router.add(middleware: CallerMiddleware(token: settings.loopback?.token, limits: service.limits))
        addVerbs(to: router)
        addEmergency(to: router)
        addTrust(to: router)
        addHosts(to: router)
        addRuns(to: router)
        addReading(to: router)
        return router
    }

    // MARK: Verbs

    private func addVerbs(to router: Router<APIRequestContext>) {
        let verbs = [
            (Route.stop, "stop"), (Route.start, "start"), (Route.restart, "restart"), (Route.quiesce, "quiesce"), (Route.resume, "resume"),
        ]
        for (path, kind) in verbs {
            post(path, router) { request, caller in
                let asked = try await JSONAnswer.read(APIRunRequest.self, request)
                if kind != "start" { try demand(reason: asked.reason, for: kind) }
                return try JSONAnswer.response(try await service.run(kind: kind, asked, by: caller))
            }
        }
        for (path, kind) in [(Route.pipelineStop, "stop"), (Route.pipelineStart, "start"), (Route.pipelineRestart, "restart")] {
            post(path, router) { request, caller in
                var asked = try await JSONAnswer.read(APIRunRequest.self, request, optional: true)
                if !asked.hasScope { asked.scope.all = true }
                if asked.reason.isEmpty { asked.reason = "pipeline api" }
                return try JSONAnswer.response(try await service.run(kind: kind, asked, by: caller))
            }
        }
        post(Route.hold, router) { request, caller in
            let asked = try await JSONAnswer.read(APIHoldRequest.self, request)
            return try JSONAnswer.response(try await service.hold(asked, by: caller))
        }
        for (path, verb) in [(Route.lock, MarkVerb.lock), (Route.unlock, .unlock), (Route.note, .note)] {
            post(path, router) { request, caller in
                let asked = try await JSONAnswer.read(APIMarkRequest.self, request)
                if verb != .note { try demand(reason: asked.reason, for: verb.rawValue) }
                return try JSONAnswer.response(try await service.mark(verb, asked, by: caller))
            }
        }
        post(Route.layout, router) { request, caller in
            let asked = try await JSONAnswer.read(APILayoutAsk.self, request)
            if asked.request.what == .apply { try demand(reason: asked.reason, for: "layout apply") }
            return try JSONAnswer.response(try await service.layout(asked, by: caller))
        }
    }

    private func addEmergency(to router: Router<APIRequestContext>) {
        post(Route.emergencyStop, router) { request, caller in
            let asked = try await JSONAnswer.read(APIEmergencyRequest.self, request, lenient: true)
            try demand(reason: asked.reason, for: "emergency-stop")
            return try JSONAnswer.response(try await service.emergencyStop(asked, by: caller, bound: settings.emergencyBound))
        }
        post(Route.emergencyRelease, router) { request, caller in
            let asked = try await JSONAnswer.read(APILatchRelease.self, request, lenient: true)
            try demand(reason: asked.reason, for: "emergency-stop release")
            return try JSONAnswer.response(try await service.releaseLatch(asked, by: caller))
        }
    }

    // MARK: Trust

    private func addTrust(to router: Router<APIRequestContext>) {
        post(Route.succession, router) { request, caller in
            let asked = try await JSONAnswer.read(APISuccessionRequest.self, request)
            return try JSONAnswer.response(try await service.succeed(asked, by: caller))
        }
    }

    // MARK: Hosts

    private func addHosts(to router: Router<APIRequestContext>) {
        post(Route.settle, router) { request, caller in
            let asked = try await JSONAnswer.read(APISettleRequest.self, request)
            try demand(reason: asked.reason, for: "hosts settle")
            return try JSONAnswer.response(try await service.settle(asked, by: caller))
        }
    }

    // MARK: Runs

    private func addRuns(to router: Router<APIRequestContext>) {
        get(Route.runs, router) { _, _ in try JSONAnswer.response(try await service.runs()) }
        get("\(Route.runs)/:id", router) { _, context in
            try JSONAnswer.response(try await service.run(id: try Self.id(context)))
        }
        get("\(Route.runs)/:id/events", router) { request, context in
            let id = try Self.id(context)
            let events = try await service.events(run: id, from: try Self.firstEvent(request))
            return ServerSentEvents(source: events, keepAlive: settings.keepAlive) { event in
                .init(id: event.sequence, name: event.kind, data: try APIJSON.encode(event), isLast: event.kind == "ended")
            }.response
        }
        for intervention in Intervention.allCases {
            router.post(RouterPath("\(Route.runs)/:id/\(intervention)")) { request, context in
                let asked = try await JSONAnswer.read(APIOverride.self, request, optional: !intervention.needsReason)
                if intervention.needsReason { try demand(reason: asked.reason, for: "runs \(intervention)") }
                let caller = try Self.caller(context)
                return try JSONAnswer.response(try await service.intervene(run: try Self.id(context), intervention, asked, by: caller))
            }
        }
    }

    /// `Last-Event-ID` names the last one the reader has; `from` the first one it wants.
    private static func firstEvent(_ request: Request) throws -> UInt64 {
        if let name = HTTPField.Name("Last-Event-ID"), let last = request.headers[name] {
            guard let id = UInt64(last), id < .max else {
                throw APIProblem(slug: "bad-request", what: "REFUSED  \(request.uri.path): Last-Event-ID is \"\(last)\", not a number")
            }
            return id + 1
        }
        return try number("from", in: request) ?? 0
    }

    // MARK: Reading

    private func addReading(to router: Router<APIRequestContext>) {
        get(Route.worker(":name"), router) { _, context in
            try JSONAnswer.response(try await service.worker(context.parameters.get("name") ?? ""))
        }
        get(Route.status, router) { _, _ in try JSONAnswer.response(try await service.status()) }
        get(Route.audit, router) { request, _ in
            let limit = try Self.number("limit", in: request) ?? 200
            let host = request.uri.queryParameters.get("host")
            return try JSONAnswer.response(try await service.audit(host: host, limit: UInt32(clamping: limit)))
        }
        get(Route.logs, router) { request, _ in
            let query = request.uri.queryParameters
            let services = query.getAll("service")
            guard !services.isEmpty else {
                throw APIProblem(
                    slug: "bad-request", what: "REFUSED  logs: no service named",
                    then: "Add ?service=NAME (repeated for several), or ?service=all")
            }
            let lines = try Self.number("lines", in: request) ?? 100
            let entries = try await service.logs(
                services: services, host: query.get("host"), lines: UInt32(clamping: lines), follow: query.get("follow") == "1",
                since: try Self.number("since", in: request) ?? 0, grep: query.get("grep") ?? "")
            return ServerSentEvents(source: entries, keepAlive: settings.keepAlive) { entry in
                .init(id: nil, name: "line", data: try APIJSON.encode(entry))
            }.response
        }
    }

    // MARK: What routes share

    private func post(
        _ path: String, _ router: Router<APIRequestContext>, _ answer: @escaping @Sendable (Request, Caller) async throws -> Response
    ) {
        router.post(RouterPath(path)) { request, context in try await answer(request, try Self.caller(context)) }
    }

    private func get(
        _ path: String, _ router: Router<APIRequestContext>,
        _ answer: @escaping @Sendable (Request, APIRequestContext) async throws -> Response
    ) {
        router.get(RouterPath(path)) { request, context in try await answer(request, context) }
    }

    /// Of a reason, in UTF-8: what people write, not a document. An emergency stop's is cut instead.
    private static let reasonBytesMax = 4 << 10

    private func demand(reason: String, for verb: String) throws {
        guard reason.utf8.count <= Self.reasonBytesMax || verb.hasPrefix("emergency-stop") else {
            throw APIProblem(
                slug: "bad-request", what: "REFUSED  \(verb): the reason has \(reason.utf8.count) bytes; at most \(Self.reasonBytesMax) are kept",
                then: "Say it shorter, and where the rest is to be read")
        }
        guard reason.allSatisfy(\.isWhitespace) else { return }
        throw APIProblem(
            slug: "no-reason", what: "REFUSED  \(verb): no reason given", why: "it stands in the audit, for whoever reads it in a year.",
            then: "trading \(verb) … --reason \"end of day\"")
    }

    private static func caller(_ context: APIRequestContext) throws -> Caller {
        guard let caller = context.caller else {
            throw APIProblem(slug: "internal", what: "FAILED   the request has no caller", then: "Report this as a defect")
        }
        return caller
    }

    private static func id(_ context: APIRequestContext) throws -> UInt64 {
        let text = context.parameters.get("id") ?? ""
        guard let id = UInt64(text) else {
            throw APIProblem(slug: "unknown-run", what: "REFUSED  \"\(text)\" is not the number of a run", then: "trading runs  lists them")
        }
        return id
    }

    private static func number(_ name: String, in request: Request) throws -> UInt64? {
        guard let text = request.uri.queryParameters.get(name) else { return nil }
        guard let value = UInt64(text), value <= Bounded.nanosecondsMax else {
            throw APIProblem(
                slug: "bad-request",
                what: "REFUSED  \(request.uri.path): \(name) is \"\(Cleaned.text(text, bytesMax: 80))\", no number from 0 to \(Bounded.nanosecondsMax)")
        }
        return value
    }
}
