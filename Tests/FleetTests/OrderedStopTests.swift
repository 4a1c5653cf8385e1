import Foundation
import TestSupport
import Testing

/// The main job on real processes, a real Redis and a real sink.
@Suite(.serialized) struct OrderedStopTests {
    @Test("a fleet stops in order, nothing is lost, and the certificate is proven")
    func proven() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        let started = try fleet.trading("start", "--all", "--reason", "test")
        #expect(started.status == 0, "\(started.text)\n\(fleet.logs)")
        #expect(try eventually(within: 20) { try (fleet.streamFigure("ticks", "produced") ?? 0) > 2_000 }, "no ticks flow: \(fleet.logs)")

        let stopped = try fleet.trading("stop", "--all", "--reason", "end of day")
        #expect(stopped.status == 0, "\(stopped.text)\n\(fleet.logs)")
        #expect(stopped.text.contains("verdict: proven"), "\(stopped.text)")

        // Ticks produced = stored + left in the stream, to the tick, asked of Redis and SQLite themselves.
        let ledger = try fleet.certificate(of: 2)["ledger"] as? [[String: Any]] ?? []
        let line = try #require(ledger.first { $0["consumer"] as? String == "redis-to-questdb" })
        let produced = try #require((line["produced"] as? [String: Any])?["value"] as? Int)
        #expect(produced == (try fleet.sinkRows()) + (try fleet.unread(group: "recorder")))
        #expect(produced == (try fleet.entriesAdded()))
        try fleet.verifyOrder(run: 2)
        try fleet.verifyAudits()
        #expect(try fleet.state("strategy") == "STOPPED")

