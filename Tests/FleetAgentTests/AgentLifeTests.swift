import FleetCore
import FleetJournal
import FleetWire
import Glibc
import LinuxHost
import NIOCore
import TestSupport
import Testing

@testable import FleetAgent

@Suite(.serialized) struct AgentLifeTests {
    private func shell(_ worker: inout WireWorkerSpec, _ script: String) { worker.run = ["/bin/sh", "-c", script] }

    private func state(_ result: WireCommandResult, _ what: String) -> WireCheck.State? { result.checks.first { $0.what == what }?.state }

    private func events(_ fixture: AgentFixture, _ event: String) throws -> Int {
        try fixture.journalText().split(separator: "\n").count { $0.contains("\"\(event)\"") }
    }

    // MARK: What a stop leaves

    @Test("a stop says what it has looked at: tree and sockets, and nothing where nothing is declared")
    func checks() throws {
        let listener = try Listener()
        let fixture = try AgentFixture()
        try fixture.savePart { $0.run = ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(listener.port); while :; do sleep 1000; done"] }
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        try listener.accept()
        let result = try fixture.order(.stop(killNow: false))
        #expect(result.outcome == .done && result.treeEmpty, "\(result)")
        #expect(state(result, "tree") == .clear && state(result, "sockets") == .clear && state(result, "locks") == .unchecked, "\(result.checks)")
        // Ours is open still: the kernel has the worker's end in FIN-WAIT-2.
        #expect(result.checks.first { $0.what == "sockets" }?.text.hasPrefix("none of its 1 is left") == true, "\(result.checks)")
        #expect(try eventually { try events(fixture, "WORKER_VERIFIED") == 1 })
    }

    @Test("what it has left makes the stop fail by name, and the next stop finds it cleared")
    func leftBehind() throws {
        let fixture = try AgentFixture()
        let lock = fixture.scratch.path + "/feed.lock"
        try fixture.savePart {
            shell(&$0, "echo > \(lock); while :; do sleep 1000; done")
            $0.lockFiles = [lock]
        }
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        #expect(eventually { Files.exists(lock) })
        let stop = try fixture.order(.stop(killNow: false))
        #expect(stop.outcome == .failedTo && stop.slug == "left-behind" && stop.text.contains(lock) && stop.treeEmpty, "\(stop)")
        #expect(state(stop, "locks") == .left)
        // Nor is it started over what is left.
        let start = try fixture.order(.start)
        #expect(start.outcome == .failedTo && start.slug == "leftovers" && start.text.contains("rm \(lock)"), "\(start)")
        try Files.remove(lock)
        let again = try fixture.order(.stop(killNow: false))
        #expect(again.outcome == .done && state(again, "locks") == .clear, "\(again)")
        #expect(try fixture.order(.start).outcome == .done)
        try Files.remove(lock)
    }

    @Test("a marker counts when it is of this end, not of an earlier one")
    func marker() throws {
        let fixture = try AgentFixture()
        let marker = try fixture.scratch.write("marker", "old")
        try fixture.savePart {
            shell(
                &$0,
                "trap 'test -e \(fixture.scratch.path)/clean && echo done > \(marker); exit 0' TERM; echo > \(fixture.scratch.path)/up; while :; do sleep 0.05; done"
            )
            $0.markerFile = marker
        }
        _ = try fixture.start()
        defer { fixture.end() }
        /// Once it takes TERM.
        func start() throws {
            #expect(try fixture.order(.start).outcome == .done)
            #expect(eventually { Files.exists(fixture.scratch.path + "/up") })
            try Files.remove(fixture.scratch.path + "/up")
        }
        try start()
        let unclean = try fixture.order(.stop(killNow: false))
        #expect(unclean.slug == "left-behind" && unclean.text.contains("of an earlier end"), "\(unclean)")
        try fixture.scratch.write("clean", "")
        try start()
        let clean = try fixture.order(.stop(killNow: false))
        #expect(clean.outcome == .done && state(clean, "marker") == .clear, "\(clean)")
    }

    @Test("an agent that comes in the middle knows the sockets that the one before has listed")
    func evidenceSurvives() throws {
        let listener = try Listener()
        let fixture = try AgentFixture()
        try fixture.savePart {
            $0.run = ["/bin/bash", "-c", "trap '' TERM; exec 3<>/dev/tcp/127.0.0.1/\(listener.port); while :; do sleep 0.05; done"]
            $0.stop.graceNs = 60_000_000_000
        }
        var agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        try listener.accept()
        let first = agent
        try fixture.onLoop {
            guard let shell = first.shell("feed") else { return }
            first.order(.stop(killNow: false), shell, by: "test", reason: "test", run: nil) { _ in }
        }
        let directory = try #require(try LaunchDirectory.all(runDirectory: fixture.run, service: "feed").first)
        #expect(try eventually { try LaunchEvidence.read(directory)?.sockets?.count == 1 })
        agent.stop()
        agent = try fixture.start()
        #expect(try eventually { try fixture.phase() == "stopping" })
        let result = try fixture.order(.stop(killNow: true))
        #expect(result.outcome == .done && result.killed && state(result, "sockets") == .clear, "\(result)")
    }

    // MARK: Before a start

    @Test("a start that can't be is refused in one sentence under a name of its own, and nothing was launched")
    func preStart() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { $0.runSha256 = String(repeating: "0", count: 64) }
        _ = try fixture.start()
        defer { fixture.end() }
        let result = try fixture.order(.start)
        #expect(result.outcome == .failedTo && result.slug == "digest-mismatch" && result.text.contains("the inventory says 0000"), "\(result)")
        #expect(try LaunchDirectory.all(runDirectory: fixture.run, service: "feed").isEmpty)
    }

