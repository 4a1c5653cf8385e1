import FleetWire
import Foundation
import Glibc
import SwiftProtobuf
import TestSupport
import Testing
import WireImpostors

/// Numbers and texts of workers, and of an agent in somebody else's hands (REVIEW S11, S13).
@Suite(.serialized) struct LyingWorkerTests {
    private static let extremes = [
        "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-1", "NaN", "inf", "1" + String(repeating: "0", count: 400), "",
    ]

    private func fleet() throws -> TestFleet {
        try TestFleet(
            hosts: ["ex-1", "st-1"], tiers: ["strategies", "execution"],
            more: """
                streams:
                  orders:
                    from: [strategy]
                    via: direct
                    produced: counters.sent
                    to:
                      order-gateway: {on_stop: drain, applied: counters.accepted}
                """
        ) { directory in
            """
              strategy:
                {tier: strategies, run: [\(TestFleet.bin)/torture-worker, obey, \(directory)/strategy.fifo], hosts: [st-1], counters: {notify: {sent: X_SENT}}}
              order-gateway:
                {tier: execution, run: [\(TestFleet.bin)/torture-worker, obey, \(directory)/gateway.fifo], hosts: [ex-1], counters: {notify: {accepted: X_ACCEPTED}}, stop: {then: kill}}
            """
        }
    }

    private func tell(_ fleet: TestFleet, _ fifo: String, _ line: String) throws {
        let fd = open("\(fleet.work)/\(fifo).fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        try #require(fd >= 0, "\(fifo) does not listen: \(fleet.logs)")
        defer { close(fd) }
        let text = line + "\n"
        #expect(write(fd, text, text.utf8.count) == text.utf8.count)
    }

    @Test("a worker's number at any extreme is unknown with the reason on every screen, and nothing ends")
    func workerNumbers() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        try tell(fleet, "gateway", "tell X_ACCEPTED=9223372036854775807")
        for extreme in Self.extremes {
            for key in ["X_SENT", "X_INFLIGHT", "EXTEND_TIMEOUT_USEC", "WATCHDOG_USEC", "MAINPID", "ERRNO"] {
                try tell(fleet, "strategy", "tell \(key)=\(extreme)")
            }
            try tell(fleet, "strategy", "tell STATUS=at \(extreme.prefix(20))")
            #expect(try eventually(within: 10) { try fleet.worker("strategy")?["status"] as? String == "at \(extreme.prefix(20))" }, "\(fleet.logs)")
            let sent = (try fleet.worker("strategy")?["counters"] as? [String: Any])?["sent"] as? [String: Any]
            #expect(sent?["known"] == nil && !(sent?["why_unknown"] as? String ?? "").isEmpty, "\(extreme): \(String(describing: sent))")
            let status = try fleet.trading("status", "strategy")
            #expect(status.text.contains("counter    sent ?"), "\(status.text)")
            #expect(try fleet.trading("status").text.contains("UNKNOWN"))
            #expect(try fleet.reportingHosts() == 2)
        }
        let stop = try fleet.trading("runs")
        #expect(stop.status == 0)
        try tell(fleet, "strategy", "tell X_SENT=9223372036854775807")
        let command = try fleet.background("stop", "--all", "--reason", "test")
        // Unknown is not zero: the stop does not go on by itself, and nothing crashes over it.
        #expect(try eventually(within: 20) { try fleet.state("strategy") == "STOPPED" }, "\(fleet.logs)")
        #expect(try fleet.state("order-gateway") == "RUNNING" && command.process.isRunning, "\(fleet.logs)")
        if command.process.isRunning {
            #expect(try fleet.trading("runs", "override", "2", "--stream", "orders", "--reason", "a worker lies").status == 0, "\(fleet.logs)")
        }
        command.process.waitUntilExit()
        #expect(command.process.terminationStatus == 3, "\(command.log)")
        #expect(fleet.coordinator?.process.isRunning == true && fleet.agents.values.allSatisfy { $0.process.isRunning })
    }

