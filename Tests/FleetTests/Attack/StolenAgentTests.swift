import FleetCore
import FleetWire
import Foundation
import Glibc
import SwiftProtobuf
import TestSupport
import Testing
import WireImpostors

/// What the holder of one agent's key can do to the others: nothing (law 13; REVIEW S1 to S3, S12).
@Suite(.serialized) struct StolenAgentTests {
    @Test("a result of another host's operation counts for nothing, its id known or guessed: the stop is not proven, and the log names the liar")
    func forgedResult() throws {
        let fleet = try TestFleet.startedOfTwo(hold: true)
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        fleet.agents["st-1"]?.killNow()
        let liar = try fleet.liar(as: "st-1")
        defer { liar.stop() }
        try liar.report()
        let stop = try fleet.background("stop", "order-gateway", "--reason", "end of day")
        defer { stop.end() }
        #expect(try eventually(within: 20) { try fleet.state("order-gateway") == "HELD" }, "\(fleet.logs)")
        // The id is on record at ex-1; the liar has read it there, and guesses as well.
        let ids = try fleet.audit("ex-1").compactMap { ($0["fields"] as? [String: Any])?["op"] as? String }
        let store = try #require(try fleet.status()["store_id"] as? String)
        #expect(!ids.isEmpty)
        for id in Set(ids + ["\(store)/run-2/2/0/order-gateway@ex-1", "run-2/2/0/order-gateway@ex-1"]) {
            try liar.say { envelope in
                envelope.result.operation = id
                envelope.result.outcome = .done
                envelope.result.treeEmpty = true
                envelope.result.worker.service = "order-gateway"
            }
        }
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("a host sent what only another can say") == true }, "\(fleet.logs)")
        #expect(fleet.coordinator?.log.contains("host=st-1") == true)
        #expect(isAlive(gateway) && stop.process.isRunning)
        #expect(try fleet.state("order-gateway") == "HELD")
        #expect(try fleet.audit().allSatisfy { $0["event"] as? String != "VERDICT" })
        // The run goes on, and its end is told by the host itself.
        #expect(try fleet.trading("hold", "release", "order-gateway@ex-1", "--kill", "--reason", "test").status == 0)
        stop.process.waitUntilExit()
        #expect(stop.process.terminationStatus != 0 && !isAlive(gateway), "\(stop.log)")
    }

    @Test("a host that stops itself in the middle of a fleet's stop ends it for nobody: the others stop in order, and the verdict is unproven by its name")
    func ownStop() throws {
        let fleet = try TestFleet.startedOfTwo(slow: true)
        defer { fleet.end() }
        let pids = try [fleet.pid("strategy"), fleet.pid("order-gateway")]
        let stop = try fleet.background("stop", "--all", "--reason", "end of day")
        defer { stop.end() }
        #expect(try eventually(within: 20) { try fleet.state("strategy") == "STOPPING" }, "\(fleet.logs)")
        let own = try fleet.local("st-1", "emergency-stop", "--everything", "--yes", "--reason", "its own")
        #expect(own.status == 0, "\(own.text)")
        stop.process.waitUntilExit()
        #expect(stop.process.terminationStatus == 3 && flat(stop.log).contains("st-1 said during the run that emergency stop"), "\(stop.log)")
        #expect(pids.allSatisfy { !isAlive($0) })
        let events = try fleet.audit().compactMap { $0["event"] as? String }
        #expect(events.contains("SHUTDOWN_COMPLETE") && !events.contains("RUN_ABORTED"), "\(events)")
        let gateway = try fleet.audit("ex-1").first { $0["event"] as? String == "WORKER_SIGNAL" }
        #expect((gateway?["fields"] as? [String: Any])?["signal"] as? String == "TERM", "\(String(describing: gateway))")
    }

    @Test(
        "an emergency stop that an agent's key brings, signed by an operator, ends a run that it may have been meant for, and none that began long after it",
        arguments: [(age: 0, isEnd: true), (age: 3_600, isEnd: false)])
    func broughtDuringRun(age: Double, isEnd: Bool) throws {
        let fleet = try TestFleet.startedOfTwo(slow: true)
        defer { fleet.end() }
        let strategy = try fleet.pid("strategy")
        fleet.agents["ex-1"]?.killNow()
        let liar = try fleet.liar(as: "ex-1")
        defer { liar.stop() }
        try liar.report()
        let stop = try fleet.background("stop", "strategy", "--reason", "end of day")
        defer { stop.end() }
        #expect(try eventually(within: 20) { try fleet.state("strategy") == "STOPPING" }, "\(fleet.logs)")
        var latch = WireLatch.with {
            $0.id = "old"; $0.by = "operator/alice"; $0.reason = "of then"
            $0.unixUs = UInt64((Date().timeIntervalSince1970 - age) * 1e6); $0.scope.services = ["strategy"]
        }
        latch.signature = try fleet.keys.sign(latch, by: "operator-alice")
        try liar.say { $0.latches.latches = [latch] }
        // In force it is either way: it was signed, and nobody here knows of its release.
        #expect(eventually(within: 20) { !isAlive(strategy) }, "\(fleet.logs)")
        stop.process.waitUntilExit()
        let events = try fleet.audit().compactMap { $0["event"] as? String }
        #expect(events.contains("RUN_ABORTED") == isEnd, "\(stop.log) \(events)")
        #expect(stop.process.terminationStatus != 0, "a worker killed in its stop is no proof: \(stop.log)")
    }

    @Test("an emergency result that names another host is its sender's alone: that host is not confirmed")
    func forgedEmergencyResult() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        fleet.agents["st-1"]?.killNow()
        let liar = try fleet.liar(as: "st-1")
        defer { liar.stop() }
        try liar.report()
        fleet.agents["ex-1"]?.signal(SIGSTOP)
        let stop = try fleet.background("--via", "ctl-1", "emergency-stop", "--yes", "--reason", "runaway")
        var latch = ""
        #expect(
            eventually(within: 5) {
                latch = liar.heard.compactMap { if case .emergencyStop(let stop)? = $0.body { stop.latch.id } else { nil } }.first ?? ""
                return !latch.isEmpty
            })
        for host in ["ex-1", "st-1"] {
            try liar.say { envelope in
                envelope.emergencyResult.latch = latch
                envelope.emergencyResult.host = host
                envelope.emergencyResult.final = true
                envelope.emergencyResult.workers = [
                    .with {
                        $0.service = "order-gateway"; $0.gone = true
                    }
                ]
            }
        }
        stop.process.waitUntilExit()
        #expect(stop.process.terminationStatus == 4 && stop.log.contains("order-gateway@ex-1") && stop.log.contains("UNKNOWN"), "\(stop.log)")
        #expect(isAlive(gateway), "nobody has reached it")
        fleet.agents["ex-1"]?.signal(SIGCONT)
        #expect(eventually(within: 10) { !isAlive(gateway) })
    }

    @Test("an agent sets and releases for its own host alone, whatever name and scope it writes into a latch")
    func latches() throws {
        let fleet = try TestFleet.startedOfTwo()
        defer { fleet.end() }
        let gateway = try fleet.pid("order-gateway")
        fleet.agents["st-1"]?.killNow()
        let liar = try fleet.liar(as: "st-1")
        defer { liar.stop() }
        try liar.report()
        // Over the whole fleet, in an operator's name; unsigned, and with garbage for a signature.
        for (id, signature) in [("forged-1", ""), ("forged-2", "MIIB")] {
            try liar.say { envelope in
                envelope.latches.latches = [
                    .with {
                        $0.id = id; $0.by = "operator/alice"; $0.reason = "forged"; $0.unixUs = UInt64(Date().timeIntervalSince1970 * 1e6)
                        $0.scope.everything = true; $0.signature = signature; $0.word = "signed"
                    }
                ]
            }
        }
        #expect(try eventually(within: 10) { try fleet.latches.count == 2 })
        #expect(try fleet.latches.allSatisfy { $0["word"] as? String == "host/st-1" }, "\(fleet.logs)")
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("it can't show whose it is") == true })
        #expect(isAlive(gateway))
        let sets = try fleet.audit().filter { $0["event"] as? String == "LATCH_SET" }
        #expect(sets.allSatisfy { $0["host"] as? String == "st-1" }, "\(sets)")
        // It stops nothing elsewhere: what is not of its host starts.
        #expect(try fleet.trading("restart", "order-gateway", "--reason", "test").status == 0, "\(fleet.logs)")

        // A latch of the fleet, released by the liar: it stays in force.
        let running = try fleet.pid("order-gateway")
        let stop = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", "--service", "order-gateway", "--reason", "real")
        #expect(!isAlive(running), "\(stop.text)")
        let real = try #require(try fleet.latches.first { $0["word"] as? String == "signed" }?["id"] as? String, "\(fleet.logs)")
        try liar.say { envelope in
            envelope.latches.latches = [
                .with {
                    $0.id = real; $0.by = "operator/alice"; $0.released = true; $0.releasedBy = "operator/alice"; $0.releaseReason = "forged";
                    $0.releasedUnixUs = 1
                }
            ]
        }
        // It answers a question after it, so that its word has been looked at.
        try liar.report { $0.latchesInForce = [] }
        #expect(try fleet.latches.contains { $0["id"] as? String == real })
        #expect(try fleet.trading("start", "order-gateway", "--reason", "too early").text.contains("latched"))
        #expect(try fleet.audit().allSatisfy { $0["event"] as? String != "LATCH_RELEASED" })
        // Its own it may release, and an operator may too.
        try liar.say { envelope in
            envelope.latches.latches = [
                .with {
                    $0.id = "forged-1"; $0.released = true; $0.releasedBy = "x"; $0.releasedUnixUs = 2
                }
            ]
        }
        #expect(try eventually(within: 10) { try !fleet.latches.contains { $0["id"] as? String == "forged-1" } })
        #expect(try fleet.trading("--via", "ctl-1", "emergency-stop", "release", "--reason", "over").status == 0)
        #expect(try eventually(within: 10) { try fleet.latches.isEmpty }, "\(fleet.logs)")
    }

    @Test("a report of half a million workers is refused, one of many undeclared is cut to 64, and the coordinator's memory stays")
    func manyWorkers() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        fleet.agents["st-1"]?.killNow()
        let pid = try #require(fleet.coordinator?.pid)
        func resident() throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
            return try #require(Int(line.filter(\.isNumber)))
        }
        let liar = try fleet.liar(as: "st-1")
        defer { liar.stop() }
        try liar.report()
        let before = try resident()
        try liar.report { $0.workers = (0..<500_000).map { number in .with { $0.service = "w\(number % 10)" } } }
        #expect(eventually(within: 60) { !liar.ended.isEmpty }, "\(liar.ended)")
        #expect(eventually(within: 60) { fleet.coordinator?.log.contains("texts and messages; at most 100000 are read") == true }, "\(fleet.logs)")
        // Below that, and above what a list may hold.
        try liar.report { $0.workers = (0..<20_000).map { _ in WireWorkerReport() } }
        #expect(eventually(within: 60) { fleet.coordinator?.log.contains("out of bounds: field 6.4 has 20000 entries") == true }, "\(fleet.logs)")
        try liar.report { report in
            report.workers =
                (0..<5_000).map { number in
                    .with {
                        $0.service = "w\(number)"; $0.state = .running
                    }
                } + [.with { $0.service = "strategy" }]
        }
        func count() throws -> Int {
            let host = try fleet.hostStatuses().first { $0["host"] as? String == "st-1" }
            return ((host?["report"] as? [String: Any])?["workers"] as? [Any])?.count ?? 0
        }
        #expect(try eventually(within: 60) { try count() == 65 })
        #expect(eventually(within: 10) { fleet.coordinator?.log.contains("a host runs more undeclared workers than are kept") == true })
        let grown = try resident() - before
        #expect(grown < 60_000, "the coordinator has grown by \(grown) kB")
        #expect(try fleet.hostStatuses().contains { $0["host"] as? String == "ex-1" && $0["known"] as? Bool == true })
    }
}
