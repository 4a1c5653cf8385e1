import FleetAPI
import FleetCore
import FleetWire
import LinuxHost
import Testing

@testable import FleetAgent

/// Runs that people on the host order, with real shims and no coordinator.
@Suite(.serialized) struct LocalRunsTests {
    private static func request(_ change: (inout APIRunRequest) -> Void = { _ in }) -> APIRunRequest {
        var request = APIRunRequest()
        request.scope.all = true
        request.reason = "test"
        change(&request)
        return request
    }

    private func order(
        _ fixture: AgentFixture, _ agent: Agent, _ kind: String, _ change: (inout APIRunRequest) -> Void = { _ in }
    ) throws -> APIRunAccepted {
        let request = Self.request(change)
        return try fixture.onLoop { try agent.localRuns.order(kind: kind, request, by: "root") }
    }

    private func refusal(
        _ fixture: AgentFixture, _ agent: Agent, _ kind: String, _ change: (inout APIRunRequest) -> Void = { _ in }
    ) throws -> APIProblem? {
        let request = Self.request(change)
        return try fixture.onLoop {
            do throws(APIProblem) { _ = try agent.localRuns.order(kind: kind, request, by: "root") } catch { return error }
            return nil
        }
    }

    private func ended(_ fixture: AgentFixture, _ agent: Agent, _ id: UInt64) throws -> APIRun {
        #expect(try eventually { try fixture.onLoop { agent.localRuns.run(id)?.endedUnixUs ?? 0 > 0 } })
        return try #require(try fixture.onLoop { agent.localRuns.run(id) })
    }

    @Test("without a part of the inventory every verb is refused, and says so", arguments: ["start", "stop", "restart", "quiesce", "resume"])
    func withoutPart(kind: String) throws {
        let fixture = try AgentFixture()
        let agent = try fixture.start()
        defer { fixture.end() }
        let problem = try #require(try refusal(fixture, agent, kind))
        #expect(problem.slug == "no-part" && problem.what == "REFUSED  \(kind): md-1 has no part of the inventory yet")
    }
}
