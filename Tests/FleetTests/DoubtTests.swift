import Foundation
import Glibc
import TestSupport
import Testing

/// What may run and nobody can tell: a clone beside a hanging host, a start whose outcome was never heard, a lost shim, a lost journal. None of it
/// counts as gone.
struct DoubtTests {
    private func moved(_ fleet: TestFleet, from old: String, to new: String) throws {
        try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: "hosts: [\(old)]", with: "hosts: [\(new)]")
            .write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
    }

    private func forget(_ fleet: TestFleet, _ host: String) throws {
        try fleet.killAgent(host)
        for kind in ["state", "run"] { try FileManager.default.removeItem(atPath: "\(fleet.directory)/\(kind)/\(host)") }
        try fleet.startAgent(host)
    }

    /// Orders a stop of everything that waits for a person, goes on without what is left, and returns what it printed.
    private func stopAsItIs(_ fleet: TestFleet, saying words: String) throws -> (text: String, status: Int32) {
        let stop = try fleet.background("stop", "--all", "--reason", "close")
        #expect(try eventually(within: 20) { flat(try fleet.blockedText() ?? "").contains(words) }, "\(stop.log)\n\(fleet.logs)")
        let run = try #require(try fleet.audit().last { $0["event"] as? String == "SHUTDOWN_START" }?["run"] as? Int)
        let override = try fleet.trading("runs", "override", "\(run)", "--gate", "left-behind", "--reason", "looked by hand")
        #expect(override.status == 0, "\(override.text)")
        #expect(eventually(within: 20) { !stop.process.isRunning }, "\(stop.log)")
        return (flat(stop.log), stop.process.terminationStatus)
    }

    @Test("a clone that comes while the original hangs is not believed: nothing is proven or started there, an emergency stop is not confirmed")
    func cloneBesideAHangingHost() throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        fleet.agents["ex-1"]?.signal(SIGSTOP)
        defer { fleet.agents["ex-1"]?.signal(SIGCONT) }
        let clone = try fleet.startClone(of: "ex-1")
        defer { clone.end() }
        #expect(eventually(within: 20) { clone.log.contains("session opened") })
        let early = try fleet.trading("start", "--all", "--reason", "at once")
        #expect(early.status != 0, "\(early.text)")
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains("TWO INSTANCES live") }, "\(fleet.logs)")
        for verb in ["start", "stop"] {
            let refused = try fleet.trading(verb, "--all", "--reason", "x")
            #expect(refused.status != 0 && refused.text.contains("two instances of ex-1 live"), "\(refused.text)")
        }
        let emergency = try fleet.trading("emergency-stop", "--yes", "--reason", "panic")
        #expect(emergency.status == 4 && emergency.text.contains("UNKNOWN 1: ex-1"), "\(emergency.text)")
        #expect(kill(pid, 0) == 0, "what the original runs was reached by nobody")
    }

    @Test("a lost journal makes no second instance, and no launch that was seen to run one that never was")
    func lostJournal() throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { directory in
            "  one: {tier: t, hosts: [ex-1], run: [/bin/sh, -c, \"trap 'exit 0' TERM; while [ ! -e \(directory)/fail ]; do sleep 0.05; done; exit 7\"], ready: {delay: 0s}}"
        }
        .started(allowing: "/bin", "/usr/bin")
        defer { fleet.end() }
        try fleet.killAgent("ex-1")
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("one") == "RUNNING" }, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "--all", "--reason", "close").text.contains("verdict: proven"))
        try forget(fleet, "ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("one") == "STOPPED" }, "\(fleet.logs)")
        #expect(try !flat(fleet.trading("status").text).contains("TWO INSTANCES"))
        #expect(try fleet.trading("stop", "--all", "--reason", "close").text.contains("verdict: proven"), "its last stop was proven")
        // Now it fails, and its end is lost with the journal.
        #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0)
        #expect(try eventually(within: 10) { try fleet.state("one") == "RUNNING" })
        try Data().write(to: URL(fileURLWithPath: fleet.work + "/fail"))
        #expect(try eventually(within: 10) { try fleet.state("one") == "FAILED" }, "\(fleet.logs)")
        #expect(try fleet.trading("stop", "--all", "--reason", "close").status == 3)
        for restarts in [false, true] {
            if restarts {
                fleet.coordinator?.end()
                try fleet.startCoordinator()
            } else {
                try forget(fleet, "ex-1")
            }
            #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.state("one") == "STOPPED" }, "\(fleet.logs)")
            let stop = try fleet.trading("stop", "--all", "--reason", "close")
            #expect(stop.status == 3 && flat(stop.text).contains("its agent's journal, begun anew since, knows of no launch"), "\(stop.text)")
        }
    }

    @Test("the end of a clone closes nothing of what the host runs that it was cloned from")
    func cloneThatEnds() throws {
        let fleet = try TestFleet(hosts: ["ex-1", "md-1"], tiers: ["t"]) { _ in
            "  gateway: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        let pid = try fleet.pid("gateway")
        let clone = try fleet.startClone(of: "ex-1")
        defer { clone.end() }
        #expect(try eventually(within: 20) { flat(try fleet.trading("status").text).contains("TWO INSTANCES live") }, "\(fleet.logs)")
        try fleet.killAgent("ex-1")
        clone.end()
        #expect(try eventually(within: 20) { try fleet.audit().contains { $0["event"] as? String == "HOST_SETTLED" } }, "\(fleet.logs)")
        try moved(fleet, from: "ex-1", to: "md-1")
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("gateway") != nil }, "\(fleet.logs)")
        for verb in ["start", "stop"] {
            let refused = try fleet.trading(verb, "gateway", "--reason", "moved")
            #expect(refused.status != 0 && flat(refused.text).contains("gateway@ex-1"), "\(refused.text)")
        }
        #expect(kill(pid, 0) == 0)
    }

    enum Unheard: CaseIterable, Sendable { case coordinatorKilled, aborted, abortedAndSilent }

    @Test(
        "a start that went out and was never answered may run: it is not started elsewhere, and nothing is proven without it", arguments: Unheard.allCases)
    func startUnheard(how: Unheard) throws {
        let aborted = how != .coordinatorKilled
        let fleet = try TestFleet(hosts: ["md-1", "st-1"], tiers: ["t"]) { _ in
            "  one: {tier: t, hosts: [st-1], run: [\(TestFleet.bin)/torture-worker, plain]}"
        }
        .begun { fleet in
            fleet.flags = ["--allow-dir", TestFleet.bin]
            try fleet.beginWithoutRelay()
        }
        defer { fleet.end() }
        var pid: Int32 = 0
        defer { if pid > 0 { kill(pid, SIGKILL) } }
        fleet.agents["st-1"]?.signal(SIGSTOP)
        let start = try fleet.background("start", "one", "--reason", "open")
        defer { start.end() }
        // The step is on record, and then the command goes out; this question is answered behind it.
        #expect(try eventually(within: 10) { try fleet.audit().contains { $0["event"] as? String == "RUN_STEP" && "\($0["fields"] ?? "")".contains("start") } })
        _ = try fleet.trading("runs")
        if aborted { #expect(try fleet.trading("runs", "abort", "1", "--reason", "too late").status == 0) } else { fleet.coordinator?.killNow() }
        if how == .abortedAndSilent { #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)") }
        if how == .abortedAndSilent { fleet.coordinator?.end() }
        fleet.agents["st-1"]?.signal(SIGCONT)
        let said = { (try? String(contentsOfFile: "\(fleet.work)/one", encoding: .utf8)) ?? "" }
        #expect(eventually(within: 10) { said().hasPrefix("start ") }, "it was not carried out: \(fleet.logs)")
        pid = Int32(said().split(separator: " ").dropFirst().first ?? "") ?? 0
        try fleet.killAgent("st-1")
        if how == .aborted { fleet.coordinator?.end() }
        try moved(fleet, from: "st-1", to: "md-1")
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
        let refused = try fleet.trading("start", "one", "--reason", "moved")
        #expect(refused.status != 0 && flat(refused.text).contains("one@st-1"), "\(refused.text)")
        for scope in [["--all"], ["one"], ["--tier", "t"]] {
            let stop = try Program.run(TestFleet.bin + "/trading", ["--config", fleet.config, "stop"] + scope + ["--reason", "x"])
            #expect(stop.status != 0 && flat(stop.text).contains("one@st-1"), "\(scope): \(stop.text)")
        }
        let emergency = try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "panic")
        #expect(emergency.status == 4 && emergency.text.contains("st-1"), "\(emergency.text)")
        #expect(pid > 0 && kill(pid, 0) == 0)
    }

    @Test("a start that fails, or is refused, leaves no doubt behind once its host has spoken")
    func startsThatFail() throws {
        let fleet = try TestFleet(hosts: ["md-1", "st-1"], tiers: ["t"]) { _ in "  one: {tier: t, hosts: [st-1], run: [/usr/bin/false], ready: {delay: 200ms}}"
        }
        .begun { fleet in
            fleet.flags = ["--allow-dir", "/usr/bin"]
            try fleet.beginWithoutRelay()
        }
        defer { fleet.end() }
        #expect(try fleet.trading("start", "one", "--reason", "open").status != 0)
        #expect(try eventually(within: 10) { try fleet.state("one") == "FAILED" })
        fleet.agents["st-1"]?.signal(SIGTERM)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 }, "\(fleet.logs)")
        try moved(fleet, from: "st-1", to: "md-1")
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
        let start = try fleet.trading("start", "one", "--reason", "moved")
        #expect(!flat(start.text).contains("one@st-1"), "\(start.text)")
    }

    @Test("a start that fails puts no launch before it in doubt")
    func failedStart() throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { directory in "  one: {tier: t, hosts: [ex-1], run: [\(directory)/one], ready: {delay: 0s}}" }
        fleet.flags = ["--cgroup-root", "none"]
        try FileManager.default.copyItem(atPath: "/usr/bin/yes", toPath: fleet.work + "/one")
        _ = try fleet.started(allowing: fleet.work)
        defer { fleet.end() }
        #expect(try fleet.trading("stop", "--all", "--reason", "close").text.contains("verdict: proven"))
        try "no program".write(toFile: fleet.work + "/one", atomically: true, encoding: .utf8)
        #expect(chmod(fleet.work + "/one", 0o755) == 0)
        #expect(try fleet.trading("start", "--all", "--reason", "open").status != 0)
        let stop = try fleet.trading("stop", "--all", "--reason", "close")
        #expect(stop.text.contains("verdict:") && !flat(stop.text).contains("was lost"), "\(stop.text)")
        #expect(try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "panic").status == 0)
    }

    @Test(
        "a tree whose shim was lost and that had no cgroup is not called empty, by this stop or a later one, until the host boots anew",
        arguments: ["", ", restart: {policy: on-failure, delay: 0s}"])
    func lostShim(restart: String) throws {
        let fleet = try TestFleet(hosts: ["ex-1"], tiers: ["t"]) { _ in
            "  one: {tier: t, hosts: [ex-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}\(restart)}"
        }
        fleet.flags = ["--cgroup-root", "none"]
        _ = try fleet.started(allowing: "/usr/bin")
        defer { fleet.end() }
        let launches = "\(fleet.directory)/run/ex-1/w/one"
        let launch = try #require(try FileManager.default.contentsOfDirectory(atPath: launches).first { $0.count == 16 })
        let identity = try String(contentsOfFile: "\(launches)/\(launch)/identity", encoding: .utf8)
        let shim = try #require(identity.split(separator: "\n").first { $0.hasPrefix("pid=") }.flatMap { Int32($0.dropFirst(4)) })
        kill(shim, SIGKILL)
        #expect(
            try eventually(within: 10) {
                try restart.isEmpty ? ["STOPPED", "FAILED"].contains(fleet.state("one")) : fleet.worker("one")?["restarts"] as? Int == 1
            }, "\(fleet.logs)")
        var stop = try stopAsItIs(fleet, saying: "the shim of its launch \(launch) was lost")
        #expect(stop.status == 3 && stop.text.contains("verdict: unproven") && !stop.text.contains("empty (measured)"), "\(stop.text)")
        for restarts in [false, true] {
            if restarts {
                try fleet.killAgent("ex-1")
                try fleet.startAgent("ex-1")
                #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
            }
            #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
            stop = try stopAsItIs(fleet, saying: "the shim of its launch \(launch) was lost")
            #expect(stop.status == 3 && stop.text.contains("process tree was not shown empty"), "\(stop.text)")
        }
        let emergency = try fleet.trading("emergency-stop", "--everything", "--yes", "--reason", "panic")
        #expect(emergency.status == 4 && flat(emergency.text).contains("its launch \(launch) was not shown to have ended"), "\(emergency.text)")
        // Also without an agent, and by an agent that has lost its journal.
        try fleet.killAgent("ex-1")
        let local = try fleet.local("ex-1", "emergency-stop", "--everything", "--yes", "--reason", "panic")
        #expect(local.status != 0 && flat(local.text).contains("launch \(launch) of one"), "\(local.text)")
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/run/ex-1/latch")
        try FileManager.default.removeItem(atPath: "\(fleet.directory)/state/ex-1")
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("one") != nil }, "\(fleet.logs)")
        #expect(try eventually(within: 10) { flat(try fleet.trading("status").text).contains("one@ex-1: IN DOUBT") }, "\(fleet.logs)")
        // Nobody declares it any more, and it is in doubt all the same.
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "over").status == 0)
        try String(contentsOfFile: fleet.inventory, encoding: .utf8).replacingOccurrences(of: "  one: {", with: "  two: {")
            .write(toFile: fleet.inventory, atomically: true, encoding: .utf8)
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        for restarts in [false, true] {
            if restarts {
                try fleet.killAgent("ex-1")
                try fleet.startAgent("ex-1")
            }
            #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 && fleet.worker("two") != nil }, "\(fleet.logs)")
            stop = try stopAsItIs(fleet, saying: "the shim of its launch \(launch) was lost")
            #expect(stop.status == 3 && stop.text.contains("one@ex-1"), "\(stop.text)")
        }
    }

    @Test("an emergency stop of everything names a silent host on which nothing is declared")
    func silentHostWithoutServices() throws {
        let fleet = try TestFleet(hosts: ["md-1", "st-1"], tiers: ["t"]) { _ in
            "  one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        fleet.agents["st-1"]?.signal(SIGTERM)
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        for scope in [["--everything"], ["--host", "st-1"]] {
            let emergency = try Program.run(
                TestFleet.bin + "/trading", ["--config", fleet.config, "emergency-stop"] + scope + ["--yes", "--reason", "panic"])
            #expect(emergency.status != 0 && flat(emergency.text).contains("? st-1"), "\(emergency.text)")
        }
    }

    @Test("a certificate that can't be signed is no file")
    func unsigned() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            "  one: {tier: t, hosts: [md-1], run: [/usr/bin/sleep, 1000], ready: {delay: 0s}}"
        }
        .started(allowing: "/usr/bin")
        defer { fleet.end() }
        let key = fleet.directory + "/pki/coordinator-ctl-1.key"
        #expect(rename(key, key + ".away") == 0)
        let stop = try fleet.trading("stop", "--all", "--reason", "close")
        #expect(stop.status == 3 && stop.text.contains("Not signed"), "\(stop.text)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: fleet.directory + "/state/ctl-1/certificates").isEmpty)
    }
}
