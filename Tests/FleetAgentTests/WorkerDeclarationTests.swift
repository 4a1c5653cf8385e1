import FleetCore
import FleetWire
import Testing

@testable import FleetAgent

struct WorkerDeclarationTests {
    private static let paths = AgentPaths(state: "/s", run: "/r")

    private func declaration(_ change: (inout WireWorkerSpec) -> Void) -> WorkerDeclaration {
        var spec = WireWorkerSpec()
        spec.service = "feed"
        spec.tier = "market-data"
        spec.run = ["feed"]
        change(&spec)
        return WorkerDeclaration(spec, paths: Self.paths)
    }

    @Test(
        "$state is the worker's own directory, and nothing that only begins like it",
        arguments: [
            ("$state", "/S"), ("$state/x", "/S/x"), ("a$state", "a/S"), ("$state$state", "/S/S"), ("$statements", "$statements"), ("$state_x", "$state_x"),
            ("$state2", "$state2"), ("$state-2", "/S-2"), ("$", "$"), ("$$state", "$/S"), ("100$", "100$"), ("$HOME", "$HOME"), ("", ""), ("$staté", "$staté"),
        ])
    func expansion(text: String, expanded: String) {
        #expect(WorkerDeclaration.expand(text, state: "/S") == expanded)
    }

    @Test("it is replaced wherever a path may stand")
    func places() {
        let spec = declaration { spec in
            spec.run = ["feed", "--db", "$state/db"]
            spec.env = ["DB": "$state/db"]
            spec.secrets = ["KEY": "$state/key"]
            spec.stateFiles = ["$state/db"]
            spec.logFiles = ["$state/log"]
            spec.workdir = "$state/w"
        }.spec
        let state = "/s/workers/feed"
        #expect(spec.run == ["feed", "--db", state + "/db"] && spec.env == ["DB": state + "/db"] && spec.secrets == ["KEY": state + "/key"])
        #expect(spec.stateFiles == [state + "/db"] && spec.logFiles == [state + "/log"] && spec.workdir == state + "/w")
        #expect(declaration { _ in }.spec.workdir == state)
    }

    @Test("the policy is what the part says; without a word a stop is TERM, and readiness needs none")
    func policy() {
        let bare = declaration { $0.stop.graceNs = 5_000_000_000 }.policy
        #expect(bare.stop == StopSpec(signal: "TERM", grace: .seconds(5), extendTo: .zero, then: .kill))
        #expect(bare.ready == .delay(.zero) && bare.quiesce == nil && bare.resume == nil && bare.restart.policy == .never)
        let full = declaration { spec in
            spec.ready.notify = true
            spec.ready.withinNs = 30_000_000_000
            spec.stop.signal = "INT"
            spec.stop.hold = true
            spec.quiesce.signal = "USR1"
            spec.quiesce.done.notify = "X_QUIESCED=1"
            spec.quiesce.withinNs = 1_000_000_000
            spec.resume.http.method = "POST"
            spec.resume.http.url = "http://127.0.0.1:1/resume"
            spec.resume.done.http.url = "http://127.0.0.1:1/state"
            spec.resume.done.http.is = "false"
            spec.restart.policy = .onFailure
            spec.restart.limitStarts = 3
        }.policy
        #expect(full.ready == .notify(within: .seconds(30)) && full.stop.signal == "INT" && full.stop.then == .hold)
        #expect(full.quiesce == ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(1)))
        #expect(full.resume?.how == .http(method: "POST", url: "http://127.0.0.1:1/resume"))
        if case .http(let probe)? = full.resume?.done { #expect(probe.equals == "false") } else { Issue.record("no condition") }
        #expect(full.restart.policy == .onFailure && full.restart.limitStarts == 3)
    }

    @Test("an action without a way, a counter without a source and absurd durations do no harm")
    func malformed() {
        let declaration = declaration { spec in
            spec.quiesce.withinNs = .max
            spec.counters = [WireCounter()]
            spec.stop.graceNs = .max
        }
        #expect(declaration.policy.quiesce == nil && declaration.counters.isEmpty)
        #expect(declaration.policy.stop.grace == .nanoseconds(Int64.max))
    }
}
