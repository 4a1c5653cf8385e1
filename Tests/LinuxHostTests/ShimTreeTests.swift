import FleetCore
import Glibc
import LinuxHost
import Testing

/// A launch in a cgroup of its own, and the processes that try to get away.
@Suite(.serialized, .enabled(if: ShimFixture.cgroups != nil)) struct ShimTreeTests {
    let fixture: ShimFixture
    let place: Cgroup.Place

    init() throws {
        fixture = try ShimFixture()
        place = try #require(ShimFixture.cgroups)
    }

    private func cgroup(_ service: String) -> String {
        place.directory(service: "test-\(service)", launch: "\(getpid())-\(fixture.runDirectory.utf8.suffix(6).map { "\($0)" }.joined())")
    }

    /// Forks twice, leaves session, group and standard streams, and lives on.
    static let daemon = "(setsid sh -c '(exec sleep 1000) <&- >&- 2>&- & wait' <&- >&- 2>&- &) ; "

    @Test("a launch starts in its fresh cgroup, which knows every process, and is removed at its end")
    func fresh() throws {
        let path = cgroup("fresh")
        let (directory, connection, worker) = try fixture.launch("feed", Self.daemon + "touch $OUT/up; read line < $OUT/fifo; exit 5") {
            $0.cgroup = path
            $0.env["PATH"] = "/usr/bin:/bin"
            mkfifo("\(fixture.runDirectory)/fifo", 0o600)
        }
        try fixture.expectFile("up")
        #expect(try directory.cgroup == path)
        #expect(try Cgroup.processes(path).contains(worker))
        #expect(try !Cgroup.processes(path).contains(#require(try directory.identity)))
        #expect(try !Cgroup.isEmpty(path))
        try fixture.expectSoon("the daemon's own processes") { try Cgroup.processes(path).count >= 3 }
        let fifo = open("\(fixture.runDirectory)/fifo", O_WRONLY)
        close(fifo)
        try fixture.expectGone(connection)
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 5) && exit.treeEmpty && exit.cgroup == path)
        #expect(!Files.isDirectory(path))
        #expect(try fixture.left(of: directory).isEmpty)
    }

    @Test("a double-forked daemon is killed through the cgroup, also frozen, also with cgroups of its own below")
    func killed() throws {
        let path = cgroup("killed")
        let (directory, connection, _) = try fixture.launch(
            "feed",
            Self.daemon
                + "mkdir -p $CGROUP/inner/most; sleep 1000 & echo $! > $CGROUP/inner/most/cgroup.procs; touch $OUT/up; trap '' TERM; while :; do sleep 1; done"
        ) {
            $0.cgroup = path
            $0.env["CGROUP"] = path
        }
        try fixture.expectFile("up")
        try fixture.expectSoon("one moved below") { try Cgroup.processes("\(path)/inner/most").count == 1 }
        try write("1", to: "\(path)/cgroup.freeze")
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.how == .signalled(number: SIGKILL, core: false))
        #expect(try fixture.left(of: directory).isEmpty)
        #expect(!Files.isDirectory(path))
    }

    @Test("a process that was moved out of the cgroup is found all the same", .enabled(if: geteuid() == 0))
    func movedOut() throws {
        let path = cgroup("moved")
        let (directory, connection, _) = try fixture.launch(
            "feed", "(setsid sleep 1000 & echo $! > $OUT/pid; echo $! > $TOP/cgroup.procs); touch $OUT/up; while [ ! -e $OUT/leave ]; do sleep 0.01; done"
        ) {
            $0.cgroup = path
            $0.env["TOP"] = place.path
        }
        try fixture.expectFile("up")
        let stray = try #require(Int32(try fixture.text("pid").dropLast()))
        let identity = try ProcessIdentity.read(pid: stray)
        #expect(try !Cgroup.processes(path).contains(identity))
        #expect(try Processes.holding(slot: directory.slot).contains(identity))
        try Files.writeAtomically("\(fixture.runDirectory)/leave", [], sync: false)
        try fixture.expectGone(connection)
        #expect(try !identity.isAlive())
        #expect(!Files.isDirectory(path))
    }

    @Test("a cgroup that is gone was empty where its filesystem is mounted, and is unknown where it is not")
    func unmounted() throws {
        let gone = place.directory(service: "gone", launch: "0000000000000000")
        #expect(try Cgroup.isEmpty(gone) && Cgroup.processes(gone).isEmpty)
        let nowhere = "/tmp/no-cgroups/gone.0000000000000000"
        #expect(throws: LinuxError.self) { try Cgroup.isEmpty(nowhere) }
        #expect(throws: LinuxError.self) { try Cgroup.processes(nowhere) }
    }

    @Test("a cgroup that is there already is never reused")
    func used() throws {
        let path = cgroup("used")
        #expect(mkdir(path, 0o755) == 0)
        defer { rmdir(path) }
        let (directory, connection) = try fixture.spawn("feed", "exit 0") { $0.cgroup = path }
        try connection.send(.go(id: "g"))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.how == .failed(errno: EEXIST, step: "cgroup"))
        #expect(Files.isDirectory(path))
    }

    @Test("with the shim killed a local emergency stop empties the cgroup, whatever its processes have closed")
    func emergency() throws {
        let path = cgroup("emergency")
        let (directory, _, worker) = try fixture.launch(
            "feed", "setsid perl -MPOSIX -e 'POSIX::close($_) for 0..200; sleep 1000' & touch $OUT/up; exec sleep 1000"
        ) { $0.cgroup = path }
        try fixture.expectFile("up")
        try fixture.expectSoon("its descriptors closed") { try Processes.holding(slot: directory.slot) == [worker] }
        let shim = try PIDFD(opening: #require(try directory.identity))
        try shim.signal(SIGKILL)
        #expect(try shim.isGone(within: ShimFixture.patience))
        let report = LocalEmergencyStop.run(
            runDirectory: fixture.runDirectory, stateDirectory: nil, latch: LatchFile(id: "e1", by: "t", reason: "r", unixMicroseconds: 1))
        #expect(report.everythingGone)
        #expect(try Cgroup.isEmpty(path))
        try directory.remove()
        #expect(!Files.isDirectory(path))
    }

    @Test("who only looks at a slot's lock holds nothing of it")
    func lookers() throws {
        let (directory, _, worker) = try fixture.launch("feed", "exec sleep 1000")
        #expect(try Processes.holding(slot: directory.slot) == [worker])
        #expect(try Processes.holding(slot: "\(fixture.runDirectory)/none") == [])
    }

    private func write(_ text: String, to path: String) throws {
        let descriptor = open(path, O_WRONLY)
        defer { close(descriptor) }
        try #require(descriptor >= 0 && Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count, "\(path)")
    }
}
