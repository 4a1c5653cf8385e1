import FleetCore
import Glibc
import LinuxHost
import Testing

/// What a main process leaves of its tree: told, waited for, killed and counted (protocol 3).
@Suite(.serialized) struct ShimGraceTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    /// Where a tree lives makes no difference to its grace.
    enum Home: CaseIterable, Sendable { case plain, cgroup, namespace }

    private static var homes: [Home] {
        Home.allCases.filter { home in
            switch home {
            case .plain: true
            case .cgroup: ShimFixture.cgroups != nil
            case .namespace: ShimFixture.isRoot
            }
        }
    }

    /// A shell that ends at SIGTERM, or when told by a file, and leaves a program that takes SIGTERM its own way. All of the program runs
    /// when `up` is there, and nothing else of it: what it forked later would be killed beside what was left, and a command that made the file
    /// could still be ending.
    private static func wrapper(onTerm: String) -> String {
        """
        trap 'exit 0' TERM
        sh -c '\(onTerm); sleep 1000 & : > $OUT/up; while :; do wait $!; sleep 1000 & done' &
        until read line < $OUT/leave; do :; done
        exit 3
        """
    }

    /// It writes down what it hears, and needs its time: the sleeper beneath it is told as well, and goes; the one that it forks to flush
    /// is its own business.
    private static let flushing = wrapper(onTerm: "trap \"echo TERM >> $OUT/heard; sleep 0.3 && echo flushed >> $OUT/heard; exit 0\" TERM")
    private static let deaf = wrapper(onTerm: "trap \"\" TERM")

    /// The wrapper waits at a pipe, so that its program is all that it leaves.
    private func launch(
        _ script: String, home: Home = .plain, signal: Int32 = SIGTERM, grace: Duration = .seconds(10), fence: Duration = .seconds(600)
    ) throws -> (directory: LaunchDirectory, connection: ShimConnection) {
        #expect(mkfifo("\(fixture.runDirectory)/leave", 0o600) == 0)
        let (directory, connection) = try fixture.spawn("feed", script) { configuration in
            configuration.treeSignal = signal
            configuration.treeGrace = grace
            configuration.fence = home == .namespace
            if home == .cgroup {
                configuration.cgroup = ShimFixture.cgroups?.directory(service: "feed", launch: "grace-\(getpid())-\(Clock.boottime().nanoseconds)")
            }
        }
        if home == .namespace {
            let now = Clock.boottime()
            try connection.send(.fence(id: "f", epoch: 1, soft: now + fence, hard: now + fence, signal: SIGTERM))
        }
        try connection.send(.go(id: "go"))
        try fixture.expect(connection, "running") { if case .running = $0 { true } else { false } }
        try fixture.expectFile("up")
        return (directory, connection)
    }

    private func tree(_ messages: [ShimMessage]) throws -> (left: Int, signal: Int32?, until: BootTime?) {
        try #require(messages.lazy.compactMap { if case .tree(let left, let signal, let until) = $0 { (left, signal, until) } else { nil } }.first)
    }

    /// The pipe stays open, for the wrapper may not have come to it yet: with nobody at it what was written is lost.
    private func leave() throws {
        let pipe = open("\(fixture.runDirectory)/leave", O_RDWR | O_CLOEXEC)
        #expect(pipe >= 0 && write(pipe, "\n", 1) == 1)
    }

    private func expectTree(_ connection: ShimConnection) throws -> [ShimMessage] {
        try fixture.expect(connection, "tree") { if case .tree = $0 { true } else { false } }
    }

    @Test("what a wrapper leaves at its stop is told the signal, has its time, and nothing is killed", arguments: homes)
    func flushes(home: Home) throws {
        let (directory, connection) = try launch(Self.flushing, home: home)
        try connection.send(.stop(id: "s", number: SIGTERM))
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.ok(id: "s", text: "signalled 15")) && messages.contains(.exited(signalled: false, code: 0, core: false)))
        let said = try tree(messages)
        #expect(said.left >= 1 && said.signal == SIGTERM && said.until == nil)
        #expect(try fixture.text("heard") == "TERM\nflushed\n", "once, and to the end")
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 0) && exit.treeEmpty && !exit.killed)
        #expect(exit.tree == TreeEnd(left: said.left), "\(String(describing: exit.tree))")
    }

    @Test("one that does not end is the asker's to kill, however long that takes, and counts as told", arguments: homes)
    func outlives(home: Home) throws {
        let (directory, connection) = try launch(Self.deaf, home: home, grace: .milliseconds(1))
        try connection.send(.stop(id: "s", number: SIGTERM))
        let said = try tree(expectTree(connection))
        #expect(said.until == nil)
        // Longer than an end of its own would have given it.
        poll(nil, 0, 100)
        #expect(try !fixture.left(of: directory).isEmpty)
        // Who comes later hears of it too.
        let late = try ShimConnection(to: directory)
        try late.send(.hello(version: ShimRequest.version))
        #expect(try tree(expectTree(late)).left == said.left)
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.tree == TreeEnd(left: said.left, killed: said.left, untold: 0))
        #expect(try fixture.left(of: directory).isEmpty)
    }

    @Test("after an end of its own what it leaves is told, and killed by the shim when its short grace is over", arguments: homes)
    func endsByItself(home: Home) throws {
        let (directory, connection) = try launch(Self.deaf, home: home, grace: .milliseconds(200))
        let left = Clock.boottime()
        try leave()
        let messages = try fixture.expectGone(connection)
        let said = try tree(messages)
        #expect(try #require(said.until) >= left + .milliseconds(200) && Clock.boottime() >= left + .milliseconds(200))
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 3) && exit.tree?.killed.map { $0 >= 1 } == true)
    }

    @Test("with tree: kill, or for an agent from before, it is killed at once, and the record says that nobody told it", arguments: homes)
    func killsAtOnce(home: Home) throws {
        let (directory, connection) = try launch(Self.flushing, home: home, signal: 0)
        try connection.send(.stop(id: "s", number: SIGTERM))
        let messages = try fixture.expectGone(connection)
        let said = try tree(messages)
        #expect(said.signal == nil)
        #expect(!Files.exists("\(fixture.runDirectory)/heard"))
        let end = try #require(try directory.exit?.tree)
        #expect(end.isDeclared && end.killed == end.untold && end.killed.map { $0 >= 1 } == true, "\(end)")
    }

    @Test("a kill with the main process alive counts what it takes along without a word", arguments: homes)
    func killed(home: Home) throws {
        let (directory, connection) = try launch(Self.flushing, home: home)
        try connection.send(.kill(id: "k", latch: nil))
        let messages = try fixture.expectGone(connection)
        #expect(!messages.contains { if case .tree = $0 { true } else { false } })
        let end = try #require(try directory.exit?.tree)
        #expect(end.killed == end.untold && end.killed.map { $0 >= 1 } == true && end.left == 0, "\(end)")
    }

    @Test("an emergency stop waits for no count where counting takes time, and counts what it reaps elsewhere", arguments: homes)
    func emergency(home: Home) throws {
        let (directory, connection) = try launch(Self.flushing, home: home)
        try connection.send(.kill(id: "k", latch: "l1"))
        try fixture.expectGone(connection)
        let end = try #require(try directory.exit?.tree)
        #expect((end.killed == nil) == (home == .namespace), "\(end)")
        #expect(end.words.isEmpty == false)
    }

    @Test("a stop that is called off leaves a later end of its own what it would have been")
    func calledOff() throws {
        // Its shell takes the signal and goes on.
        let (directory, connection) = try launch(Self.deaf.replacing("trap 'exit 0' TERM", with: "trap : TERM"), grace: .milliseconds(50))
        try connection.send(.stop(id: "s", number: SIGTERM), .stop(id: "off", number: 0))
        try fixture.expect(connection, "an answer") { $0 == .ok(id: "off", text: "signalled 0") }
        try leave()
        let messages = try fixture.expectGone(connection)
        #expect(try tree(messages).until != nil)
        #expect(try directory.exit?.how == .exited(code: 3))
    }

    @Test("a stop that comes while a tree has its short grace makes the end of that the asker's")
    func stopAfterTheEnd() throws {
        let (directory, connection) = try launch(Self.deaf, grace: .seconds(3_600))
        try leave()
        try _ = expectTree(connection)
        try connection.send(.stop(id: "s", number: SIGTERM))
        try fixture.expect(connection, "an answer") { $0 == .ok(id: "s", text: "signalled 15") }
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.treeEmpty == true)
    }

    @Test("of hundreds of processes every one is told before the end is the asker's")
    func hundreds() throws {
        let many = "trap \"\" TERM; for i in 1 2 3 4 5 6 7 8 9 10; do for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 & done; done"
        let (directory, connection) = try launch(Self.wrapper(onTerm: many))
        try connection.send(.stop(id: "s", number: SIGTERM))
        let left = try tree(expectTree(connection)).left
        #expect(left >= 201)
        // Its rounds of telling are over when a third answer comes.
        for id in ["a", "b", "c"] {
            try connection.send(.signal(id: id, number: SIGCONT))
            try fixture.expect(connection, "an answer") { if case .error(id, "not-running", _) = $0 { true } else { false } }
        }
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
        let tree = try #require(try directory.exit?.tree)
        #expect(tree == TreeEnd(left: left, killed: left, untold: 0), "left \(left): \(tree)")
    }

    @Test("a grace, ordered or not, ends before the fence's hard deadline, and what it kills is counted", .enabled(if: ShimFixture.isRoot))
    func beforeTheFence() throws {
        let (directory, connection) = try launch(Self.deaf, home: .namespace, fence: .seconds(2))
        try connection.send(.stop(id: "s", number: SIGTERM))
        let left = try tree(expectTree(connection)).left
        try fixture.expectGone(connection)
        #expect(try directory.exit?.tree == TreeEnd(left: left, killed: left, untold: 0))
        #expect(try !directory.wasFencedHard)
    }

    @Test("requests that make no sense are refused, and the worker lives", arguments: ["stop s 65", "stop s 9", "stop s x", "stop s", "stop s 15 15"])
    func nonsense(line: String) throws {
        let (directory, connection) = try launch(Self.deaf)
        try connection.send(bytes: Array(line.utf8) + [10])
        try fixture.expect(connection, "a refusal") { if case .error(_, "bad-request", _) = $0 { true } else { false } }
        #expect(try #require(try directory.worker).isAlive())
    }
}
