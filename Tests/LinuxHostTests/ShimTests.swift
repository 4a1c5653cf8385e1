import CLinux
import FleetCore
import Glibc
import LinuxHost
import Testing

/// Against the real shim and real processes.
@Suite(.serialized) struct ShimTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    @Test("nothing runs before go; afterwards the exit status is kept")
    func exitStatus() throws {
        let (directory, connection) = try fixture.spawn("feed", "touch $OUT/ran; exit 3")
        #expect(try directory.worker == nil)
        #expect(!Files.exists("\(fixture.runDirectory)/ran"))
        let shim = try #require(try directory.identity)
        #expect(try shim.isAlive())
        #expect(try directory.isSlotHeld)

        try connection.send(.go(id: "g"))
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.exited(signalled: false, code: 3, core: false)))
        #expect(Files.exists("\(fixture.runDirectory)/ran"))
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 3))
        #expect(exit.treeEmpty)
        #expect(exit.worker == (try directory.worker))
        #expect(exit.words == "exited with status 3")
        #expect(exit.exitedAt <= exit.goneAt && exit.goneAt <= Clock.boottime())
        // `gone` means that the next launch may start at once.
        #expect(try !directory.isSlotHeld)
        _ = try fixture.launch("feed", "exit 0")
    }

    @Test("a shim that never hears go gives up with nothing run")
    func goNeverComes() throws {
        let (directory, connection) = try fixture.spawn("feed", "touch $OUT/ran") { $0.goTimeout = .milliseconds(50) }
        try fixture.expectGone(connection)
        #expect(try directory.exit?.how == .never)
        #expect(try directory.worker == nil)
        #expect(!Files.exists("\(fixture.runDirectory)/ran"))
        #expect(try !directory.isSlotHeld)
    }

    @Test("a second launch of a service that runs is refused")
    func secondLaunch() throws {
        let (_, _, worker) = try fixture.launch("feed", "exec sleep 1000")
        #expect(throws: ShimLauncher.Failure.slotHeld(service: "feed")) {
            _ = try fixture.spawn("feed", "touch $OUT/second")
        }
        #expect(try worker.isAlive())
        _ = try fixture.launch("other", "exec sleep 1000")
    }

    @Test("a launch directory serves once")
    func directoryTwice() throws {
        let (directory, _) = try fixture.spawn("feed", "exit 0")
        #expect(throws: LinuxError.self) {
            try LaunchDirectory.create(
                runDirectory: fixture.runDirectory, service: "feed", launch: directory.launch,
                configuration: fixture.configuration("exit 0"))
        }
    }

    @Test("a signal goes to the main process; one that ignores SIGTERM is killed")
    func ignoresTerm() throws {
        let (directory, connection, worker) = try fixture.launch("feed", "trap '' TERM; touch $OUT/up; while :; do sleep 1000; done")
        try fixture.expectFile("up")
        try connection.send(.signal(id: "s1", number: SIGTERM))
        let answers = try fixture.expect(connection, "an answer") { if case .ok("s1", _) = $0 { true } else { false } }
        #expect(answers.last == .ok(id: "s1", text: "signalled 15"))
        #expect(try worker.isAlive())
        try connection.send(.kill(id: "k1", latch: nil))
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.ok(id: "k1", text: "killed")))
        #expect(messages.contains(.exited(signalled: true, code: SIGKILL, core: false)))
        let exit = try #require(try directory.exit)
        #expect(exit.killed && exit.latch == nil)
        #expect(try fixture.left(of: directory).isEmpty)
    }

    @Test("children, double forks and sessions of their own are gone with their worker")
    func tree() throws {
        let script = """
            for i in 1 2 3 4 5; do sleep 1000 & done
            (setsid sh -c 'trap "" TERM HUP; sleep 1000 & wait' &)
            (sh -c '(sh -c "(sleep 1000 &)" &)' &)
            while [ ! -e $OUT/leave ]; do sleep 0.01; done
            exit 0
            """
        let (directory, connection, _) = try fixture.launch("feed", script)
        // The worker, five children, three of the session's own, the grandchild's sleep.
        let deadline = Clock.boottime() + ShimFixture.patience
        var most = 0
        while most < 9, Clock.boottime() < deadline {
            most = max(most, try fixture.left(of: directory).count)
            poll(nil, 0, 2)
        }
        #expect(most >= 9)
        try Files.writeAtomically("\(fixture.runDirectory)/leave", [], sync: false)
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.exited(signalled: false, code: 0, core: false)))
        #expect(try fixture.left(of: directory).isEmpty)
        #expect(try directory.exit?.treeEmpty == true)
        #expect(try directory.exit?.how == .exited(code: 0))
    }

    @Test("an id is executed once, a repeat gets the first answer")
    func repeatedIDs() throws {
        let (_, connection, worker) = try fixture.launch(
            "feed", "trap 'echo hit >> $OUT/hits' USR1; touch $OUT/up; while :; do sleep 0.01; done")
        try fixture.expectFile("up")
        for _ in 0..<3 { try connection.send(.signal(id: "once", number: SIGUSR1)) }
        try fixture.expectFile("hits")
        try connection.send(.signal(id: "twice", number: SIGCONT), .go(id: "go-1"))
        let messages = try fixture.expect(connection, "the go's answer") { if case .ok("go-1", _) = $0 { true } else { false } }
        #expect(messages.filter { $0 == .ok(id: "once", text: "signalled 10") }.count == 3)
        #expect(messages.last == .ok(id: "go-1", text: "running \(worker.pid) \(worker.startTime)"))
        #expect(try fixture.text("hits") == "hit\n")
        try connection.send(.go(id: "go-2"))
        let refused = try fixture.expect(connection, "a refusal") { if case .error("go-2", _, _) = $0 { true } else { false } }
        guard case .error(_, "not-waiting", _) = refused.last else {
            Issue.record("a second go was not refused: \(refused)")
            return
        }
    }

    @Test("a launch that fails says at which step and why")
    func failures() throws {
        func failure(_ service: String, _ change: (inout LaunchConfiguration) -> Void) throws -> ShimExit.How? {
            let (directory, connection) = try fixture.spawn(service, "", change: change)
            try connection.send(.go(id: "g"))
            let messages = try fixture.expectGone(connection)
            #expect(messages.contains { if case .failed = $0 { true } else { false } })
            #expect(messages.contains { if case .error("g", "failed", _) = $0 { true } else { false } })
            return try directory.exit?.how
        }
        #expect(try failure("a") { $0.argv = ["/nonexistent/program"] } == .failed(errno: ENOENT, step: "exec"))
        #expect(try failure("b") { $0.workdir = "/nonexistent" } == .failed(errno: ENOENT, step: "cwd"))
        #expect(try failure("c") { $0.stdout = "/nonexistent/log" } == .failed(errno: ENOENT, step: "stdout"))
        #expect(try failure("d") { $0.argv = ["/etc/passwd"] } == .failed(errno: EACCES, step: "exec"))
        #expect(try failure("e") { $0.cpus = CPUList([1023]) } == .failed(errno: EINVAL, step: "cpus"))
    }

    @Test("a conf that makes no sense is refused in words")
    func badConf() throws {
        let directory = try LaunchDirectory.create(
            runDirectory: fixture.runDirectory, service: "feed", launch: "bad", configuration: fixture.configuration("exit 0"))
        for (conf, words) in [
            ("version=4\u{0}", "version"), ("version=2\u{0}tree_signal=15\u{0}", "does not know"), ("version=1\u{0}launch=bad", "cut off"),
            ("nonsense\u{0}", "key=value"), ("", "empty"),
            ("version=1\u{0}surprise=1\u{0}", "does not know"), ("version=1\u{0}nice=1\u{0}", "does not know"),
            ("version=2\u{0}surprise=1\u{0}", "does not know"), ("launch=a\u{0}", "names no version"),
            ("version=1\u{0}launch=bad\u{0}slot=../slot\u{0}arg=/bin/true\u{0}uid=1\u{0}", "gid"),
        ] {
            try Files.writeAtomically("\(directory.path)/conf", Array(conf.utf8), sync: false)
            do {
                try ShimLauncher.spawn(shim: ShimFixture.shim, directory: directory, cpus: nil)
                Issue.record("accepted: \(conf)")
            } catch {
                #expect(error.description.contains(words))
            }
        }
        #expect(throws: LinuxError.self) {
            try LaunchDirectory.create(
                runDirectory: fixture.runDirectory, service: "feed", launch: "zero",
                configuration: fixture.configuration("exit 0") { $0.env = ["A": "x\u{0}y"] })
        }
    }

    @Test("the worker starts with clean signals, its own group, its CPUs and its output appended")
    func environment() throws {
        signal(SIGPIPE, SIG_IGN)  // as NIO does in the agent
        var blocked = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGUSR1)
        pthread_sigmask(SIG_BLOCK, &blocked, nil)
        defer { pthread_sigmask(SIG_UNBLOCK, &blocked, nil) }
        let log = "\(fixture.runDirectory)/log"
        try Files.writeAtomically(log, Array("before\n".utf8), sync: false)
        let (directory, connection, worker) = try fixture.launch(
            "feed", "grep Sig /proc/self/status; echo \"$GREETING $TRADING_LAUNCH\"; pwd; umask; ls /proc/self/fd >&2; read line", cpus: CPUList([0])
        ) {
            $0.env["GREETING"] = "good day, = ok"
            $0.workdir = "/usr"
            $0.umask = 0o027
            $0.stdout = log
            $0.stderr = "\(fixture.runDirectory)/err"
            $0.cpus = CPUList([0])
        }
        #expect(try ProcessStat.read(pid: worker.pid).map { $0.group == worker.pid } ?? true)
        try fixture.expectGone(connection)
        let text = try fixture.text("log")
        #expect(text.hasPrefix("before\n"))
        #expect(text.contains("SigBlk:\t0000000000000000"))
        #expect(text.contains("SigIgn:\t0000000000000000"))
        #expect(text.contains("good day, = ok \(directory.launch)\n/usr\n0027\n"))
        // Standard streams, the slot (see shim.h) and what ls itself opens.
        #expect(try fixture.text("err").split(separator: "\n").filter { $0 != "3" } == ["0", "1", "100", "2"])
    }

    @Test("the affinity asked for is what the kernel reports, of shim and worker")
    func affinity() throws {
        let (directory, _, worker) = try fixture.launch("feed", "exec sleep 1000", cpus: CPUList([0])) { $0.cpus = CPUList([0]) }
        #expect(try Processes.affinity(of: worker.pid) == CPUList([0]))
        #expect(try Processes.affinity(of: #require(try directory.identity).pid) == CPUList([0]))
    }

    @Test("a worker outlives whoever started it, and the next one hears everything again")
    func adoption() throws {
        let launched = try fixture.launch("feed", "exec sleep 1000")
        var first: ShimConnection? = launched.connection
        _ = consume first  // the agent dies
        first = nil
        let connection = try ShimConnection(to: launched.directory)
        try connection.send(.hello(version: ShimRequest.version))
        let messages = try fixture.expect(connection, "running") { if case .running = $0 { true } else { false } }
        #expect(messages.first == .shim(version: ShimRequest.version, launch: launched.directory.launch, phase: .running))
        #expect(messages.last == .running(pid: launched.worker.pid, startTime: launched.worker.startTime))
        try connection.send(.signal(id: "t", number: SIGTERM))
        try fixture.expectGone(connection)
        #expect(try launched.directory.exit?.how == .signalled(number: SIGTERM, core: false))
    }

    @Test("a shim that is killed leaves its worker alone and the slot held")
    func shimKilled() throws {
        let (directory, _, worker) = try fixture.launch("feed", "exec sleep 1000")
        let shim = try PIDFD(opening: #require(try directory.identity))
        try shim.signal(SIGKILL)
        #expect(try shim.isGone(within: ShimFixture.patience))
        #expect(try worker.isAlive())
        #expect(try directory.isSlotHeld)
        #expect(throws: ShimLauncher.Failure.slotHeld(service: "feed")) { _ = try fixture.spawn("feed", "exit 0") }
        let process = try PIDFD(opening: worker)
        try process.signal(SIGKILL)
        #expect(try process.isGone(within: ShimFixture.patience))
    }

    @Test("a stray SIGTERM to the shim does nothing")
    func shimTerminated() throws {
        let (directory, connection, worker) = try fixture.launch("feed", "exec sleep 1000")
        let shim = try PIDFD(opening: #require(try directory.identity))
        for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1] { try shim.signal(number) }
        try connection.send(.signal(id: "x", number: SIGCONT))
        try fixture.expect(connection, "an answer") { if case .ok("x", _) = $0 { true } else { false } }
        #expect(try worker.isAlive())
    }
}