        // The certificate's signature is the coordinator's, over these bytes.
        let path = "\(fleet.directory)/state/ctl-1/certificates/stop-2"
        let verified = try fleet.run(
            "/usr/bin/openssl",
            [
                "cms", "-verify", "-binary", "-inform", "DER", "-in", path + ".p7s", "-content", path + ".json", "-CAfile", fleet.directory + "/pki/ca.pem",
                "-purpose", "any", "-out", "/dev/null",
            ])
        #expect(verified.status == 0, "\(verified.text)")
    }

    @Test("a second round counts from its own start, and a restart is a stop and a start")
    func secondRound() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "one").status == 0)
        #expect(try eventually(within: 20) { try (fleet.streamFigure("ticks", "produced") ?? 0) > 500 })
        let restarted = try fleet.trading("restart", "--all", "--reason", "two")
        #expect(restarted.status == 0, "\(restarted.text)\n\(fleet.logs)")
        #expect(try eventually(within: 20) { try (fleet.streamFigure("ticks", "produced") ?? 0) > 500 })
        let stopped = try fleet.trading("stop", "--all", "--reason", "three")
        #expect(stopped.text.contains("verdict: proven"), "\(stopped.text)\n\(fleet.logs)")
        #expect(try fleet.entriesAdded() == (try fleet.sinkRows()) + (try fleet.unread(group: "recorder")))
    }

    /// A fleet whose gateway keeps two open orders.
    private func stuck() throws -> TestFleet {
        try TestFleet { text in
            text.replacingOccurrences(of: "order-gateway, --listen", with: "order-gateway, --stuck-orders, \"2\", --listen")
                .replacingOccurrences(of: "gate_wait: 30s", with: "gate_wait: 1s")
        }
    }

    @Test("open orders block the run in words that say what to do, and an override ends it unproven")
    func openOrders() throws {
        let fleet = try stuck()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        let stop = try fleet.background("stop", "--all", "--reason", "blocked")
        defer { stop.end() }
        #expect(try eventually(within: 20) { try fleet.blockedText()?.contains("open-orders") == true }, "\(stop.log)")
        let words = try #require(try fleet.blockedText())
        #expect(words.contains("order-gateway@ex-1 has 2 open orders, the gate wants 0"), "\(words)")
        #expect(words.contains("Nothing has been stopped"), "\(words)")
        #expect(words.contains("trading runs abort 2") && words.contains("--gate open-orders"), "\(words)")
        // What it named is nobody else's meanwhile.
        let other = try fleet.trading("start", "--all", "--reason", "in between")
        #expect(other.status == 3 && other.text.contains("run-active"), "\(other.text)")
        // Nothing has been stopped.
        for service in ["exchange-to-redis", "redis-to-questdb", "strategy", "order-gateway"] { #expect(try fleet.state(service) == "RUNNING") }
        let refused = try fleet.trading("runs", "override", "2", "--gate", "open-orders")
        #expect(refused.status == 2 || refused.text.contains("reason"), "\(refused.text)")
        let aborted = try fleet.trading("runs", "abort", "2", "--reason", "look first")
        #expect(aborted.status == 0, "\(aborted.text)")
        #expect(try eventually(within: 10) { try fleet.worker("strategy")?["quiesced"] as? Bool != true }, "the strategy was not resumed")

        let again = try fleet.background("stop", "--all", "--reason", "anyway")
        defer { again.end() }
        #expect(try eventually(within: 20) { try fleet.blockedText()?.contains("open-orders") == true }, "\(again.log)")
        #expect(try fleet.trading("runs", "override", "3", "--gate", "open-orders", "--reason", "known at the venue").status == 0)
        #expect(eventually(within: 40) { !again.process.isRunning }, "\(again.log)")
        #expect(again.log.contains("verdict: unproven") && again.log.contains("known at the venue"), "\(again.log)")
        // The gateway left orders: its exit status says so, and so does the certificate.
        #expect(again.log.contains("exit 4"), "\(again.log)")
    }

    @Test("what an emergency stop's end of a run leaves quiesced needs a person; what a quiesce leaves is said, and wanted")
    func leftQuiesced() throws {
        let fleet = try stuck()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        #expect(try fleet.trading("quiesce", "strategy", "--reason", "lunch").status == 0)
        func says(_ text: String) throws -> Bool { flat(try fleet.trading("status").text).contains(text) }
        #expect(try eventually(within: 10) { try says("strategy@st-1 is quiesced, by run 2") && says("1 quiesced") }, "\(fleet.logs)")
        // So it is after a restart of the coordinator.
        fleet.coordinator?.end()
        try fleet.startCoordinator()
        #expect(try eventually(within: 20) { try says("strategy@st-1 is quiesced, by run 2") }, "\(fleet.logs)")
        #expect(!(try says("! strategy@st-1")))
        // What a person has quiesced is not resumed because a stop is given up.
        let given = try fleet.background("stop", "--all", "--reason", "given up")
        defer { given.end() }
        #expect(try eventually(within: 60) { try fleet.blockedText()?.contains("open-orders") == true }, "\(given.log)")
        #expect(try fleet.trading("runs", "abort", "3", "--reason", "look first").status == 0)
        #expect(eventually(within: 20) { !given.process.isRunning }, "\(given.log)")
        #expect(try eventually(within: 10) { try says("strategy@st-1 is quiesced, by run 2") && says("1 quiesced") }, "\(fleet.logs)")
        #expect(try fleet.trading("resume", "strategy", "--reason", "on").status == 0)
        #expect(try eventually(within: 10) { try !says("is quiesced") })
        let stop = try fleet.background("stop", "--all", "--reason", "blocked")
        defer { stop.end() }
        #expect(try eventually(within: 60) { try fleet.blockedText()?.contains("open-orders") == true }, "\(stop.log)")
        #expect(try fleet.trading("emergency-stop", "--yes", "--service", "order-gateway", "--reason", "panic").status == 0)
        #expect(eventually(within: 20) { !stop.process.isRunning }, "\(stop.log)")
        #expect(try fleet.trading("emergency-stop", "release", "--reason", "over").status == 0)
        let left = "! strategy@st-1 is quiesced and takes nothing new: run 5 (stop) left it so and did not go to its end"
        #expect(try eventually(within: 10) { try says(left) }, "\(fleet.logs)")
    }

    @Test("a dry run shows the plan and changes nothing; another plan's digest is refused")
    func dryRun() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0)
        let plan = try fleet.trading("stop", "--all", "--reason", "look", "--dry-run")
        #expect(plan.text.contains("quiesce") && plan.text.contains("market-data"), "\(plan.text)")
        #expect(try fleet.state("strategy") == "RUNNING")
        let stale = try fleet.trading("stop", "--all", "--reason", "x", "--plan", "0000-0000-0000")
        #expect(stale.status != 0 && stale.text.contains("plan-stale"), "\(stale.text)")
        #expect(try fleet.state("strategy") == "RUNNING")
        let nothing = try fleet.trading("stop", "--reason", "x")
        #expect(nothing.status != 0 && nothing.text.contains("--all"), "\(nothing.text)")
        let unknown = try fleet.trading("stop", "strategie", "--reason", "x")
        #expect(unknown.status != 0 && unknown.text.contains("strategy"), "\(unknown.text)")
    }
}