    @Test("capabilities are given by the host's settings alone")
    func capabilities() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { $0.capabilities = ["net_raw"] }
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).text.contains("Add --allow-capability net_raw"))
    }

    // MARK: Health

    @Test("a worker whose check fails is stopped by its own stop sequence and restarted by policy; it is well again afterwards")
    func unhealthy() throws {
        let fixture = try AgentFixture()
        let sick = fixture.scratch.path + "/sick"
        try fixture.savePart { worker in
            shell(&worker, "trap 'rm -f \(sick); exit 0' TERM; while :; do sleep 0.02; done")
            var check = WireHealthCheck()
            check.exec.argv = ["/bin/sh", "-c", "test ! -e \(sick) || { echo sick; exit 1; }"]
            check.everyNs = 20_000_000
            check.timeoutNs = 5_000_000_000
            check.failures = 2
            check.successes = 1
            worker.health = [check]
            worker.restart.policy = .onFailure
            worker.restart.limitStarts = 5
            worker.restart.limitWithinNs = 60_000_000_000
        }
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        #expect(try eventually { try fixture.onLoop { agent.report() }.workers[0].health == "ok" })
        let pid = try fixture.pid()
        try fixture.scratch.write("sick", "")
        #expect(try eventually { try fixture.phase() == "running" && fixture.pid() != pid })
        #expect(try eventually { try events(fixture, "WORKER_HEALTHY") == 1 })
        #expect(try events(fixture, "WORKER_UNHEALTHY") == 1)
        #expect(try fixture.journalText().contains("exited with status 1: sick"))
    }

    // MARK: Actions

    @Test("quiesce by a command runs it as declared, and its failure is the order's")
    func quiesceByCommand() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { worker in
            worker.quiesce.exec.argv = ["/bin/sh", "-c", "pwd > \(fixture.scratch.path)/said"]
            worker.quiesce.withinNs = 5_000_000_000
            worker.resume.exec.argv = ["/bin/sh", "-c", "echo no >&2; exit 4"]
            worker.resume.withinNs = 5_000_000_000
        }
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        #expect(try fixture.order(.quiesce).outcome == .done)
        #expect(String(decoding: try Files.read(fixture.scratch.path + "/said", limit: 4_096), as: UTF8.self).hasSuffix("/workers/feed\n"))
        let resume = try fixture.order(.resume)
        #expect(resume.outcome == .failedTo && resume.text.contains("/bin/sh exited with status 4: no"), "\(resume)")
    }

    // MARK: Locks and notes

    @Test("a locked worker is neither started nor stopped, says so, and still is after the agent's restart")
    func locked() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        var agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.lock).outcome == .done)
        #expect(try fixture.order(.note("param file")).outcome == .done)
        let refused = try fixture.order(.start)
        #expect(refused.outcome == .refused && refused.slug == "locked", "\(refused)")
        agent.stop()
        agent = try fixture.start()
        let now = agent
        let report = try fixture.onLoop { now.report() }.workers[0]
        #expect(report.lock.by == "test" && report.lock.text == "test" && report.remark.text == "param file", "\(report)")
        #expect(try fixture.order(.start).slug == "locked")
        #expect(try fixture.order(.unlock).outcome == .done)
        #expect(try fixture.order(.note("")).outcome == .done)
        #expect(try fixture.order(.start).outcome == .done)
        #expect(try fixture.onLoop { now.report() }.workers[0].hasRemark == false)
    }

    @Test("a detail has threads, files, connections and the last records")
    func detail() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        let promise = agent.loop.makePromise(of: WireWorkerDetail?.self)
        agent.loop.execute {
            guard let shell = agent.shell("feed") else { return promise.succeed(nil) }
            agent.detail(of: shell) { promise.succeed($0) }
        }
        let detail = try #require(try promise.futureResult.wait())
        #expect(detail.threads.count == 1 && detail.threads[0].name == "sleep" && detail.problem.isEmpty, "\(detail)")
        #expect(detail.openFileCount >= 3 && detail.argv == ["/bin/sleep", "1000"] && detail.connections.isEmpty)
        #expect(detail.events.last?.contains("WORKER_READY") == true, "\(detail.events)")
    }

    // MARK: Small things

    @Test("what is known of a launch is read back as it was written")
    func evidence() {
        var evidence = LaunchEvidence()
        evidence.pagesFree = [HugepageCount(node: 0, pageBytes: 2 << 20, count: 5), HugepageCount(node: 1, pageBytes: 1 << 30, count: 0)]
        evidence.pagesKept = [2 << 20: 3]
        evidence.sockets = [
            SocketTuple(.tcp, local: "127.0.0.1:80", remote: "127.0.0.1:81", inode: 7, state: .established),
            SocketTuple(.udp6, local: "[::1]:9", remote: "[::]:0", inode: 8, state: .closed),
        ]
        evidence.socketProblems = ["process 1 has a network of its own"]
        #expect(LaunchEvidence(text: evidence.text) == evidence)
        evidence.sockets = []
        #expect(LaunchEvidence(text: evidence.text) == evidence)
        #expect(LaunchEvidence(text: LaunchEvidence().text) == LaunchEvidence())
    }

    @Test("a service manager is told at a path and at an abstract name, and one that isn't there is an error")
    func manager() throws {
        let scratch = try Scratch()
        for name in [scratch.path + "/notify", "@trading-test-\(getpid())"] {
            let socket = try DatagramSocket(name)
            try ServiceManager(socket: name).say("READY=1\nSTATUS=x")
            #expect(socket.read() == "READY=1\nSTATUS=x")
        }
        #expect(throws: LinuxError.self) { try ServiceManager(socket: scratch.path + "/none") }
        #expect(throws: LinuxError.self) { try ServiceManager(socket: "relative") }
    }
}

/// A TCP listener on loopback that takes one connection.
private final class Listener {
    private let listener: LoopbackListener
    private var accepted: Int32 = -1
    var port: UInt16 { listener.port }

    init() throws { listener = try LoopbackListener() }

    deinit { if accepted >= 0 { close(accepted) } }

    func accept() throws {
        accepted = Glibc.accept(listener.descriptor, nil, nil)
        guard accepted >= 0 else { throw LinuxError("accept on", "127.0.0.1:\(port)", errno: errno) }
    }
}

private final class DatagramSocket {
    private let descriptor: Int32

    init(_ name: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (bytes[0] == 0 ? 0 : 1))
        let file = descriptor
        let bound = withUnsafeMutablePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(file, $0, size) } }
        guard bound == 0 else { throw LinuxError("bind", name, errno: errno) }
    }

    deinit { close(descriptor) }

    func read() -> String {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let got = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
    }
}
