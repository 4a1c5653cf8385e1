import FleetCore
import Glibc
import LinuxHost
import TestSupport
import Testing

/// The emergency stop that needs nobody, against real shims and workers.
@Suite(.serialized) struct LocalEmergencyStopTests {
    let fixture: ShimFixture
    let latch = LatchFile(id: "a1b2", by: "alice", reason: "wrong prices", unixMicroseconds: 1_764_000_000_000_000)

    init() throws { fixture = try ShimFixture() }

    private func note(_ service: String, _ tier: String = "strategies", killed: Bool = true) throws {
        try ServiceNote(tier: tier, emergencyKilled: killed).write(runDirectory: fixture.runDirectory, service: service)
    }

    private func stop(_ latch: LatchFile? = nil, state: String? = nil) -> LocalEmergencyStop.Report {
        LocalEmergencyStop.run(runDirectory: fixture.runDirectory, stateDirectory: state, latch: latch ?? self.latch)
    }

    @Test("kills what the inventory kills, trees and all, and spares what it spares")
    func killsAndSpares() throws {
        try note("strategy")
        try note("recorder", "market-data", killed: false)
        let strategy = try fixture.launch("strategy", "trap '' TERM; sleep 1000 & (setsid sleep 1000 &); touch $OUT/up; wait")
        let recorder = try fixture.launch("recorder", "exec sleep 1000")
        try fixture.expectFile("up")
        try Files.makeDirectory("\(fixture.runDirectory)/state", mode: 0o750)
        let report = stop(state: "\(fixture.runDirectory)/state")
        #expect(report.everythingGone)
        #expect(report.workers.map(\.service) == ["strategy"])
        #expect(report.workers.first?.pid == strategy.worker.pid)
        #expect(report.spared == ["recorder"])
        #expect(try recorder.worker.isAlive())
        #expect(try fixture.left(of: strategy.directory).isEmpty)
        let exit = try #require(try strategy.directory.exit)
        #expect(exit.latch == "a1b2" && exit.killed && exit.how == .signalled(number: SIGKILL, core: false))
        #expect(report.latchWrites.map(\.error) == [nil, nil])
        for directory in ["latch", "state/latch"] {
            let kept = try LatchFile.all(in: "\(fixture.runDirectory)/\(directory)")
            #expect(kept.latches == [latch] && kept.unreadable.isEmpty)
        }
        // Once more: nothing is left, and nothing breaks.
        #expect(stop().workers.isEmpty)
    }

    @Test("a directory that isn't there is none of an agent's: it is said and not made, and a run directory that isn't means that nothing was seen")
    func guessed() throws {
        let (run, state) = ("\(fixture.runDirectory)/nope", "\(fixture.runDirectory)/nope-either")
        let report = LocalEmergencyStop.run(runDirectory: run, stateDirectory: state, latch: latch)
        #expect(!report.everythingGone && report.workers.isEmpty && report.latchWrites.allSatisfy { $0.error != nil }, "\(report)")
        #expect(!Files.exists(run) && !Files.exists(state))
        // An agent that has started made the place of its launches: without it something was removed.
        let removed = stop()
        #expect(!removed.everythingGone && removed.problems.first?.description.contains("it was removed") == true, "\(removed)")
        try Files.makeDirectory(LaunchDirectory.services(fixture.runDirectory), mode: 0o750)
        let known = stop(state: state)
        #expect(known.everythingGone && known.latchWrites.map { $0.error == nil } == [true, false], "\(known)")
        #expect(!Files.exists(state))
    }

    enum Removal: Sendable { case launch, files, service, place }

    @Test(
        "what was launched is found when its directory was removed or emptied, children and all; without the place of all launches nothing is called seen",
        arguments: [Removal.launch, .files, .service, .place])
    func removedLaunches(_ removal: Removal) throws {
        try note("strategy")
        let strategy = try fixture.launch("strategy", "trap '' TERM; sleep 1000 & touch $OUT/up; wait")
        try fixture.expectFile("up")
        let services = LaunchDirectory.services(fixture.runDirectory)
        switch removal {
        case .launch: try Files.removeTree(strategy.directory.path)
        case .files: for name in ["identity", "worker", "s", "conf"] { try Files.remove("\(strategy.directory.path)/\(name)") }
        case .service: try Files.removeTree(services + "/strategy")
        case .place: try Files.removeTree(services)
        }
        let other = LatchFile(
            id: "a1b2", by: "alice", reason: "another", unixMicroseconds: 1, scope: LatchFile.Scope(everything: false, services: ["recorder"]))
        #expect(stop(other).workers.isEmpty)
        #expect(try strategy.worker.isAlive())
        let report = stop()
        #expect(report.workers.map(\.service) == ["strategy"] && report.workers.first?.gone == true, "\(report)")
        #expect(report.workers.first?.pid == strategy.worker.pid)
        #expect(report.everythingGone == (removal != .place), "\(report)")
        #expect(try !strategy.worker.isAlive())
        try fixture.expectGone(strategy.connection)
    }

