import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// Workers with bad habits, one by one: none is lost, doubled, signalled wrongly or left without a record.
@Suite(.serialized) struct TortureWorkerTests {
    /// Starts, lets `meanwhile` look, stops, and holds against the worker's own words that nothing of it is left.
    private func torture(
        _ habit: String..., stays: Bool = true, meanwhile: (TortureHost) throws -> Void = { _ in }
    ) throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", habit[0]) { spec in spec.run += habit.dropFirst() }

        try host.startAgent()
        let start = try host.local("start", "worker", "--reason", "torture")
        if stays { #expect(start.status == 0, "\(start.text)\n\(host.agent?.log ?? "")") }
        try meanwhile(host)
        try host.local("stop", "worker", "--reason", "torture")
        #expect(try eventually(within: 15) { try host.state("worker") == "STOPPED" }, "\(host.screen)\n\(host.agent?.log ?? "")")
        #expect(try eventually(within: 5) { try host.tree("worker").isEmpty }, "of \(habit) something is left")
        try host.verify()
    }

    @Test("one that ignores SIGTERM is killed at its grace")
    func ignoresTerm() throws { try torture("ignore-term") }

    @Test("one that daemonizes and exits has ended; what it left behind is killed")
    func daemonizes() throws { try torture("daemonize", stays: false) }

    @Test("double-forked children in sessions of their own go with it")
    func escapes() throws {
        try torture("escape", "8") { host throws in
            #expect(try eventually(within: 5) { try host.tree("worker").count == 9 })
        }
    }

    @Test("a tree that forks for ever is killed to the last process")
    func restless() throws { try torture("restless") }

    @Test("one that closes its standard descriptors is supervised as any other")
    func closesStdio() throws { try torture("close-stdio") }

    @Test("one that a signal has stopped is shown so, is woken for its stop, on record, and ends by itself")
    func stopsItself() throws {
        try torture("stop-self") { host throws in
            let pid = try host.pid("worker")
            #expect(try eventually(within: 5) { try String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8).contains(") T ") })
            #expect(eventually(within: 30) { host.screen.contains("STOPPED BY A SIGNAL (T)") }, "\(host.screen)")
            #expect(try host.local("stop", "worker", "--reason", "torture").status == 0)
            #expect(try host.records("WORKER_SIGNAL", of: "worker").map { $0["signal"] } == ["TERM", "CONT"])
            #expect(try host.records("WORKER_STOP", of: "worker").first?["killed"] == "false")
        }
    }

