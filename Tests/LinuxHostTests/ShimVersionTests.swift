import FleetCore
import Glibc
import LinuxHost
import Testing

/// Shims and agents of different versions.
@Suite(.serialized) struct ShimVersionTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    /// As an agent of version 1 wrote it.
    private func spawnVersion1(_ service: String, _ script: String, shim: String = ShimFixture.shimVersion1) throws -> LaunchDirectory {
        let configuration = fixture.configuration(script)
        let directory = try fixture.create(service, configuration)
        let records = [
            "version=1", "launch=\(directory.launch)", "service=\(service)", "slot=../slot", "arg=/bin/sh", "arg=-c", "arg=\(script)",
            "env=PATH=/usr/bin:/bin", "env=OUT=\(fixture.runDirectory)", "go_timeout_ms=10000", "notify=1",
        ]
        try Files.writeAtomically("\(directory.path)/conf", records.flatMap { Array($0.utf8) + [0] }, mode: 0o600, sync: false)
        try ShimLauncher.spawn(shim: shim, directory: directory, cpus: nil)
        return directory
    }

    /// As an agent of today does it: the newest version first, then down to what the shim speaks.
    private func negotiate(_ directory: LaunchDirectory) throws -> (connection: ShimConnection, heard: [ShimMessage]) {
        let connection = try ShimConnection(to: directory)
        for version in stride(from: ShimRequest.version, to: 1, by: -1) {
            try connection.send(.hello(version: version))
            let refused = try fixture.expect(connection, "an answer") { if case .error("-", "version", _) = $0 { true } else { false } }
            #expect(refused.count == 1)
        }
        try connection.send(.hello(version: 1))
        let heard = try fixture.expect(connection, "shim") { if case .shim = $0 { true } else { false } }
        return (connection, heard)
    }

    @Test("a launch of the version-1 shim is adopted, signalled and ends with its exit record read")
    func signalled() throws {
        let directory = try spawnVersion1(
            "feed", ShimProtocolTests.notify + "trap 'notify STOPPING=1 X_SENT=7; exit 4' TERM; notify READY=1; touch $OUT/up; while :; do sleep 0.01; done")
        do {
            let (first, _) = try negotiate(directory)
            try first.send(.go(id: "g"))
            try fixture.expect(first, "running") { if case .running = $0 { true } else { false } }
            try fixture.expectFile("up")
        }
        // The agent is another one now.
        let (connection, heard) = try negotiate(directory)
        #expect(heard.first == .shim(version: 1, launch: directory.launch, phase: .running))
        let worker = try #require(try directory.worker)
        #expect(try worker.isAlive())
        try connection.send(.signal(id: "t", number: SIGTERM))
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.ok(id: "t", text: "signalled 15")))
        #expect(messages.contains(.exited(signalled: false, code: 4, core: false)))
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 4) && exit.treeEmpty && exit.saidStopping && exit.saidReady)
        #expect(exit.notified["X_SENT"] == "7" && exit.worker == worker)
        #expect(exit.usage == nil && exit.treeUsage == nil && !exit.fencedSoft && exit.cgroup == nil)
    }

    @Test("a launch of the version-1 shim is killed with its whole tree, by its shim and by a local emergency stop")
    func killed() throws {
        for service in ["shim", "stop"] {
            let directory = try spawnVersion1(service, "(setsid sh -c 'sleep 1000 & wait' &); touch $OUT/up-\(service); exec sleep 1000")
            let (connection, _) = try negotiate(directory)
            try connection.send(.go(id: "g"))
            try fixture.expectFile("up-\(service)")
            if service == "shim" {
                try connection.send(.kill(id: "k", latch: "l1"))
                try fixture.expectGone(connection)
                #expect(try directory.exit?.latch == "l1")
            } else {
                let latch = LatchFile(id: "l2", by: "t", reason: "r", unixMicroseconds: 1, scope: LatchFile.Scope(services: ["stop"]))
                let report = LocalEmergencyStop.run(runDirectory: fixture.runDirectory, stateDirectory: nil, latch: latch)
                #expect(report.everythingGone)
                try fixture.expectGone(connection)
                #expect(try directory.exit?.latch == "l2")
            }
            #expect(try fixture.left(of: directory).isEmpty)
            #expect(try directory.exit?.how == .signalled(number: SIGKILL, core: false))
        }
    }

    @Test("what version 2 adds is refused by a version-1 shim without harm, and its conf is refused in words")
    func refusedByVersion1() throws {
        let directory = try spawnVersion1("feed", "exec sleep 1000")
        let (connection, _) = try negotiate(directory)
        try connection.send(.go(id: "g"))
        try fixture.expect(connection, "running") { if case .running = $0 { true } else { false } }
        let now = Clock.boottime()
        try connection.send(.fence(id: "f", epoch: 1, soft: now + .seconds(1), hard: now + .seconds(2), signal: SIGTERM))
        try fixture.expect(connection, "a refusal") { if case .error("-", "bad-request", _) = $0 { true } else { false } }
        #expect(try #require(try directory.worker).isAlive())

        let new = try fixture.create("other", fixture.configuration("exit 0"))
        #expect { try ShimLauncher.spawn(shim: ShimFixture.shimVersion1, directory: new, cpus: nil) } throws: { "\($0)".contains("version") }
    }

    @Test("an agent of version 1 is served by the shim of today: its conf, its hello, its events alone, its exit record")
    func olderAgent() throws {
        let directory = try spawnVersion1(
            "feed", ShimProtocolTests.notify + "notify READY=1 WATCHDOG=1 MAINPID=1; exec sleep 0.05", shim: ShimFixture.shim)
        let connection = try ShimConnection(to: directory)
        try connection.send(.hello(version: 1), .go(id: "g"))
        let messages = try fixture.expectGone(connection)
        #expect(messages.first == .shim(version: 1, launch: directory.launch, phase: .waiting))
        for message in messages {
            switch message {
            case .watchdog, .mainPID, .fence, .degraded, .exitedUnknown: Issue.record("version 1 has no \(message)")
            default: break
            }
        }
        #expect(String(decoding: try Files.read("\(directory.path)/exit", limit: 1 << 16), as: UTF8.self).hasPrefix("version=1\n"))
        #expect(try directory.exit?.how == .exited(code: 0))
    }

    @Test("both versions can be connected to one shim")
    func both() throws {
        let (directory, connection, _) = try fixture.launch("feed", "while [ ! -e $OUT/leave ]; do sleep 0.01; done")
        let old = try ShimConnection(to: directory)
        try old.send(.hello(version: 1))
        try fixture.expect(old, "shim") { $0 == .shim(version: 1, launch: directory.launch, phase: .running) }
        try Files.writeAtomically("\(fixture.runDirectory)/leave", [], sync: false)
        try fixture.expectGone(old)
        try fixture.expectGone(connection)
    }
}