    @Test("one that closed what it inherited is found by its shim; what is spared and has its note again is left alone")
    func removedAndClosed() throws {
        try note("strategy")
        let closed = try fixture.launch("strategy", "exec /bin/bash -c 'exec 100>&- 101>&- 102>&- 103>&-; touch $OUT/up; exec sleep 1000'")
        let recorder = try fixture.launch("recorder", "touch $OUT/spared; exec sleep 1000")
        for name in ["up", "spared"] { try fixture.expectFile(name) }
        for service in ["strategy", "recorder"] { try Files.removeTree(LaunchDirectory.services(fixture.runDirectory) + "/" + service) }
        try note("recorder", "market-data", killed: false)
        let report = stop()
        #expect(report.workers.map(\.service) == ["strategy"] && report.everythingGone, "\(report)")
        #expect(try !closed.worker.isAlive() && recorder.worker.isAlive())
    }

    @Test(
        "what is left of a run directory that was unmounted is found by its shims, and without one named and not killed: it may be another agent's",
        .enabled(if: Tmpfs.isPossible))
    func unmounted() throws {
        try #require(mount("trading-test", fixture.runDirectory, "tmpfs", 0, "mode=0750") == 0)
        var isMounted = true
        defer { if isMounted { _ = umount2(fixture.runDirectory, Int32(MNT_DETACH)) } }
        try note("strategy")
        let strategy = try fixture.launch("strategy", "touch $OUT/up; exec sleep 1000")
        let orphan = try fixture.launch("orphan", "touch $OUT/orphan; exec sleep 1000")
        for name in ["up", "orphan"] { try fixture.expectFile(name) }
        let shim = try PIDFD(opening: #require(try orphan.directory.identity))
        try shim.signal(SIGKILL)
        #expect(try shim.isGone(within: .seconds(10)))
        #expect(umount2(fixture.runDirectory, Int32(MNT_DETACH)) == 0)
        isMounted = false
        // As an agent that has started again leaves it.
        try Files.makeDirectory(LaunchDirectory.services(fixture.runDirectory), mode: 0o750)
        let report = stop()
        // Its shim says whose it is, wherever its directory has gone.
        #expect(report.workers.map(\.service) == ["strategy"] && report.workers.allSatisfy(\.gone), "\(report)")
        #expect(try !strategy.worker.isAlive() && orphan.worker.isAlive())
        #expect(!report.everythingGone && report.problems.contains { $0.description.contains("process \(orphan.worker.pid) ") }, "\(report)")
        try PIDFD(opening: orphan.worker).signal(SIGKILL)
    }

    @Test("a shim that is stopped is passed by, and records the latch when it goes on")
    func stoppedShim() throws {
        try note("strategy")
        let (directory, connection, worker) = try fixture.launch("strategy", "sleep 1000 & (setsid sleep 1000 &); touch $OUT/up; wait")
        try fixture.expectFile("up")
        let shim = try PIDFD(opening: #require(try directory.identity))
        try shim.signal(SIGSTOP)
        let report = stop()
        #expect(report.everythingGone, "\(report)")
        #expect(report.workers.first?.text.contains("did not answer") == true)
        #expect(try !worker.isAlive())
        #expect(try fixture.left(of: directory).isEmpty)
        try fixture.expectGone(connection)
        #expect(try directory.exit?.latch == "a1b2")
    }

    @Test("a stopped worker, and one whose shim was killed with orphans about, are killed too")
    func stoppedWorkerAndLostShim() throws {
        try note("a")
        try note("b")
        let stopped = try fixture.launch("a", "exec sleep 1000")
        try PIDFD(opening: stopped.worker).signal(SIGSTOP)
        let lost = try fixture.launch("b", "(setsid sleep 1000 &); sleep 1000 & touch $OUT/up; wait")
        try fixture.expectFile("up")
        let shim = try PIDFD(opening: #require(try lost.directory.identity))
        try shim.signal(SIGKILL)
        #expect(try shim.isGone(within: ShimFixture.patience))
        let report = stop()
        // Without a shim and a cgroup that is all that was found, and it is said to be no more.
        #expect(report.workers.allSatisfy(\.gone) && !report.everythingGone, "\(report)")
        #expect(report.problems.count == 1 && report.problems.first.map { "\($0)" }?.contains("its shim was lost") == true, "\(report)")
        #expect(report.workers.map(\.service).sorted() == ["a", "b"])
        #expect(try fixture.left(of: lost.directory).isEmpty)
        #expect(try fixture.left(of: stopped.directory).isEmpty)
    }

    @Test("a shim that waits for go never launches, stopped or not")
    func waitingShims() throws {
        try note("a")
        try note("b")
        let waiting = try fixture.spawn("a", "touch $OUT/ran-a")
        let stopped = try fixture.spawn("b", "touch $OUT/ran-b")
        let shim = try PIDFD(opening: #require(try stopped.directory.identity))
        try shim.signal(SIGSTOP)
        try stopped.connection.send(.go(id: "too-late"))  // the agent's last word, still unread
        let report = stop()
        #expect(report.everythingGone, "\(report)")
        #expect(try waiting.directory.exit?.how == .never)
        #expect(try waiting.directory.exit?.latch == "a1b2")
        #expect(try shim.isGone(within: ShimFixture.patience))
        #expect(!Files.exists("\(fixture.runDirectory)/ran-a") && !Files.exists("\(fixture.runDirectory)/ran-b"))
        #expect(try !stopped.directory.isSlotHeld)
    }

    @Test("a disk that takes nothing is reported and holds nothing up")
    func unwritable() throws {
        try note("strategy")
        let (directory, _, _) = try fixture.launch("strategy", "exec sleep 1000")
        try Files.writeAtomically("\(fixture.runDirectory)/file", [], sync: false)
        try Files.writeAtomically("\(fixture.runDirectory)/latch", [], sync: false)
        let report = stop(state: "\(fixture.runDirectory)/file")
        #expect(report.everythingGone)
        #expect(report.latchWrites.map { $0.error?.errno } == [ENOTDIR, ENOTDIR])
        #expect(try directory.exit?.latch == "a1b2")
    }

    @Test("tiers and hosts narrow what the inventory kills, a named service and everything go past what it spares, the unknown is covered")
    func scope() {
        let killed = ServiceNote(tier: "execution", emergencyKilled: true)
        let spared = ServiceNote(tier: "market-data", emergencyKilled: false)
        func covers(_ scope: LatchFile.Scope, _ note: ServiceNote?, _ service: String = "x") -> Bool {
            scope.covers(service: service, note: note, host: "ex-1")
        }
        #expect(covers(.init(), killed) && !covers(.init(), spared) && covers(.init(), nil))
        #expect(covers(.init(everything: true), spared))
        #expect(covers(.init(tiers: ["execution"]), killed) && !covers(.init(tiers: ["market-data"]), killed))
        #expect(!covers(.init(tiers: ["market-data"]), spared) && covers(.init(everything: true, tiers: ["market-data"]), spared))
        #expect(covers(.init(services: ["x"]), spared) && !covers(.init(services: ["y"]), killed))
        #expect(!covers(.init(everything: true, hosts: ["md-1"]), killed) && covers(.init(hosts: ["md-1", "ex-1"]), killed))
    }

    @Test("a latch survives its file, in the API's JSON; what is no latch is reported, not skipped")
    func latchFiles() throws {
        var full = LatchFile(
            id: "full", by: "b\"ob", reason: "line\nbreak", unixMicroseconds: 5,
            scope: .init(everything: true, tiers: ["t"], hosts: ["h"], services: ["s"]), released: true)
        full.releasedBy = "carol"
        full.releaseReason = "over"
        full.releasedUnixMicroseconds = 7
        let directory = "\(fixture.runDirectory)/latch"
        try latch.write(directory: directory, sync: false)
        try full.write(directory: directory, sync: true)
        #expect(try LatchFile.all(in: directory).latches == [latch, full])
        #expect(
            latch.json.text == #"{"id":"a1b2","by":"alice","reason":"wrong prices","unix_us":1764000000000000,"scope":{}}"#)
        try Files.writeAtomically("\(directory)/garbage", Array("{".utf8), sync: false)
        try Files.writeAtomically("\(directory)/renamed", Array(latch.json.text.utf8), sync: false)
        #expect(try LatchFile.all(in: directory).unreadable.count == 2)
        #expect(throws: LinuxError.self) {
            try LatchFile(id: "../x", by: "", reason: "", unixMicroseconds: 0).write(directory: directory, sync: false)
        }
        #expect(try LatchFile.all(in: "\(fixture.runDirectory)/none").latches.isEmpty)
    }
}
