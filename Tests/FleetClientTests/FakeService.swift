import FleetAPI
import FleetCoordinator
import FleetCore
import FleetWire
import Synchronization

/// Stands in for a coordinator: answers as it is told and keeps who asked for what.
final class FakeService: CoordinatorService {
    struct Asked: Equatable {
        var verb: String
        var caller: String
        var reason: String
    }

    private struct State {
        var asked: [Asked] = []
        var eventsFrom: [UInt64] = []
    }

    private let state = Mutex(State())
    let events: [APIRunEvent]

    init(events: [APIRunEvent] = []) { self.events = events }

    let limits: [SessionLimit] = []

    func succeed(_ request: APISuccessionRequest, by caller: Caller) async throws -> APIDone {
        note("succeed", caller, "")
        return APIDone()
    }

    var asked: [Asked] { state.withLock { $0.asked } }
    var eventsFrom: [UInt64] { state.withLock { $0.eventsFrom } }

    private func note(_ verb: String, _ caller: Caller, _ reason: String) {
        state.withLock { $0.asked.append(Asked(verb: verb, caller: caller.name, reason: reason)) }
    }

    func run(kind: String, _ request: APIRunRequest, by caller: Caller) async throws -> APIRunAccepted {
        note("\(kind)\(request.scope.all ? " all" : "")", caller, request.reason)
        if request.scope.services.contains("gone") {
            throw APIProblem(slug: "unknown-service", what: "REFUSED  stop gone: no such service", why: "why", then: "then")
        }
        var accepted = APIRunAccepted()
        accepted.run = 311
        accepted.plan.kind = kind
        return accepted
    }

    func settle(_ request: APISettleRequest, by caller: Caller) async throws -> APIDone { APIDone() }

    func hold(_ request: APIHoldRequest, by caller: Caller) async throws -> APIDone {
        note("hold \(request.worker)", caller, request.reason)
        return APIDone()
    }

    func mark(_ verb: MarkVerb, _ request: APIMarkRequest, by caller: Caller) async throws -> APIDone {
        note("\(verb.rawValue) \(request.services.joined(separator: " "))", caller, request.reason)
        var done = APIDone()
        done.text = "\(verb.rawValue) done"
        return done
    }

    func layout(_ request: APILayoutAsk, by caller: Caller) async throws -> APILayoutAnswers {
        note("layout \(request.request.what) \(request.hosts.joined(separator: " "))", caller, request.reason)
        var answers = APILayoutAnswers()
        var host = APIHostLayout()
        host.host = request.hosts.first ?? "md-1"
        answers.hosts = [host]
        return answers
    }

    func worker(_ name: String) async throws -> APIWorkerPage {
        var page = APIWorkerPage()
        page.worker = name
        return page
    }

    func emergencyStop(_ request: APIEmergencyRequest, by caller: Caller, bound: Duration) async throws -> APIEmergencyAnswer {
        note("emergency-stop \(request.latch)", caller, request.reason)
        var answer = APIEmergencyAnswer()
        answer.latch = request.latch
        var result = WireEmergencyResult()
        result.host = "ex-1"
        result.final = true
        var gone = WireEmergencyResult.Gone()
        gone.service = "order-gateway"
        gone.gone = true
        result.workers = [gone]
        answer.hosts = [result]
        answer.covered = 1
        return answer
    }

    func releaseLatch(_ request: APILatchRelease, by caller: Caller) async throws -> APIDone {
        note("release \(request.latch)", caller, request.reason)
        return APIDone()
    }

    func status() async throws -> APIFleetStatus {
        var status = APIFleetStatus()
        status.fleet = "ld4"
        return status
    }

    func runs() async throws -> APIRunList { APIRunList() }

    func run(id: UInt64) async throws -> APIRun {
        var run = APIRun()
        run.id = id
        return run
    }

    func events(run id: UInt64, from sequence: UInt64) async throws -> AsyncStream<APIRunEvent> {
        state.withLock { $0.eventsFrom.append(sequence) }
        let (stream, feed) = AsyncStream.makeStream(of: APIRunEvent.self)
        for event in events where event.sequence >= sequence { feed.yield(event) }
        return stream
    }

    func intervene(run id: UInt64, _ intervention: Intervention, _ request: APIOverride, by caller: Caller) async throws -> APIDone {
        note("\(intervention) \(id)", caller, request.reason)
        return APIDone()
    }

    func logs(services: [String], host: String?, lines: UInt32, follow: Bool, since: UInt64, grep: String) async throws -> AsyncStream<APILogEntry> {
        let (stream, feed) = AsyncStream.makeStream(of: APILogEntry.self)
        var entry = APILogEntry()
        entry.service = services.joined(separator: "+")
        entry.host = host ?? ""
        entry.text = "\(lines) \(follow)" + (since > 0 ? " \(since)" : "") + (grep.isEmpty ? "" : " \(grep)")
        feed.yield(entry)
        feed.finish()
        return stream
    }

    func audit(host: String?, limit: UInt32) async throws -> APIAuditPage {
        var page = APIAuditPage()
        page.host = host ?? ""
        page.lines = ["\(limit)"]
        return page
    }
}
