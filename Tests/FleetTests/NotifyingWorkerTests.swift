import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// What a worker says on its notify socket, all the way to status, audit and signals.
@Suite(.serialized) struct NotifyingWorkerTests {
    @Test("a child named by MAINPID is the worker: shown, stopped, adopted; the parent is told only once it has ended", arguments: ["end", "stay"])
    func mainPID(parent: String) throws {
        let host = try TortureHost()
        defer { host.end() }
        host.addObedient("worker")
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        let first = try host.pid("worker")
        try host.tell("worker", "hand-over \(parent)")
        #expect(try eventually(within: 5) { try host.pid("worker") != first }, "\(host.screen)")
        let child = try host.pid("worker")
        #expect(isAlive(child) && isAlive(first) == (parent == "stay"))
        #expect(try host.state("worker") == "RUNNING")
        #expect(
            eventually(within: 5) {
                ((try? String(contentsOfFile: host.run + "/worker.pid", encoding: .utf8)) ?? "").hasPrefix("\(child)\n")
            }, "the PID file names another")
        #expect(try host.records("WORKER_LAUNCHED", of: "worker").contains { $0["pid"] == "\(child)" && $0["was"] == "\(first)" })
        #expect(try host.local("status", "worker").text.contains("\(child)"))

        // The next agent finds the child, not what was forked first.
        host.killAgent()
        try host.startAgent()
        #expect(try eventually(within: 10) { try host.pid("worker") == child }, "\(host.screen)")
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 0 && stop.text.contains("exit 0"), "\(stop.text)")
        let said = host.said("worker")
        // The parent is of the tree that the main process leaves: told in its turn, not before.
        let end = try #require(said.firstIndex { $0.word == "end" && $0.pid == child }, "\(said)")
        #expect(said.firstIndex { $0.word == "wrong" } ?? end >= end, "\(said)")
        #expect(try host.records("WORKER_SIGNAL", of: "worker").last?["pid"] == "\(child)")
        #expect(!isAlive(first) && !isAlive(child))
        #expect(try host.tree("worker").isEmpty)
        try host.verify()
    }

    @Test("one that feeds its watchdog is left alone; one that stops is stopped by its own stop sequence and restarted by its policy")
    func watchdog() throws {
        let host = try TortureHost()
        defer { host.end() }
        let hang = host.directory + "/work/hang"
        host.add("worker", "watched", hang) { spec in
            spec.watchdogNs = 300_000_000
            spec.restart.policy = .always
            spec.restart.delayNs = 10_000_000
            spec.restart.limitStarts = 3
            spec.restart.limitWithinNs = 60_000_000_000
        }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        let first = try host.pid("worker")
        // Three periods long, and more.
        #expect(try eventually(within: 10) { try (host.report("worker")["up_ns"] as? NSNumber)?.int64Value ?? 0 > 1_000_000_000 })
        #expect(try host.pid("worker") == first && host.report("worker")["health"] as? String == "ok", "\(host.screen)")
        #expect(try host.records("WORKER_UNHEALTHY", of: "worker").isEmpty)

        #expect(FileManager.default.createFile(atPath: hang, contents: nil))
        #expect(try eventually(within: 10) { try host.state("worker") == "RUNNING" && host.pid("worker") != first }, "\(host.screen)")
        #expect(!isAlive(first))
        let why = try #require(try host.records("WORKER_UNHEALTHY", of: "worker").first?["why"])
        #expect(why == "no WATCHDOG=1 within 300 ms")
        let signal = try #require(try host.audit().first { $0["event"] as? String == "WORKER_SIGNAL" })
        let fields = signal["fields"] as? [String: Any] ?? [:]
        #expect(fields["signal"] as? String == "TERM" && fields["op"] == nil, "\(signal)")
        let end = try #require(try host.records("WORKER_STOP", of: "worker").first)
        #expect(end["unhealthy"] == why && end["exit"] == "exit 0" && end["killed"] == "false" && end["next"] == "restart", "\(end)")
        #expect(host.said("worker").map(\.word) == ["start", "end", "start"])
        // Fed again, it stays.
        let second = try host.pid("worker")
        #expect(try eventually(within: 10) { try (host.report("worker")["up_ns"] as? NSNumber)?.int64Value ?? 0 > 500_000_000 })
        #expect(try host.pid("worker") == second && host.report("restarts", of: "worker") == 1)
        #expect(try host.local("stop", "worker", "--reason", "test").status == 0)
        try host.verify()
    }

    @Test("what a worker says of itself is in its status: counters, reloading, an error number, descriptors that are not kept; a barrier is answered")
    func words() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.addObedient("worker") { spec in
            var counter = spec.counters.first ?? .init()
            counter.name = "published"
            counter.notify = "X_PUBLISHED"
            spec.counters = [counter]
        }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        func note() throws -> String { try host.report("worker")["note"] as? String ?? "" }
        func value(_ figure: Any?) -> Int? { ((figure as? [String: Any])?["value"] as? NSNumber)?.intValue }

        try host.tell("worker", "tell X_INFLIGHT=1234;X_PUBLISHED=77;STATUS=busy")
        #expect(
            try eventually(within: 5) {
                let report = try host.report("worker")
                return value(report["in_flight"]) == 1_234 && value((report["counters"] as? [String: Any])?["published"]) == 77
                    && report["status"] as? String == "busy"
            }, "\(host.screen)")
        try host.tell("worker", "tell RELOADING=1;MONOTONIC_USEC=1")
        #expect(try eventually(within: 5) { try note().contains("reloading") }, "\(host.screen)")
        try host.tell("worker", "tell READY=1")
        #expect(try eventually(within: 5) { try !note().contains("reloading") }, "\(host.screen)")
        try host.tell("worker", "barrier", with: "barrier")
        #expect(!host.said("worker").contains { $0.word == "no-barrier" })
        try host.tell("worker", "fdstore")
        #expect(try eventually(within: 5) { try note().contains("FDSTORE=1") }, "\(host.screen)")
        #expect(try host.records("WORKER_WARNING", of: "worker").count == 1)
        try host.tell("worker", "tell ERRNO=28")
        #expect(try eventually(within: 5) { try note().contains("ERRNO=28 (No space left on device)") }, "\(host.screen)")
        let page = try host.local("status", "worker").text
        #expect(host.screen.contains("said ERRNO=28") && flat(page).contains("No space left on device"), "\(host.screen)\n\(page)")

        #expect(try host.local("stop", "worker", "--reason", "test").status == 0)
        let end = try #require(try host.records("WORKER_STOP", of: "worker").last)
        #expect(end["X_INFLIGHT"] == "1234" && end["X_PUBLISHED"] == "77" && end["ERRNO"] == "28" && end["said_stopping"] == "true", "\(end)")
        #expect(try host.records("WORKER_VERIFIED", of: "worker").last?["marker"] == "clear: said STOPPING=1")
        try host.verify()
    }

    @Test("a worker that needs longer extends its stop within its bound, saying what is in flight; past the bound it is killed", arguments: [true, false])
    func extends(ends: Bool) throws {
        let host = try TortureHost()
        defer { host.end() }
        host.addObedient("worker") { spec in spec.stop.extendToNs = ends ? 20_000_000_000 : 1_200_000_000 }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "term X_INFLIGHT=1234;STATUS=flushing;EXTEND_TIMEOUT_USEC=10000000")
        let stop = try host.background("stop", "worker", "--reason", "test")
        defer { stop.end() }
        #expect(try eventually(within: 5) { try !host.records("WORKER_EXTENDED", of: "worker").isEmpty }, "\(stop.log)")
        let extended = try host.records("WORKER_EXTENDED", of: "worker")[0]
        #expect(extended["in_flight"] == "1,234 in flight, flushing", "\(extended)")
        if ends {
            // Past the grace of 400 ms it still lives.
            #expect(
                try eventually(within: 5) {
                    let report = try host.report("worker")
                    let since = (report["since_boottime_ns"] as? NSNumber)?.uint64Value ?? 0
                    return report["state"] as? String == "STOPPING" && nowNs() - since > 700_000_000
                })
            try host.tell("worker", "end")
        }
        #expect(eventually(within: 10) { !stop.process.isRunning }, "\(stop.log)")
        let end = try #require(try host.records("WORKER_STOP", of: "worker").last)
        #expect(end["killed"] == (ends ? "false" : "true") && end["exit"] == (ends ? "exit 0" : "signal 9"), "\(end)")
        #expect(try host.tree("worker").isEmpty)
        try host.verify()
    }

    private func nowNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension TortureHost {
    func report(_ key: String, of service: String) throws -> Int? { (try report(service)[key] as? NSNumber)?.intValue }
}
