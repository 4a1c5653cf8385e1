import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// The agent is killed with SIGKILL again and again: no worker is lost, doubled, signalled wrongly or left without a record.
///
/// CI makes ten random rounds; `TORTURE_ROUNDS=50` is the full campaign. `TORTURE_SEED` repeats one.
@Suite(.serialized) struct TortureAgentTests {
    private static func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    /// splitmix64
    private struct Random {
        var state: UInt64
        mutating func next(below bound: UInt64) -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return (z ^ (z >> 31)) % bound
        }
    }

    /// Busy until a moment that is finer than a timer would wake us at.
    private func wait(microseconds: UInt64) {
        let end = DispatchTime.now().uptimeNanoseconds + microseconds * 1_000
        while DispatchTime.now().uptimeNanoseconds < end {}
    }

    @Test("SIGKILL of the agent at random moments of starts and stops")
    func randomMoments() throws {
        let seed = Self.number("TORTURE_SEED") ?? UInt64.random(in: 1...UInt64.max)
        let rounds = Self.number("TORTURE_ROUNDS") ?? 10
        var random = Random(state: seed)
        let host = try TortureHost()
        defer { host.end() }
        let habits = ["plain", "ignore-term", "slow-end", "escape", "plain"]
        for (index, habit) in habits.enumerated() { host.add("worker-\(index)", habit, "\(index == 2 ? 150 : 2)") }
        try host.startAgent()
        for round in 0..<rounds {
            let verb = round % 2 == 0 ? "start" : "stop"
            let command = try host.background(verb, "--all", "--reason", "round \(round)")
            // Around the launches (5 to 60 ms after the command's exec) and the graces (400 ms).
            wait(microseconds: random.next(below: verb == "start" ? 120_000 : 700_000))
            host.killAgent()
            try host.startAgent()
            #expect(eventually(within: 15) { !command.process.isRunning }, "the command hangs: \(command.log)")
            #expect(
                try eventually(within: 20) {
                    try host.reports().allSatisfy { ["RUNNING", "STOPPED", "FAILED"].contains($0["state"] as? String ?? "STOPPED") }
                }, "seed \(seed), round \(round): \(host.screen)")
            // What it shows is what is, both ways.
            for report in try host.reports() {
                let service = report["service"] as? String ?? ""
                let pid = (report["pid"] as? NSNumber)?.int32Value ?? 0
                if report["state"] as? String == "RUNNING" {
                    #expect(isAlive(pid), "seed \(seed), round \(round): \(service) is called running, PID \(pid) is not there")
                } else {
                    #expect(try eventually(within: 5) { try host.tree(service).isEmpty }, "seed \(seed), round \(round): \(service) was lost: it runs unseen")
                }
            }
            try host.verify()
        }
        // And an ordinary order still works.
        try host.local("stop", "--all", "--reason", "last")
        #expect(try host.local("start", "--all", "--reason", "last").status == 0, "seed \(seed): \(host.agent?.log ?? "")")
        try host.local("stop", "--all", "--reason", "last")
        #expect(try eventually(within: 15) { try host.reports().allSatisfy { $0["pid"] as? Int ?? 0 == 0 } })
        for index in habits.indices { #expect(try host.tree("worker-\(index)").isEmpty, "seed \(seed)") }
        try host.verify()
    }

    /// A moment of the launch protocol, as it shows on disk.
    enum Step: String, CaseIterable, Sendable {
        case intent, directory, conf, identity, worker, started
    }

    @Test("SIGKILL of the agent at every step of a launch: it runs once or not at all, and the record says which", arguments: Step.allCases)
    func everyStep(step: Step) throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "plain")
        try host.startAgent()
        let launches = host.run + "/w/worker"
        func launch() -> String? {
            guard let names = try? FileManager.default.contentsOfDirectory(atPath: launches) else { return nil }
            return names.first { $0 != "slot" && $0 != "spec" && !$0.hasPrefix(".") }.map { launches + "/" + $0 }
        }
        func reached() -> Bool {
            switch step {
            case .intent: return (try? String(contentsOfFile: host.state + "/journal", encoding: .utf8))?.contains("WORKER_START") == true
            case .directory: return launch() != nil
            case .conf, .identity, .worker: return launch().map { access($0 + "/" + step.rawValue, F_OK) == 0 } == true
            case .started: return !host.said("worker").isEmpty
            }
        }
        let start = try host.background("start", "worker", "--reason", "torture")
        let end = DispatchTime.now() + 10
        while !reached(), DispatchTime.now() < end {}
        #expect(reached(), "\(step) was not seen")
        host.killAgent()
        try host.startAgent()
        #expect(eventually(within: 15) { !start.process.isRunning }, "the command hangs: \(start.log)")
        #expect(
            try eventually(within: 20) { ["RUNNING", "STOPPED", "FAILED"].contains(try host.state("worker")) },
            "\(host.screen)\n\(host.agent?.log ?? "")")
        let runs = try !host.tree("worker").isEmpty
        let shown = try host.state("worker") == "RUNNING"
        #expect(shown == runs, "runs: \(runs)\n\(host.screen)")
        #expect(host.said("worker").count <= 1)
        if try host.state("worker") != "RUNNING" { #expect(try host.local("start", "worker", "--reason", "again").status == 0, "\(host.agent?.log ?? "")") }
        try host.local("stop", "worker", "--reason", "torture")
        #expect(try eventually(within: 10) { try host.tree("worker").isEmpty })
        try host.verify()
    }

    @Test("200 workers on one host start, outlive the agent, are adopted and stop")
    func twoHundred() throws {
        let host = try TortureHost()
        defer { host.end() }
        for number in 0..<200 { host.add("worker-\(number)", "plain") { spec in spec.stop.graceNs = 10_000_000_000 } }
        try host.startAgent()
        #expect(try host.local("start", "--all", "--reason", "torture").status == 0, "\(host.agent?.log.suffix(2_000) ?? "")")
        let before = try pids(host)
        #expect(before.count == 200)
        host.killAgent()
        // Some end while nobody looks: their exit statuses are kept.
        let ended = ["worker-0", "worker-99", "worker-199"]
        for service in ended { kill(before[service] ?? 0, SIGKILL) }
        try host.startAgent()
        #expect(try eventually(within: 20) { try pids(host).count == 197 }, "not all are adopted")
        for (service, pid) in try pids(host) { #expect(before[service] == pid, "\(service) has another PID") }
        for service in ended {
            let exit = try #require(try host.reports().first { $0["service"] as? String == service }?["last_exit"] as? [String: Any])
            #expect(exit["signalled"] as? Bool == true && exit["code"] as? Int == 9, "\(exit)")
        }
        let stop = try host.local("stop", "--all", "--reason", "torture")
        #expect(try pids(host).isEmpty, "\(stop.text.suffix(2_000))")
        for number in 0..<200 { #expect(!host.said("worker-\(number)").contains { $0.word == "DOUBLE" }) }
        try host.verify()
    }

    private func pids(_ host: TortureHost) throws -> [String: Int32] {
        var found: [String: Int32] = [:]
        for report in try host.reports() {
            let pid = (report["pid"] as? NSNumber)?.int32Value ?? 0
            if pid > 0 { found[report["service"] as? String ?? ""] = pid }
        }
        return found
    }

    @Test("a PID that another process has got meanwhile is not signalled")
    func reusedPID() throws {
        try #require(geteuid() == 0, "makes a PID namespace: needs root")
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "plain")
        // Inside: the worker, its shim and its agent are killed, its PID is given to an innocent, an agent comes back and is
        // told to stop everything. Only 150 numbers go round, so the reuse is real and quick.
        let script = """
            set -u
            mount -t proc proc /proc
            echo 450 > /proc/sys/kernel/pid_max || exit 90
            # Numbers below 300 are never given out a second time (RESERVED_PIDS in kernel/pid.c).
            for i in $(seq 300); do /bin/true; done
            agent() { "$BIN/trading-agent" --host md-1 --fleet demo --state-dir "$D/state" --run-dir "$D/run" --program-dir "$BIN" >>"$D/agent.log" 2>&1 & A=$!
              for i in $(seq 200); do "$BIN/trading" --config "$D/local.conf" --local status >/dev/null 2>&1; [ -S "$D/run/agent.sock" ] && break; done; }
            agent
            "$BIN/trading" --config "$D/local.conf" --local start worker --reason torture >/dev/null || exit 91
            W=$(head -n 1 "$D/run/worker.pid")
            S=$(sed -n 's/^pid=//p' "$D"/run/w/worker/*/identity)
            kill -9 $A; wait $A 2>/dev/null
            kill -9 $S; kill -9 $W
            for i in $(seq 20000); do
              [ -d /proc/$W ] || { sleep 300 & P=$!; [ $P = $W ] && break; kill -9 $P; wait $P 2>/dev/null; }
            done
            [ "${P:-}" = $W ] || exit 92
            agent
            "$BIN/trading" --config "$D/local.conf" --local stop --all --reason torture >"$D/stop.txt" 2>&1
            "$BIN/trading" --config "$D/local.conf" --local emergency-stop --everything --yes --reason torture >>"$D/stop.txt" 2>&1
            kill -0 $W || exit 93
            grep -q sleep /proc/$W/stat || exit 94
            echo innocent
            """
        // The part is written as for any other agent; that agent is ended before the namespace is made.
        try host.startAgent()
        host.killAgent()
        let inside = try Program.run(
            "/usr/bin/unshare", ["--pid", "--mount", "--fork", "--kill-child", "--propagation", "private", "/bin/bash", "-c", script],
            environment: ["BIN": TestFleet.bin, "D": host.directory])
        let log = (try? String(contentsOfFile: host.directory + "/agent.log", encoding: .utf8)) ?? ""
        #expect(inside.status == 0, "exit \(inside.status): \(inside.text)\n\(log)")
        #expect(inside.text.contains("innocent"))
    }
}
