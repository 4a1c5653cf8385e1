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
            #expect(try fleet.trading("status").status == (isThere ? 0 : 3))
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
            let streams = try fleet.status()["streams"] as? [[String: Any]] ?? []
            for stream in streams {
                func value(_ figure: String) -> Int { ((stream[figure] as? [String: Any])?["value"] as? Int) ?? -1 }
                #expect(["exact", "flowing"].contains(stream["balance"] as? String ?? ""), "\(stream)")
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

    @Test("what a crashed, waiting or held worker is, is said with since when, also after its agent's restart")
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
        let ended = Date()
        #expect(eventually(within: 5) { Date().timeIntervalSince(ended) > 2 })
        try fleet.killAgent("md-1")
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        let text = flat(try fleet.trading("status").text)
        let age = try #require(text.firstMatch(of: /crasher@md-1 failed ([\d.]+) s ago/)?.1, "\(text)")
        #expect(try #require(Double(age)) >= 2, "\(text)")
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
        /// How long ago, in seconds, to the millisecond; nil: there is no such line, or it has no time.
        func age(of text: String) throws -> Double? {
            let line = try fleet.trading("logs", "plain").text.split(separator: "\n").first { $0.hasSuffix(text) }
            guard let time = line?.prefixMatch(of: /(\d\d):(\d\d):(\d\d\.\d\d\d) +/)?.output, let hour = Double(time.1), let minute = Double(time.2),
                let second = Double(time.3)
            else { return nil }
            let today = Date().timeIntervalSince1970.truncatingRemainder(dividingBy: 86_400) - (hour * 3_600 + minute * 60 + second)
            return today < -1 ? today + 86_400 : today
        }
        #expect(try eventually(within: 10) { try age(of: "begin") != nil }, "\(fleet.logs)")
        let begin = Date()
        #expect(eventually(within: 10) { Date().timeIntervalSince(begin) > 3 })
        try Data().write(to: URL(fileURLWithPath: fleet.work + "/go"))
        #expect(try eventually(within: 10) { try age(of: "Traceback") != nil })
        let (first, received) = (try #require(try age(of: "begin")), try #require(try age(of: "Traceback")))
        #expect(received < 5 && first - received > 2, "each has its own time: \(first) \(received)")
        let lines = try fleet.trading("logs", "all").text.split(separator: "\n")
        // Behind everything that the other worker wrote before it.
        #expect(lines.last?.contains("Traceback") == true, "\(lines)")
        // An agent that is restarted has what the one before has seen.
        try fleet.killAgent("md-1")
        try fleet.startAgent("md-1")
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 1 })
        let gap = try #require(try age(of: "begin")) - (try #require(try age(of: "Traceback")))
        #expect(abs(gap - (first - received)) < 1, "\(gap)")
    }
}
