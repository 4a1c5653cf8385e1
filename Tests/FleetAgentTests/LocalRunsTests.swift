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

    // MARK: Locks

    /// Three tiers, all running, the middle one locked.
    private func locked(timezone: String = "") throws -> (AgentFixture, Agent) {
        let fixture = try AgentFixture()
        try fixture.savePart(
            [AgentFixture.worker("feed", "market-data"), AgentFixture.worker("strat", "strategies"), AgentFixture.worker("gateway", "execution")],
            timezone: timezone)
        let agent = try fixture.start()
        #expect(try ended(fixture, agent, order(fixture, agent, "start").run).state == .completed)
        #expect(try fixture.order(.lock, of: "strat", by: "operator/ops-1", reason: "bad param file").outcome == .done)
        return (fixture, agent)
    }

    private func phases(_ fixture: AgentFixture) throws -> [String] { try ["feed", "strat", "gateway"].map { try fixture.phase(of: $0) } }

    @Test("a stop with a running locked worker in it is refused, and says what to type: its unlock, or the stop without it")
    func lockedInTheWay() throws {
        let (fixture, agent) = try locked(timezone: "Europe/London")
        defer { fixture.end() }
        let problem = try #require(try refusal(fixture, agent, "stop"))
        #expect(problem.slug == "locked" && problem.what == "REFUSED  strat@md-1 is locked")
        #expect(problem.why.hasPrefix("by ops-1 ") && problem.why.hasSuffix(" London: \"bad param file\". Nothing was stopped."), "\(problem.why)")
        #expect(problem.then == "trading --local unlock strat --reason \"…\"    Without: add --except strat")
        let named = try #require(try refusal(fixture, agent, "stop") { $0.scope.services = ["strat"] })
        #expect(named.slug == "locked" && !named.then.contains("--except"))
        #expect(try phases(fixture) == ["running", "running", "running"])
    }

    @Test("with --except the rest stops, and the one left out is named as not covered")
    func except() throws {
        let (fixture, agent) = try locked()
        defer { fixture.end() }
        let accepted = try order(fixture, agent, "stop") { $0.excludeWorkers = ["strat@md-1"] }
        #expect(accepted.plan.notes.contains("strat@md-1 (running) is excluded by name: not covered"), "\(accepted.plan.notes)")
        #expect(try ended(fixture, agent, accepted.run).state == .completed)
        #expect(try phases(fixture) == ["stopped", "running", "stopped"])
        #expect(try refusal(fixture, agent, "stop") { $0.excludeWorkers = ["nobody"] }?.slug == "unknown-service")
        #expect(try refusal(fixture, agent, "stop") { $0.excludeHosts = ["md-1"] }?.slug == "nothing-to-do")
        #expect(try refusal(fixture, agent, "stop") { $0.excludeHosts = ["md-2"] }?.slug == "unknown-host")
    }

    @Test("a stop that leaves locked workers goes as far as the order permits, and ends failed with who locked what")
    func leaves() throws {
        let (fixture, agent) = try locked()
        defer { fixture.end() }
        let accepted = try order(fixture, agent, "stop") { $0.locked = "leave" }
        let run = try ended(fixture, agent, accepted.run)
        #expect(try phases(fixture) == ["stopped", "running", "running"])
        #expect(run.state == .failed && run.blocked.hasPrefix("STOPPED SHORT at tier strategies: strat@md-1 (running, locked by ops-1 "), "\(run.blocked)")
        #expect(run.blocked.contains("Left running behind it: gateway@md-1. trading --local unlock strat --reason"), "\(run.blocked)")
        // Nothing ahead of it is left: refused rather than called done.
        #expect(try ended(fixture, agent, order(fixture, agent, "stop") { $0.locked = "leave" }.run).state == .failed)
        #expect(
            try refusal(fixture, agent, "stop") {
                $0.locked = "leave"; $0.scope.services = ["strat"]
            }?.slug == "locked")
        for (kind, rule) in [("start", "leave"), ("restart", "stop"), ("stop", "kill")] {
            #expect(try refusal(fixture, agent, kind) { $0.locked = rule }?.slug == "bad-request")
        }
    }

    @Test("when the host goes down a locked worker is stopped in its place, on record, and stays locked")
    func hostGoesDown() throws {
        let (fixture, agent) = try locked()
        defer { fixture.end() }
        let accepted = try order(fixture, agent, "stop") { $0.locked = "stop" }
        #expect(accepted.plan.steps.map(\.label) == ["market-data", "strategies", "execution"])
        #expect(accepted.plan.notes.contains { $0.hasPrefix("STOPPED THOUGH LOCKED: strat@md-1 (running, locked by ops-1 ") }, "\(accepted.plan.notes)")
        #expect(try ended(fixture, agent, accepted.run).state == .completed)
        #expect(try phases(fixture) == ["stopped", "stopped", "stopped"])
        #expect(try fixture.journalText().contains("\"through_lock_of\":\"operator/ops-1\""))
        #expect(try refusal(fixture, agent, "start") { $0.scope.services = ["strat"] }?.slug == "locked")
    }

    // MARK: Abort

    @Test("a start that is given up starts nothing more, is listed as aborted, and a stop can begin at once")
    func aborted() throws {
        let fixture = try AgentFixture()
        try fixture.savePart([
            AgentFixture.worker("feed", "market-data"),
            // Never says that it is ready: the start of execution waits for it.
            AgentFixture.worker("gateway", "execution") { worker in
                worker.ready.notify = true
                worker.ready.withinNs = 600_000_000_000
            },
        ])
        let agent = try fixture.start()
        defer { fixture.end() }
        let start = try order(fixture, agent, "start").run
        #expect(try eventually { try fixture.phase(of: "gateway") == "starting" })
        let busy = try #require(try refusal(fixture, agent, "stop"))
        #expect(busy.slug == "busy" && busy.what == "REFUSED  stop: local run \(start) (start, by root) is still going on")
        let done = try fixture.onLoop { try agent.localRuns.abort(start, by: "root", reason: "reboot") }
        #expect(done.text == "local run \(start) (start) aborted. Ordered before, goes on by itself: start of gateway")
        let run = try #require(try fixture.onLoop { agent.localRuns.run(start) })
        #expect(run.state == .aborted && run.endedUnixUs > 0 && run.steps.map(\.state) == ["blocked", "skipped"])
        #expect(run.blocked.hasPrefix("aborted by root: \"reboot\""))
        let stop = try ended(fixture, agent, order(fixture, agent, "stop").run)
        #expect(stop.state == .completed, "\(stop.blocked)")
        #expect(try fixture.phase(of: "gateway") == "stopped" && fixture.phase() == "stopped")
        #expect(try fixture.onLoop { agent.localRuns.all.map(\.state) } == [.aborted, .completed])
        #expect(try fixture.journalText().contains("RUN_ABORTED"))
    }

    @Test("what has ended, is unknown or comes without a reason is not aborted")
    func notAborted() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        let run = try order(fixture, agent, "start").run
        #expect(try ended(fixture, agent, run).state == .completed)
        for (id, reason, slug) in [(run, "x", "run-ended"), (run + 7, "x", "unknown-run"), (run, " ", "no-reason")] {
            let refused = try fixture.onLoop {
                do throws(APIProblem) { _ = try agent.localRuns.abort(id, by: "root", reason: reason) } catch { return error.slug }
                return ""
            }
            #expect(refused == slug)
        }
    }
}