    @Test("escape sequences and line breaks of a worker, an agent and a person move no terminal and forge no line of a log")
    func texts() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let evil = "\u{1B}[2J\u{1B}[31mall \u{202E}good\u{9B}1m"
        try tell(fleet, "strategy", "tell STATUS=\(evil)")
        #expect(try eventually(within: 10) { try (fleet.worker("strategy")?["status"] as? String)?.contains("good") == true })
        #expect(try fleet.trading("lock", "strategy", "--reason", "\(evil)\n! ex-1 forged").status == 0)
        #expect(try fleet.trading("note", "order-gateway", "--reason", "\(evil)\nforged").status == 0)
        fleet.agents["st-1"]?.killNow()
        let liar = try fleet.liar(as: "st-1")
        defer { liar.stop() }
        try liar.report { report in
            report.agentVersion = evil
            report.warnings = ["\(evil)\n! ex-1 forged"]
            report.workers = [
                .with {
                    $0.service = "strategy"; $0.state = .running; $0.pid = 1; $0.status = evil + "\nforged"; $0.note = evil; $0.cpus = evil
                    $0.lock.by = evil; $0.lock.text = evil + "\nforged"; $0.busy = evil; $0.health = evil
                }
            ]
            report.drift = [
                .with {
                    $0.subject = evil; $0.wanted = evil + "\nforged"
                }
            ]
        }
        try liar.say {
            $0.latches.latches = [
                .with {
                    $0.id = "forged"; $0.by = evil; $0.reason = "\(evil)\n2026-11-28T00:00:00 error forged line"
                }
            ]
        }
        #expect(try eventually(within: 10) { try fleet.latches.count == 1 }, "\(fleet.logs)")
        for arguments in [
            ["status"], ["status", "strategy"], ["status", "st-1"], ["status", "order-gateway"], ["runs"], ["audit", "show"],
            ["stop", "strategy", "--reason", "x"], ["explain", evil], [evil],
        ] {
            let output = try Program.run(TestFleet.bin + "/trading", ["--config", fleet.config] + arguments)
            #expect(!output.text.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x9B || $0.value == 0x202E }, "\(arguments): \(output.text)")
            #expect(!output.text.split(separator: "\n").contains { $0.hasPrefix("forged") || $0.hasPrefix("! ex-1 forged") }, "\(arguments): \(output.text)")
        }
        for log in [fleet.coordinator?.log ?? "", fleet.agents["ex-1"]?.log ?? ""] {
            #expect(!log.unicodeScalars.contains { $0.value == 0x1B || $0.value == 0x9B || $0.value == 0x202E })
            #expect(!log.split(separator: "\n").contains { $0.hasPrefix("2026-11-28T00:00:00 error forged") })
        }
        // The audit keeps the bytes.
        #expect(try fleet.audit().contains { ($0["reason"] as? String)?.contains(evil) == true })
    }

    @Test("an agent in other hands says every number at its extremes: its session ends and says why, the coordinator and its screens go on")
    func agentNumbers() throws {
        let fleet = try fleet()
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        fleet.agents["st-1"]?.killNow()
        for value in [Int64.max, .min, -1, 0, 1 << 53] {
            let liar = try fleet.liar(as: "st-1")
            defer { liar.stop() }
            try liar.report { report in
                report.boottimeNs = UInt64(bitPattern: value)
                report.workers = [
                    .with {
                        $0.service = "strategy"; $0.state = .running; $0.pid = Int32(truncatingIfNeeded: value); $0.upNs = UInt64(bitPattern: value)
                        $0.counters = [
                            "sent": .with {
                                $0.known = true; $0.value = value; $0.atBoottimeNs = UInt64(bitPattern: value)
                            }
                        ]
                        $0.sinceBoottimeNs = UInt64(bitPattern: value)
                    }
                ]
                report.facts.load = [.nan, .infinity, Double(value)]
                report.facts.certificateDaysLeft = value
            }
            for arguments in [["status"], ["status", "st-1"], ["status", "strategy"]] {
                let output = try Program.run(TestFleet.bin + "/trading", ["--config", fleet.config, "--via", "ctl-1"] + arguments)
                #expect([0, 3, 4].contains(output.status), "\(value) \(arguments): \(output.text)")
            }
            #expect(fleet.coordinator?.process.isRunning == true, "\(fleet.logs)")
        }
        #expect(eventually(within: 5) { fleet.coordinator?.log.contains("its message is out of bounds: field") == true }, "\(fleet.logs)")
        #expect(try fleet.hostStatuses().contains { $0["host"] as? String == "ex-1" && $0["known"] as? Bool == true })
    }
}
