import FleetCore
import Glibc
import LinuxHost
import Testing

/// Deadlines that hold whatever becomes of the shim.
@Suite(.serialized) struct ShimFenceTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    static let late = Duration.seconds(2)

    private struct Fenced {
        let directory: LaunchDirectory
        let connection: ShimConnection
        let worker: ProcessIdentity
        let shim: ProcessIdentity
        let soft: BootTime
        let hard: BootTime
    }

    private func launch(
        _ script: String, soft: Duration, hard: Duration, signal: Int32 = SIGTERM, change: (inout LaunchConfiguration) -> Void = { _ in }
    ) throws -> Fenced {
        let (directory, connection) = try fixture.spawn("feed", script) {
            $0.fence = true
            change(&$0)
        }
        let now = Clock.boottime()
        try connection.send(.fence(id: "f1", epoch: 7, soft: now + soft, hard: now + hard, signal: signal), .go(id: "g"))
        let messages = try fixture.expect(connection, "running") { if case .running = $0 { true } else { false } }
        #expect(messages.contains(.ok(id: "f1", text: "armed \((now + hard).nanoseconds)")))
        return Fenced(
            directory: directory, connection: connection, worker: try #require(try directory.worker),
            shim: try #require(try directory.identity), soft: now + soft, hard: now + hard)
    }

    private var hasNamespaces: Bool { ShimFixture.isRoot }

    /// Nothing of it is left, in time and not before; the next agent can tell why.
    private func expectFencedHard(_ fenced: Fenced, at location: SourceLocation = #_sourceLocation) throws {
        let shim = try PIDFD(opening: fenced.shim)
        #expect(try shim.isGone(within: fenced.hard - Clock.boottime() + Self.late), sourceLocation: location)
        #expect(Clock.boottime() >= fenced.hard, sourceLocation: location)
        try fixture.expectSoon("the tree's end", within: Self.late, at: location) { try fixture.left(of: fenced.directory).isEmpty && !fenced.worker.isAlive() }
        #expect(try fenced.directory.exit == nil, sourceLocation: location)
        #expect(try fenced.directory.wasFencedHard, sourceLocation: location)
        #expect(try !fenced.directory.isSlotHeld, sourceLocation: location)
    }

    /// In a session of its own, forked twice, deaf to what it may be deaf to; only a namespace takes that along.
    static let daemon = ShimFixture.isRoot ? "(setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & wait' &) ; " : ""

    @Test("nothing is launched before the fence is armed, and what makes no sense is refused")
    func notArmed() throws {
        let (directory, connection) = try fixture.spawn("feed", "touch $OUT/ran; exec sleep 1000") { $0.fence = true }
        func answer(_ request: ShimRequest, _ id: String) throws -> ShimMessage? {
            try connection.send(request)
            return try fixture.expect(connection, id) {
                switch $0 {
                case .ok(id, _), .error(id, _, _): true
                default: false
                }
            }.last
        }
        func slug(_ message: ShimMessage?) -> String { if case .error(_, let slug, _) = message { slug } else { "\(String(describing: message))" } }
        let now = Clock.boottime()
        #expect(slug(try answer(.go(id: "g0"), "g0")) == "not-armed")
        #expect(slug(try answer(.fence(id: "a", epoch: 1, soft: now + .seconds(9), hard: now + .seconds(8), signal: 15), "a")) == "bad-request")
        #expect(slug(try answer(.fence(id: "b", epoch: 1, soft: now, hard: now, signal: 15), "b")) == "bad-request")
        #expect(slug(try answer(.fence(id: "c", epoch: 1, soft: now + .seconds(8), hard: now + .seconds(9), signal: 65), "c")) == "bad-request")
        #expect(!Files.exists("\(fixture.runDirectory)/ran"))
        #expect(try directory.fence == nil)
        let armed = try answer(.fence(id: "d", epoch: 1, soft: now + .seconds(60), hard: now + .seconds(61), signal: 15), "d")
        #expect(armed == .ok(id: "d", text: "armed \((now + .seconds(61)).nanoseconds)"))
        #expect(try directory.fence?.hard == now + .seconds(61))
        // Later only, the same epoch, and never more than the first time to live.
        #expect(slug(try answer(.fence(id: "e", epoch: 2, soft: now + .seconds(60), hard: now + .seconds(61), signal: 15), "e")) == "epoch")
        #expect(slug(try answer(.fence(id: "h", epoch: 1, soft: now + .seconds(59), hard: now + .seconds(61), signal: 15), "h")) == "earlier")
        #expect(slug(try answer(.fence(id: "i", epoch: 1, soft: now + .seconds(60), hard: now + .seconds(60), signal: 15), "i")) == "earlier")
        #expect(slug(try answer(.fence(id: "j", epoch: 1, soft: now + .seconds(60), hard: now + .seconds(600), signal: 15), "j")) == "beyond")
        let other = try fixture.launch("other", "exec sleep 1000")
        try other.connection.send(.fence(id: "x", epoch: 1, soft: now + .seconds(1), hard: now + .seconds(2), signal: 15))
        let refused = try fixture.expect(other.connection, "a refusal") { if case .error("x", _, _) = $0 { true } else { false } }
        #expect(slug(refused.last) == "no-fence")
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
    }

    @Test("at the soft deadline the shim sends the signal by itself, and an extension is refused for ever")
    func soft() throws {
        let fenced = try launch(
            "trap 'touch $OUT/told' USR1; touch $OUT/up; while [ ! -e $OUT/leave ]; do sleep 0.01; done; exit 6", soft: .milliseconds(800),
            hard: .seconds(60), signal: SIGUSR1)
        try fixture.expectFile("told")
        #expect(Clock.boottime() >= fenced.soft)
        let late = Clock.boottime() + .seconds(30)
        try fenced.connection.send(.fence(id: "x", epoch: 7, soft: late, hard: fenced.hard, signal: SIGUSR1))
        let messages = try fixture.expect(fenced.connection, "a refusal") { if case .error("x", "fenced", _) = $0 { true } else { false } }
        #expect(messages.contains(.fence(.soft(epoch: 7))))
        let next = try ShimConnection(to: fenced.directory)
        try next.send(.hello(version: ShimRequest.version))
        let heard = try fixture.expect(next, "running") { if case .running = $0 { true } else { false } }
        #expect(heard.contains(.fence(.soft(epoch: 7))) && heard.contains(.fence(.armed(epoch: 7, soft: fenced.soft, hard: fenced.hard))))
        try Files.writeAtomically("\(fixture.runDirectory)/leave", [], sync: false)
        try fixture.expectGone(fenced.connection)
        let exit = try #require(try fenced.directory.exit)
        #expect(exit.how == .exited(code: 6) && exit.fencedSoft)
        #expect(try !fenced.directory.wasFencedHard)
    }

    @Test("an extension in time moves both deadlines")
    func extended() throws {
        let fenced = try launch("exec sleep 1000", soft: .milliseconds(1_200), hard: .milliseconds(1_500))
        var hard = fenced.hard
        for round in 1...5 {
            let next = Clock.boottime() + .milliseconds(350)
            try fixture.expectSoon("some time") { Clock.boottime() >= next }
            let now = Clock.boottime()
            hard = now + .milliseconds(1_450)
            try fenced.connection.send(.fence(id: "e\(round)", epoch: 7, soft: now + .milliseconds(1_200), hard: hard, signal: SIGTERM))
            try fixture.expect(fenced.connection, "an extension") { if case .ok("e\(round)", _) = $0 { true } else { false } }
        }
        #expect(try fenced.worker.isAlive() && Clock.boottime() > fenced.hard)
        #expect(try fenced.directory.fence?.hard == hard)
        try fixture.expectGone(fenced.connection)
        let exit = try #require(try fenced.directory.exit)
        #expect(exit.how == .signalled(number: SIGTERM, core: false) && exit.fencedSoft)
    }

    @Test("the deadline of a launch that never hears go ends it with nothing run")
    func beforeGo() throws {
        let (directory, connection) = try fixture.spawn("feed", "touch $OUT/ran") { $0.fence = true }
        let now = Clock.boottime()
        try connection.send(.fence(id: "f", epoch: 1, soft: now + .milliseconds(200), hard: now + .seconds(60), signal: 15))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.how == .never)
        #expect(!Files.exists("\(fixture.runDirectory)/ran"))
    }

    @Test("the hard deadline ends a worker that ignores the soft one, and its double-forked child")
    func hard() throws {
        let fenced = try launch(Self.daemon + "trap '' TERM; while :; do sleep 1; done", soft: .milliseconds(800), hard: .milliseconds(1_200))
        #expect(try fenced.directory.fence?.hasNamespace == hasNamespaces)
        try expectFencedHard(fenced)
        #expect(try fenced.directory.fence?.soft == fenced.soft)
    }

    @Test("the hard deadline strikes with the shim stopped, and what was said to it meanwhile revives nothing")
    func stopped() throws {
        let fenced = try launch(Self.daemon + "exec sleep 1000", soft: .milliseconds(800), hard: .milliseconds(1_200))
        try PIDFD(opening: fenced.shim).signal(SIGSTOP)
        let now = Clock.boottime()
        try fenced.connection.send(.fence(id: "x", epoch: 7, soft: now + .milliseconds(1_100), hard: now + .milliseconds(1_190), signal: SIGTERM))
        try expectFencedHard(fenced)
    }

    @Test("an extension that waited in a stopped shim past the soft deadline is refused when it goes on")
    func resumed() throws {
        let fenced = try launch("trap '' TERM; while :; do sleep 1; done", soft: .milliseconds(800), hard: .milliseconds(2_000))
        let shim = try PIDFD(opening: fenced.shim)
        try shim.signal(SIGSTOP)
        let now = Clock.boottime()
        try fenced.connection.send(.fence(id: "x", epoch: 7, soft: now + .milliseconds(1_900), hard: now + .milliseconds(1_990), signal: SIGTERM))
        try fixture.expectSoon("the soft deadline") { Clock.boottime() > fenced.soft }
        try shim.signal(SIGCONT)
        try fixture.expect(fenced.connection, "a refusal") { if case .error("x", "fenced", _) = $0 { true } else { false } }
        try expectFencedHard(fenced)
    }

    @Test("a shim that is killed before its deadline takes its tree along")
    func killed() throws {
        let fenced = try launch(Self.daemon + "exec sleep 1000", soft: .seconds(50), hard: .seconds(60))
        try PIDFD(opening: fenced.shim).signal(SIGKILL)
        try fixture.expectSoon("the tree's end", within: Self.late) { try fixture.left(of: fenced.directory).isEmpty && !fenced.worker.isAlive() }
        #expect(try !fenced.directory.wasFencedHard)
        #expect(try fenced.directory.exit == nil)
        try fixture.expectSoon("the slot free", within: Self.late) { try !fenced.directory.isSlotHeld }
    }

    @Test("the hard deadline strikes a tree that is frozen with its shim", .enabled(if: ShimFixture.cgroups != nil))
    func frozen() throws {
        let place = try #require(ShimFixture.cgroups)
        let cgroup = place.directory(service: "frozen", launch: "\(getpid())")
        #expect(mkdir(cgroup, 0o755) == 0)
        defer { rmdir(cgroup) }
        let fenced = try launch("setsid sh -c ': > $OUT/up; exec sleep 1000' & exec sleep 1000", soft: .milliseconds(2_000), hard: .milliseconds(2_400))
        try fixture.expectFile("up")
        let tree = [fenced.shim.pid] + (try Processes.descendants(of: fenced.shim.pid))
        #expect(tree.count >= 3)
        for pid in tree { try write("\(pid)", to: "\(cgroup)/cgroup.procs") }
        try write("1", to: "\(cgroup)/cgroup.freeze")
        try fixture.expectSoon("frozen") { String(decoding: try Files.read("\(cgroup)/cgroup.events", limit: 4_096), as: UTF8.self).contains("frozen 1") }
        #expect(Clock.boottime() < fenced.soft)
        try expectFencedHard(fenced)
        try fixture.expectSoon("an empty cgroup", within: Self.late) { try Cgroup.isEmpty(cgroup) }
    }

    @Test("the hard deadline strikes a real-time busy loop on its own CPU", .enabled(if: geteuid() == 0))
    func busy() throws {
        let fenced = try launch("while :; do :; done", soft: .milliseconds(800), hard: .milliseconds(1_200)) {
            $0.execution.scheduler = .fifo(50)
            $0.cpus = CPUList([1])
            $0.argv = ["/bin/sh", "-c", "trap '' TERM; while :; do :; done"]
        }
        try expectFencedHard(fenced)
    }

    @Test("a worker in its own PID namespace is known by the host's numbers, and told its own", .enabled(if: geteuid() == 0))
    func numbers() throws {
        let script =
            ShimProtocolTests.notify + """
                [ "$WATCHDOG_PID" = $$ ] || exit 9
                sh -c 'trap "exit 8" TERM; touch $OUT/up; while :; do sleep 0.01; done' & pid=$!
                echo $$ > $OUT/own; while [ ! -e $OUT/begin ]; do sleep 0.01; done
                notify "MAINPID=$pid" READY=1; exit 3
                """
        let fenced = try launch(script, soft: .seconds(50), hard: .seconds(60)) { $0.watchdog = .seconds(100) }
        try Files.writeAtomically("\(fixture.runDirectory)/begin", [], sync: false)
        let messages = try fixture.expect(fenced.connection, "READY") { $0 == .notify(key: "READY", value: "1") }
        guard let changed = messages.first(where: { if case .mainPID = $0 { true } else { false } }), case .mainPID(let pid, _) = changed else {
            Issue.record("no mainpid in \(messages)")
            return
        }
        try fixture.expectFile("up")
        #expect(Int32(try fixture.text("own").dropLast()) == 2)
        #expect(try #require(try ProcessStat.read(pid: pid)).pid == pid)
        try fenced.connection.send(.signal(id: "t", number: SIGTERM))
        try fixture.expectGone(fenced.connection)
        #expect(try fenced.directory.exit?.how == .exited(code: 8))
    }

    @Test("what is orphaned in the namespace is reaped, and the launch ends with its worker", .enabled(if: geteuid() == 0))
    func reaped() throws {
        let fenced = try launch(
            "for i in 1 2 3; do (setsid sh -c 'exit 0' &); done; (setsid sleep 1000 &); : > $OUT/up; while [ ! -e $OUT/leave ]; do sleep 0.01; done",
            soft: .seconds(50), hard: .seconds(60))
        try fixture.expectFile("up")
        try fixture.expectSoon("no zombie") {
            try Processes.descendants(of: fenced.shim.pid).allSatisfy { try ProcessStat.read(pid: $0)?.isZombie != true }
        }
        try Files.writeAtomically("\(fixture.runDirectory)/leave", [], sync: false)
        try fixture.expectGone(fenced.connection)
        let exit = try #require(try fenced.directory.exit)
        #expect(exit.how == .exited(code: 0) && exit.treeEmpty && !exit.fencedSoft)
        #expect(try fixture.left(of: fenced.directory).isEmpty)
    }

    @Test("a fenced launch in a cgroup is gone with both", .enabled(if: ShimFixture.cgroups != nil))
    func withCgroup() throws {
        let path = try #require(ShimFixture.cgroups).directory(service: "fenced", launch: "\(getpid())")
        let fenced = try launch(Self.daemon + "exec sleep 1000", soft: .milliseconds(800), hard: .milliseconds(1_200), signal: SIGCONT) { $0.cgroup = path }
        try expectFencedHard(fenced)
        // Nobody is left to remove it: the next agent does.
        #expect(try Cgroup.isEmpty(path))
        Cgroup.remove(path)
        #expect(!Files.isDirectory(path))
    }

    private func write(_ text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY)
        defer { close(descriptor) }
        try #require(descriptor >= 0 && Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count, "\(path)")
    }
}
