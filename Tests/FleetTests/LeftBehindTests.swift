import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing

/// What a stopped worker really leaves behind fails its stop, and is looked at again when asked.
@Suite(.serialized) struct LeftBehindTests {
    @Test("a lock file, a PID file and a missing shutdown marker are named, stand in the way of a start, and are clear once they are gone")
    func files() throws {
        let host = try TortureHost()
        defer { host.end() }
        let work = host.directory + "/work"
        host.addObedient("worker") { spec in
            spec.lockFiles = ["\(work)/a.lock"]
            spec.workerPidFile = "\(work)/own.pid"
            spec.markerFile = "\(work)/flushed"
        }
        try host.startAgent()
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "touch \(work)/a.lock")
        try "\(host.pid("worker"))\n".write(toFile: "\(work)/own.pid", atomically: true, encoding: .utf8)
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 1, "\(stop.text)")
        for words in [
            "worker@md-1 is gone and has left something behind", "its lock file \(work)/a.lock is left", "its PID file \(work)/own.pid is left",
            "there is no shutdown marker \(work)/flushed", "Clear it, then stop it again to be checked",
        ] { #expect(flat(stop.text).contains(words), "\(words)\n\(stop.text)") }
        let verified = try #require(try host.records("WORKER_VERIFIED", of: "worker").last)
        #expect(verified["level"] == "warning" && verified["tree"]?.hasPrefix("clear") == true && verified["sockets"]?.hasPrefix("clear") == true)
        let start = try host.local("start", "worker", "--reason", "too early")
        #expect(start.status == 1 && flat(start.text).contains("its lock file \(work)/a.lock is there"), "\(start.text)")

        for name in ["a.lock", "own.pid"] { try FileManager.default.removeItem(atPath: "\(work)/\(name)") }
        let still = try host.local("stop", "worker", "--reason", "looked at again")
        #expect(still.status == 1 && flat(still.text).contains("there is no shutdown marker") && !still.text.contains("a.lock"), "\(still.text)")
        // A clean round: it leaves its marker.
        #expect(try host.local("start", "worker", "--reason", "test").status == 0)
        try host.tell("worker", "at-end \(work)/flushed")
        #expect(try host.local("stop", "worker", "--reason", "test").status == 0, "\(host.screen)")
        #expect(try host.records("WORKER_VERIFIED", of: "worker").last?["marker"] == "clear: \(work)/flushed")
        // The marker of that end is not the marker of the next one.
        #expect(try host.local("start", "worker", "--reason", "test").status == 0)
        let stale = try host.local("stop", "worker", "--reason", "test")
        #expect(stale.status == 1 && flat(stale.text).contains("is of an earlier end"), "\(stale.text)")
        try host.verify()
    }

    @Test("a listening socket that a process outside its tree holds is still there after the stop, with its address, until that process ends")
    func socket() throws {
        let host = try TortureHost()
        defer { host.end() }
        host.addObedient("worker")
        try host.startAgent()
        let keeper = try host.keeper()
        defer { keeper.killNow() }
        let port = try TestFleet.freePorts(1)[0]
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "listen \(port)")
        try host.tell("worker", "give \(host.directory)/keeper")
        #expect(eventually(within: 5) { keeper.log.contains("kept") })
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 1 && flat(stop.text).contains("1 of its 1 sockets is still there"), "\(stop.text)")
        #expect(flat(stop.text).contains("127.0.0.1:\(port)"), "\(stop.text)")
        #expect(TestFleet.connects(port), "it is really there")
        keeper.killNow()
        let again = try host.local("stop", "worker", "--reason", "looked at again")
        #expect(again.status == 0, "\(again.text)")
        #expect(try host.records("WORKER_VERIFIED", of: "worker").last?["sockets"] == "clear: none of its 1 is left")
        try host.verify()
    }

    @Test("a double-forked child that has left the cgroup with the listening socket dies with the stop, and so does the socket")
    func fled() throws {
        try #require(geteuid() == 0, "moves a process out of its cgroup: needs root")
        let host = try TortureHost()
        defer { host.end() }
        let mounts = try String(contentsOfFile: "/proc/self/mounts", encoding: .utf8).split(separator: "\n").map { $0.split(separator: " ") }
        let root = mounts.first { $0.count > 2 && $0[2] == "cgroup2" }.map { "\($0[1])/cgroup.procs" }
        host.addObedient("worker") { spec in if let root { spec.env["TORTURE_CGROUP"] = root } }
        try host.startAgent()
        let port = try TestFleet.freePorts(1)[0]
        #expect(try host.local("start", "worker", "--reason", "test").status == 0, "\(host.agent?.log ?? "")")
        try host.tell("worker", "listen \(port)")
        try host.tell("worker", "flee", with: root == nil ? "stayed" : "fled")
        let child = try #require(host.said("worker").last { ["fled", "stayed"].contains($0.word) }).pid
        #expect(isAlive(child))
        let stop = try host.local("stop", "worker", "--reason", "test")
        #expect(stop.status == 0, "\(stop.text)")
        #expect(!isAlive(child) && !TestFleet.connects(port))
        #expect(try host.records("WORKER_VERIFIED", of: "worker").last?["sockets"] == "clear: none of its 1 is left")
        try host.verify()
    }

    @Test("a fleet stop holds on what is left until it is gone or accepted; sockets that the kernel can't list are unknown, and it is at most unproven")
    func fleetwide() throws {
        let fleet = try TestFleet(
            hosts: ["md-1"], tiers: ["market-data"],
            services: { directory in
                """
                  bypass: {tier: market-data, hosts: [md-1], run: [torture-worker, plain], sockets: onload}
                  messy:  {tier: market-data, hosts: [md-1], run: [torture-worker, obey, \(directory)/messy.fifo], lock_files: [\(directory)/messy.held]}
                """
            })
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let unknown = try fleet.trading("stop", "bypass", "--reason", "test")
        #expect(unknown.status == 3 && unknown.text.contains("verdict: unproven"), "\(unknown.text)")
        #expect(flat(unknown.text).contains("bypass@md-1, sockets unknown: the kernel can't list kernel-bypass sockets"), "\(unknown.text)")

        let lock = fleet.work + "/messy.held"
        #expect(FileManager.default.createFile(atPath: lock, contents: nil))
        let stop = try fleet.background("stop", "messy", "--reason", "test")
        defer { stop.end() }
        #expect(try eventually(within: 10) { try fleet.blockedText()?.contains("left behind: its lock file \(lock) is left") == true }, "\(stop.log)")
        #expect(try fleet.state("messy") == "STOPPED")
        let blocked = try fleet.trading("status").text
        #expect(blocked.contains("[left-behind]") || blocked.contains("left behind"), "\(blocked)")
        let run = try #require(try fleet.status()["active_runs"].flatMap { ($0 as? [[String: Any]])?.first?["id"] as? NSNumber }).intValue
        // Not gone yet: looked at again, and the run holds again.
        try fleet.trading("runs", "retry", "\(run)")
        #expect(try eventually(within: 10) { try fleet.blockedText()?.contains("left behind") == true })
        try FileManager.default.removeItem(atPath: lock)
        let retried = try fleet.trading("runs", "retry", "\(run)")
        #expect(retried.status == 0, "\(retried.text)")
        #expect(eventually(within: 15) { !stop.process.isRunning }, "\(stop.log)")
        #expect(stop.log.contains("verdict: proven"), "\(stop.log)")
        try fleet.verifyAudits()
    }
}
