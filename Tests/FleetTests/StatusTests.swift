import Foundation
import Glibc
import TestSupport
import Testing

/// What status says of gates, streams and times, on real processes (REVIEW N7, N9, N12).
struct StatusTests {
    @Test("a gate is read while its worker runs: its value is shown, and one that can't be read needs a person before any stop waits for it")
    func gates() throws {
        for (pointer, isThere) in [("/open,", true), ("/opne,", false)] {
            let fleet = try TestFleet { $0.replacingOccurrences(of: "pointer: /open,", with: "pointer: \(pointer)") }
            defer { fleet.end() }
            try fleet.begin()
            #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
            let says =
                isThere
                ? /order-gateway .* running .* open orders \d/
                : /! order-gateway@ex-1: the gate open-orders of order-gateway can't be read \(.*: a stop would wait for it/
            #expect(
                try eventually(within: 10) { flat(try fleet.trading("status").text).contains(says) }, "\(fleet.logs)")
            // Once every worker has said its first counts.
            #expect(try eventually(within: 10) { try fleet.trading("status").status == (isThere ? 0 : 3) }, "\(fleet.logs)")
        }
    }

    @Test("every figure of a stream's line counts from the last start, whatever flowed before; zeros stand in the JSON")
    func spans() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        for _ in 1...2 {
            #expect(try fleet.trading("start", "--all", "--reason", "open").status == 0, "\(fleet.logs)")
            let first = try fleet.streamFigure("ticks", "produced") ?? 0
            #expect(try eventually(within: 20) { try (fleet.streamFigure("ticks", "produced") ?? 0) > first + 500 }, "\(fleet.logs)")
            var streams: [[String: Any]] = []
            #expect(
                try eventually(within: 10) {
                    streams = try fleet.status()["streams"] as? [[String: Any]] ?? []
                    return streams.allSatisfy { ["exact", "flowing", "acknowledged"].contains($0["balance"] as? String ?? "") }
                }, "\(streams)")
            for stream in streams {
                func value(_ figure: String) -> Int { ((stream[figure] as? [String: Any])?["value"] as? Int) ?? -1 }
                // What the consumer has taken and what it has not: within what two seconds of flow can put between two readings.
                let (produced, rest) = (value("produced"), value("applied") + value("in_flight") + value("buffered"))
                #expect(abs(produced - rest) < 4_000, "\(stream)")
            }
            #expect(try fleet.trading("stop", "--all", "--reason", "close").text.contains("verdict: proven"), "\(fleet.logs)")
        }
        let text = try fleet.trading("--via", "ctl-1", "status", "--json").text
        #expect(text.contains("\"restarts\":0") && text.contains("\"in_flight\":{\"known\":true,\"value\":0"), "\(text)")
        let certificate = try fleet.certificate(of: 2)
        let line = try #require((certificate["ledger"] as? [[String: Any]])?.first)
        #expect(line["difference"] as? Int == 0 && line["carried"] as? Int == 0 && certificate["unknown"] as? Int == 0, "\(line)")
    }

    @Test("since when a worker has failed or waits is said, of a failed one also after its agent's restart")
    func since() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            """
              crasher: {tier: t, hosts: [md-1], run: [/bin/sh, -c, "sleep 0.3; exit 3"], ready: {delay: 100ms}}
              waiter: {tier: t, hosts: [md-1], run: [/bin/sh, -c, "sleep 0.3; exit 3"], ready: {delay: 100ms}, restart: {policy: on-failure, delay: 10min}}
            """
        }
        fleet.flags = ["--allow-dir", "/bin", "--allow-dir", "/usr/bin"]
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        _ = try fleet.trading("start", "--all", "--reason", "open")
        #expect(try eventually(within: 10) { try fleet.state("crasher") == "FAILED" && fleet.state("waiter") == "BACKOFF" }, "\(fleet.logs)")
        func age() throws -> Double? {
            flat(try fleet.trading("status").text).firstMatch(of: /crasher@md-1 failed ([\d.]+) s ago/).flatMap { Double($0.1) }
        }
        #expect(try eventually(within: 20) { try age() ?? 0 >= 2 }, "\(fleet.logs)")
        try fleet.killAgent("md-1")
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        #expect(try age() ?? 0 >= 2, "as the journal tells, not since the agent's start")
        let text = flat(try fleet.trading("status").text)
        #expect(text.contains(/waiter .* BACKOFF .* for [\d.]+s/), "\(text)")
    }

    @Test("lines without a stamp of their own are stamped on receipt, and stand among those of other workers in the order of time")
    func receipts() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { directory in
            """
              plain: {tier: t, hosts: [md-1], run: [/bin/sh, -c, "echo begin; while [ ! -e \(directory)/go ]; do sleep 0.1; done; echo Traceback; exec sleep 1000"], ready: {delay: 100ms}}
              stamped: {tier: t, hosts: [md-1], run: [/bin/sh, -c, "while [ ! -e \(directory)/go ]; do date -u +%FT%TZ; sleep 1; done; exec sleep 1000"], ready: {delay: 100ms}}
            """
        }
        .started(allowing: "/bin", "/usr/bin")
        defer { fleet.end() }
        /// When both lines were written, in seconds of the day; nil: one of them is not there, or has no time.
        func times() throws -> (begin: Double, traceback: Double)? {
            let lines = try fleet.trading("logs", "plain").text.split(separator: "\n")
            func time(_ text: String) -> Double? {
                guard let time = lines.first(where: { $0.hasSuffix(text) })?.prefixMatch(of: /(\d\d):(\d\d):(\d\d\.\d\d\d) +/)?.output,
                    let hour = Double(time.1), let minute = Double(time.2), let second = Double(time.3)
                else { return nil }
                return hour * 3_600 + minute * 60 + second
            }
            guard let begin = time("begin"), let traceback = time("Traceback") else { return nil }
            // Over midnight.
            return (begin, traceback < begin ? traceback + 86_400 : traceback)
        }
        // Four lines of the other worker take three seconds.
        #expect(try eventually(within: 20) { try fleet.trading("logs", "stamped").text.split(separator: "\n").count >= 4 }, "\(fleet.logs)")
        try Data().write(to: URL(fileURLWithPath: fleet.work + "/go"))
        #expect(try eventually(within: 10) { try times() != nil })
        let told = try #require(try times())
        #expect(told.traceback - told.begin > 2, "each has its own time: \(told)")
        let lines = try fleet.trading("logs", "all").text.split(separator: "\n")
        // Behind everything that the other worker wrote before it.
        #expect(lines.last?.contains("Traceback") == true, "\(lines)")
        // An agent that is restarted has what the one before has seen.
        try fleet.killAgent("md-1")
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        #expect(try times()?.begin == told.begin && abs((times()?.traceback ?? 0) - told.traceback) < 1)
    }
}