    @Test("one whose log somebody removed says so until its next start")
    func logRemoved() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "plain")
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "torture").status == 0)
        let log = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(host.pid("worker"))/fd/1")
        try FileManager.default.removeItem(atPath: log)
        #expect(eventually(within: 30) { host.screen.contains("LOG REMOVED") }, "\(host.screen)")
        #expect(try host.local("stop", "worker", "--reason", "torture").status == 0)
        #expect(try host.local("start", "worker", "--reason", "torture").status == 0)
        #expect(FileManager.default.fileExists(atPath: log) && !host.screen.contains("LOG REMOVED"), "\(host.screen)")
    }

    @Test("one that exits at once is an end on record, not a start")
    func exitsAtOnce() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "exit", "7")
        try host.startAgent()
        for _ in 0..<10 {
            let start = try host.local("start", "worker", "--reason", "torture")
            #expect(start.status != 0, "\(start.text)")
        }
        #expect(host.said("worker").count == 10)
        #expect(try host.audit().count { $0["event"] as? String == "WORKER_EXIT" } == 10)
        try host.verify()
    }

    @Test("one that exits while it is being stopped has one end", arguments: 1...3)
    func exitsInStop(round: Int) throws {
        let host = try TortureHost()
        defer { host.end() }
        for number in 0..<10 { host.add("worker-\(number)", "exit-after", "300") }
        try host.startAgent()
        try host.local("start", "--all", "--reason", "torture")
        try host.local("stop", "--all", "--reason", "torture")
        #expect(try eventually(within: 15) { try host.reports().allSatisfy { $0["pid"] as? Int ?? 0 == 0 } })
        for number in 0..<10 { #expect(try host.tree("worker-\(number)").isEmpty) }
        try host.verify()
    }

    @Test("a full disk under a worker's files and output stops neither the worker nor its stop")
    func fillsTheDisk() throws {
        try #require(geteuid() == 0, "mounts a small tmpfs: needs root")
        let host = try TortureHost()
        let small = host.directory + "/small"
        try FileManager.default.createDirectory(atPath: small, withIntermediateDirectories: true)
        #expect(mount("tmpfs", small, "tmpfs", 0, "size=4m") == 0)
        defer {
            host.end()
            umount2(small, Int32(MNT_DETACH))
            try? FileManager.default.removeItem(atPath: host.directory)
        }
        host.add("worker", "fill", small + "/filled")
        try host.startAgent()
        // Its output too: what the agent has given it lies on the full file system.
        let output = host.state + "/logs/worker.out"
        try FileManager.default.createSymbolicLink(atPath: output, withDestinationPath: small + "/out")
        #expect(try host.local("start", "worker", "--reason", "torture").status == 0, "\(host.agent?.log ?? "")")
        let stop = try host.local("stop", "worker", "--reason", "torture")
        #expect(stop.status == 0 || stop.text.contains("unproven"), "\(stop.text)")
        #expect(try host.state("worker") == "STOPPED")
        #expect(try host.tree("worker").isEmpty)
        #expect(host.said("worker").last?.word == "end")
        try host.verify()
    }

    @Test("one that dumps 512 MiB of core is not called stopped before it is gone, and its core is on record")
    func dumpsCore() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "core", "512") { spec in
            spec.stop.graceNs = 300_000_000
            spec.limits = ["core": UInt64.max]
        }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "torture").status == 0)
        let pid = try host.pid("worker")
        let stop = try host.background("stop", "worker", "--reason", "torture")
        defer { stop.end() }
        var sawDumping = false
        let stopped = try eventually(within: 60) {
            let state = try host.state("worker")
            if state == "DUMPING" { sawDumping = true }
            return state == "STOPPED"
        }
        #expect(stopped, "\(host.agent?.log ?? "")")
        #expect(!isAlive(pid), "stopped on the screen, PID \(pid) still there")
        #expect(sawDumping, "the dump was not shown")
        #expect(try host.audit().contains { ($0["fields"] as? [String: Any])?["exit"] as? String == "signal 6, core dumped" })
        try host.verify()
    }

    @Test("with kill-dump a stop cuts a core dump short; it is on record as that")
    func cutsCoreShort() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.add("worker", "core", "512") { spec in
            spec.stop.graceNs = 30_000_000_000
            spec.limits = ["core": UInt64.max]
            spec.coreOnStop = "kill-dump"
        }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "torture").status == 0)
        let pid = try host.pid("worker")
        let stop = try host.local("stop", "worker", "--reason", "torture")
        #expect(stop.text.contains("KILLED") && !isAlive(pid), "\(stop.text)\n\(host.agent?.log ?? "")")
        #expect(try host.records("WORKER_DUMPING", of: "worker").first?["stopping"] == "true")
        #expect(try host.records("WORKER_KILL", of: "worker").first?["why"] == "kill-dump: its core dump is cut short")
        let cores = try FileManager.default.contentsOfDirectory(atPath: host.directory + "/work").filter { $0.hasPrefix("core") }
        for core in cores {
            let size = try FileManager.default.attributesOfItem(atPath: "\(host.directory)/work/\(core)")[.size] as? Int ?? 0
            #expect(size < 512 << 20, "the core was written to its end")
        }
        #expect(try host.state("worker") == "STOPPED" && host.tree("worker").isEmpty)
        try host.verify()
    }

    @Test("an orphaned grandchild is re-parented to the shim and killed with the rest")
    func reparented() throws {
        try torture("escape", "1") { host throws in
            let main = try host.pid("worker")
            #expect(try eventually(within: 5) { try host.tree("worker").count == 2 })
            let orphan = try #require(try host.tree("worker").first { $0 != main })
            let stat = try String(contentsOfFile: "/proc/\(orphan)/stat", encoding: .utf8)
            let parent = try #require(stat.split(separator: ")").last?.split(separator: " ").dropFirst().first.flatMap { Int32($0) })
            #expect(parent != 1 && parent != main, "its parent is \(parent)")
        }
    }
}
