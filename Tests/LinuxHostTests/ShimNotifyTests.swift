import FleetCore
import Glibc
import LinuxHost
import Testing

/// The notify protocol beyond READY and STATUS (sd_notify(3)).
@Suite(.serialized) struct ShimNotifyTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    private static func values(_ messages: [ShimMessage], of key: String) -> [String] {
        messages.compactMap { if case .notify(key, let value) = $0 { value } else { nil } }
    }

    @Test("a daemon that names another main process is followed: its signals, its exit status, its end")
    func mainPID() throws {
        let script =
            ShimProtocolTests.notify + """
                sh -c 'trap "exit 7" TERM; touch $OUT/up; while :; do sleep 0.01; done' & pid=$!
                while [ ! -e $OUT/begin ]; do sleep 0.01; done
                notify MAINPID=99999999 MAINPID=x MAINPID=$$ "MAINPID=$pid" READY=1; exit 3
                """
        let (directory, connection, first) = try fixture.launch("feed", script)
        try Files.writeAtomically("\(fixture.runDirectory)/begin", [], sync: false)
        let changed = try fixture.expect(connection, "mainpid") { if case .mainPID = $0 { true } else { false } }
        guard case .mainPID(let pid, let start) = changed.last else { return }
        #expect(pid != first.pid)
        let new = try #require(try directory.worker)
        #expect(new.pid == pid && new.startTime == start)
        try fixture.expectFile("up")
        try fixture.expectSoon("the first one's end") { try !first.isAlive() }
        let late = try ShimConnection(to: directory)
        try late.send(.hello(version: ShimRequest.version))
        let heard = try fixture.expect(late, "running") { if case .running = $0 { true } else { false } }
        #expect(heard.contains(.running(pid: pid, startTime: start)))
        try connection.send(.signal(id: "t", number: SIGTERM))
        let messages = try fixture.expectGone(connection)
        #expect(messages.contains(.exited(signalled: false, code: 7, core: false)))
        let exit = try #require(try directory.exit)
        #expect(exit.how == .exited(code: 7) && exit.worker == new && exit.usage != nil)
    }

    @Test("a main process that is another's child ends the launch when it ends, its status as far as the kernel tells")
    func mainPIDOfAnother() throws {
        // The parent lives on, and in the second case has reaped it before anybody can look.
        for (name, wait) in [("zombie", "sleep 1000"), ("reaped", "wait; sleep 1000")] {
            let script =
                ShimProtocolTests.notify + """
                    sh -c 'while [ ! -e $OUT/end-\(name) ]; do sleep 0.01; done; exit 9' & pid=$!
                    while [ ! -e $OUT/begin-\(name) ]; do sleep 0.01; done; notify "MAINPID=$pid"; \(wait)
                    """
            let (directory, connection, _) = try fixture.launch(name, script)
            try Files.writeAtomically("\(fixture.runDirectory)/begin-\(name)", [], sync: false)
            try fixture.expect(connection, "mainpid") { if case .mainPID = $0 { true } else { false } }
            try Files.writeAtomically("\(fixture.runDirectory)/end-\(name)", [], sync: false)
            let messages = try fixture.expectGone(connection)
            let exit = try #require(try directory.exit)
            if exit.how == .unknown {
                #expect(name == "reaped" && messages.contains(.exitedUnknown) && exit.usage == nil)
            } else {
                #expect(exit.how == .exited(code: 9))
                #expect(messages.contains(.exited(signalled: false, code: 9, core: false)))
            }
            #expect(try fixture.left(of: directory).isEmpty)
        }
    }

    @Test("MAINPID of a process outside the tree is not believed")
    func mainPIDForeign() throws {
        let (directory, connection, worker) = try fixture.launch(
            "feed", ShimProtocolTests.notify + "notify MAINPID=\(getpid()) MAINPID=1 READY=1; exec sleep 1000")
        let messages = try fixture.expect(connection, "READY") { $0 == .notify(key: "READY", value: "1") }
        #expect(!messages.contains { if case .mainPID = $0 { true } else { false } })
        try connection.send(.signal(id: "t", number: SIGTERM))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.worker == worker)
    }

    @Test("the watchdog's clock runs in the shim: late once, back once, and no line for a healthy worker")
    func watchdog() throws {
        let script =
            ShimProtocolTests.notify + """
                [ "$WATCHDOG_USEC" = 900000 ] && [ "$WATCHDOG_PID" = $$ ] || exit 9
                notify READY=1; for i in 1 2 3 4 5 6; do notify WATCHDOG=1; sleep 0.02; done
                while [ ! -e $OUT/feed ]; do sleep 0.01; done
                notify WATCHDOG=1; notify WATCHDOG=trigger; notify WATCHDOG_USEC=0; touch $OUT/off; read line
                exec sleep 1000
                """
        let (directory, connection, _) = try fixture.launch("feed", script) { $0.watchdog = .milliseconds(900) }
        let late = try fixture.expect(connection, "watchdog late") { $0 == .watchdog(late: true) }
        #expect(Self.values(late, of: "WATCHDOG").isEmpty)
        let other = try ShimConnection(to: directory)
        try other.send(.hello(version: ShimRequest.version))
        try fixture.expect(other, "watchdog late for who comes later") { $0 == .watchdog(late: true) }
        try Files.writeAtomically("\(fixture.runDirectory)/feed", [], sync: false)
        let back = try fixture.expect(connection, "the period") { if case .notify("WATCHDOG_USEC", "0") = $0 { true } else { false } }
        #expect(back.contains(.watchdog(late: false)))
        #expect(Self.values(back, of: "WATCHDOG") == ["trigger"])
        #expect(!back.contains(.watchdog(late: true)))
    }

    @Test("a barrier is answered once all before it was taken, and descriptors are refused", .enabled(if: Files.isExecutable("/usr/bin/systemd-notify")))
    func barrier() throws {
        // systemd-notify waits five seconds for its barrier and fails without an answer.
        let (_, connection, worker) = try fixture.launch(
            "feed", "systemd-notify --ready --status='all is well' && systemd-notify X_SENT=3 && touch $OUT/answered; exec sleep 1000")
        let messages = try fixture.expect(connection, "X_SENT") { $0 == .notify(key: "X_SENT", value: "3") }
        #expect(messages.contains(.notify(key: "READY", value: "1")) && messages.contains(.notify(key: "STATUS", value: "all is well")))
        try fixture.expectFile("answered")
        #expect(try worker.isAlive())
    }

    @Test("descriptors to store are refused in one line, and the shim holds none of them")
    func fileDescriptorStore() throws {
        // perl has no sendmsg; systemd-notify and python are not everywhere: a C compiler's work by hand, struct msghdr packed.
        let script = #"""
            exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
            $a = pack_sockaddr_un($n); connect(S, $a) or die; pipe(R, W); fcntl(R, 2, 0);
            select(undef, undef, undef, 0.01) until -e "$ENV{OUT}/begin";
            for (1..20) { $t = "FDSTORE=1\nFDNAME=x"; $iov = pack("PQ", $t, length $t);
              $c = pack("Q l l l l", 20, 1, 1, fileno(R), 0);
              $m = pack("Q L x4 P Q P Q l x4", 0, 0, $iov, 1, $c, 24, 0);
              syscall(46, fileno(S), $m, 0) >= 0 or die "sendmsg $!"; }
            $t = "READY=1"; send(S, $t, 0) or die; sleep 1000'
            """#
        let (directory, connection, _) = try fixture.launch("feed", script)
        // What is said while it is launched is read there.
        try Files.writeAtomically("\(fixture.runDirectory)/begin", [], sync: false)
        let messages = try fixture.expect(connection, "READY") { $0 == .notify(key: "READY", value: "1") }
        #expect(Self.values(messages, of: "FDSTORE") == ["refused"])
        #expect(Self.values(messages, of: "FDNAME").isEmpty)
        let shim = try #require(try directory.identity)
        #expect(try Files.list("/proc/\(shim.pid)/fd").count < 16)
    }

    @Test("a reload is said with its time, and ends with READY")
    func reloading() throws {
        let (directory, connection, _) = try fixture.launch(
            "feed", ShimProtocolTests.notify + "notify READY=1; notify 'RELOADING=1\nMONOTONIC_USEC=123'; notify READY=1 ERRNO=5; exec sleep 1000")
        let messages = try fixture.expect(connection, "ERRNO") { $0 == .notify(key: "ERRNO", value: "5") }
        #expect(Self.values(messages, of: "RELOADING") == ["1", "0"])
        #expect(Self.values(messages, of: "MONOTONIC_USEC") == ["123"])
        try connection.send(.kill(id: "k", latch: nil))
        try fixture.expectGone(connection)
        #expect(try directory.exit?.notified["RELOADING"] == "0")
    }

    @Test("ten thousand datagrams wake a client a few times only, block nobody for long and lose no last value")
    func flood() throws {
        let script = #"""
            exec perl -MSocket -MTime::HiRes=time -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
            $a = pack_sockaddr_un($n); $begun = time; $longest = 0;
            for (1..10000) { $t = time; send(S, "X_SENT=$_\nSTATUS=at $_", 0, $a) or die; $t = time - $t; $longest = $t if $t > $longest }
            send(S, "X_QUIESCED=1\nX_LONGEST_MS=" . int(1000 * $longest), 0, $a); exit 0'
            """#
        let (directory, connection) = try fixture.spawn("feed", script)
        try connection.send(.go(id: "g"))
        let begun = Clock.boottime()
        let messages = try fixture.expectGone(connection)
        let tenths = Int((Clock.boottime() - begun).nanoseconds / 100_000_000)
        // At once, then one in each tenth of a second, and the last.
        #expect(Self.values(messages, of: "X_SENT").count <= tenths + 3)
        #expect(Self.values(messages, of: "X_SENT").last == "10000")
        #expect(Self.values(messages, of: "X_QUIESCED") == ["1"])
        #expect(try directory.exit?.notified["STATUS"] == "at 10000")
        #expect(try #require(Int(directory.exit?.notified["X_LONGEST_MS"] ?? "")) < 1_000)
    }

    @Test("a value of the longest line is taken, a longer datagram's cut tail is not")
    func longLines() throws {
        let script = #"""
            exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\0/;
            $a = pack_sockaddr_un($n); send(S, "X_A=" . ("a" x 4092), 0, $a); send(S, "X_B=1\nX_C=" . ("c" x 8000), 0, $a);
            send(S, "X_D=\0\nX_E=1", 0, $a); send(S, "\xff\xfe=1", 0, $a); send(S, "", 0, $a); send(S, "X_" . ("F" x 60) . "=1", 0, $a); exit 0'
            """#
        let (directory, connection) = try fixture.spawn("feed", script)
        try connection.send(.go(id: "g"))
        try fixture.expectGone(connection)
        let notified = try #require(try directory.exit?.notified)
        #expect(notified == ["X_A": String(repeating: "a", count: 512), "X_B": "1"])
    }
}
