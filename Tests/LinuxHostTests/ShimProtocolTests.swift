import CLinux
import FleetCore
import Glibc
import LinuxHost
import Testing

/// What clients and workers may throw at a shim.
@Suite(.serialized) struct ShimProtocolTests {
    let fixture: ShimFixture

    init() throws { fixture = try ShimFixture() }

    /// Sends one datagram for each argument to NOTIFY_SOCKET; perl is in every Debian's base system.
    static let notify = """
        notify() { perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) or die $!; ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/; \
        for (@ARGV) { send(S, $_, 0, pack_sockaddr_un($n)) or die $! }' -- "$@"; }

        """

    @Test("garbage costs its sender an answer or its connection, and nobody else anything")
    func garbage() throws {
        let (directory, connection, worker) = try fixture.launch("feed", "exec sleep 1000")
        for line in [
            "", " ", "hello", "hello 4", "hello 0", "hello 1 2", "stop a", "stop a 65", "stop b nine", "go", "go a b", "kill", "signal a", "signal a 0",
            "signal a 65", "signal b nine",
            "signal c -9", "signal d 99999999999999999999", "go \u{1}", "kill x y z", String(repeating: "a", count: 4_000),
            String(repeating: "b", count: 4_095), "kill\u{0}a",
            "signal \(String(repeating: "i", count: 65)) 9", "kill k \(String(repeating: "l", count: 129))", "\u{ff}\u{fe}",
        ] {
            let client = try ShimConnection(to: directory)
            try client.send(bytes: Array(line.utf8) + [10])
            try fixture.expect(client, "a refusal of \(line.debugDescription)") { if case .error = $0 { true } else { false } }
        }
        let client = try ShimConnection(to: directory)
        do throws(LinuxError) {
            for _ in 0..<100 { try client.send(bytes: [UInt8](repeating: 120, count: 1_000)) }
        } catch  where [EAGAIN, EPIPE, ECONNRESET].contains(error.errno) {
            // It was cut off in the middle, or its buffer is full: either way it is no longer waited for.
        } catch { throw error }
        #expect(try client.messages(until: { _ in false }, within: ShimFixture.patience) == nil)
        #expect(client.ended)
        // Half a line and silence, from as many as there is room for, keep nobody out.
        let silent = try (0..<8).map { _ in
            let client = try ShimConnection(to: directory)
            try client.send(bytes: Array("kil".utf8))
            return client
        }
        let late = try ShimConnection(to: directory)
        try late.send(.hello(version: ShimRequest.version))
        try fixture.expect(late, "running") { if case .running = $0 { true } else { false } }
        #expect(try worker.isAlive())
        withExtendedLifetime((connection, silent)) {}
    }

    @Test("a request in pieces is understood")
    func pieces() throws {
        let (_, connection, _) = try fixture.launch("feed", "exec sleep 1000")
        for byte in Array("signal slow 18\nsignal".utf8) { try connection.send(bytes: [byte]) }
        try fixture.expect(connection, "ok slow") { $0 == .ok(id: "slow", text: "signalled 18") }
        try connection.send(bytes: Array(" next 18\n".utf8))
        try fixture.expect(connection, "ok next") { $0 == .ok(id: "next", text: "signalled 18") }
    }

    @Test("notifications are forwarded, their last values kept in the exit record, the worker's last words included")
    func notifications() throws {
        let script =
            Self.notify + """
                until [ -e $OUT/begin ]; do sleep 0.01; done
                notify 'READY=1
                STATUS=100% there' X_PRODUCED=1 X_PRODUCED=2 EXTEND_TIMEOUT_USEC=5000000 MAINPID=1 BARRIER=1 FDNAME=x FDPOLL=0 'bad key=1' STOPPING=1
                exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/; \
                send(S, "X_PRODUCED=1234567", 0, pack_sockaddr_un($n)); exit 0'
                """
        let (directory, connection, _) = try fixture.launch("feed", script)
        try Files.writeAtomically("\(fixture.runDirectory)/begin", [], sync: false)
        let messages = try fixture.expectGone(connection)
        let said = messages.compactMap { if case .notify(let key, let value) = $0 { "\(key)=\(value)" } else { nil } }
        // A counter's second value within 100 ms is held back, and overtaken by the last one. PID 1 is none of the tree.
        #expect(
            said == [
                "READY=1", "STATUS=100% there", "X_PRODUCED=1", "EXTEND_TIMEOUT_USEC=5000000", "STOPPING=1", "X_PRODUCED=1234567",
            ])
        let exit = try #require(try directory.exit)
        #expect(exit.saidReady && exit.saidStopping)
        #expect(
            exit.notified == [
                "READY": "1", "STATUS": "100% there", "X_PRODUCED": "1234567", "EXTEND_TIMEOUT_USEC": "5000000", "STOPPING": "1",
            ])
    }

    @Test("a client that comes later hears the last value of every key")
    func replay() throws {
        let (directory, connection, _) = try fixture.launch(
            "feed", Self.notify + "notify READY=1 X_SENT=1 X_SENT=2; touch $OUT/up; exec sleep 1000")
        try fixture.expect(connection, "X_SENT=2") { $0 == .notify(key: "X_SENT", value: "2") }
        let late = try ShimConnection(to: directory)
        try late.send(.hello(version: ShimRequest.version))
        let heard = try fixture.expect(late, "X_SENT") { if case .notify("X_SENT", _) = $0 { true } else { false } }
        #expect(heard.suffix(2) == [.notify(key: "READY", value: "1"), .notify(key: "X_SENT", value: "2")])
    }

    @Test("a process outside the worker's tree can't notify for it")
    func foreignSender() throws {
        let (directory, connection, _) = try fixture.launch("feed", "exec sleep 1000")
        let shim = try #require(try directory.identity)
        let name = Array("trading/\(directory.launch)/\(shim.pid)".utf8)
        let sender = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(sender) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            for (index, byte) in name.enumerated() { path[index + 1] = byte }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.count)
        let sent = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(sender, "READY=1", 7, 0, $0, length) }
        }
        #expect(sent == 7)
        try connection.send(.kill(id: "k", latch: nil))
        let messages = try fixture.expectGone(connection)
        #expect(!messages.contains { if case .notify = $0 { true } else { false } })
        #expect(try directory.exit?.notified == [:])
    }

    @Test("a client that doesn't read is cut off, and neither worker nor shim waits for it")
    func slowClient() throws {
        // More than any socket buffer holds, with blocking sends.
        let script = """
            exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/; \
            for (1..5000) { send(S, "X_COUNT=$_\\nERRNO=$_" . ("s" x 400), 0, pack_sockaddr_un($n)) or die } exit 0'
            """
        let (directory, slow) = try fixture.spawn("feed", script)
        let other = try ShimConnection(to: directory)
        try other.send(.go(id: "g"))
        try fixture.expect(other, "ok") { if case .ok("g", _) = $0 { true } else { false } }
        let deadline = Clock.boottime() + ShimFixture.patience
        while try directory.exit == nil, Clock.boottime() < deadline { poll(nil, 0, 2) }
        #expect(try directory.exit?.how == .exited(code: 0))
        #expect(try directory.exit?.notified["X_COUNT"] == "5000")
        #expect(try slow.messages(until: { $0 == .gone }, within: ShimFixture.patience) == nil)
        #expect(slow.ended)
    }

    @Test("a flood of keys is bounded and loses no early counter")
    func manyKeys() throws {
        let script = """
            exec perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0); ($n = $ENV{NOTIFY_SOCKET}) =~ s/^@/\\0/; \
            for (0..999) { send(S, "X_K$_=" . ("v" x 3000) . "\\nX_FIRST=$_", 0, pack_sockaddr_un($n)) or die } exit 0'
            """
        let (directory, connection) = try fixture.spawn("feed", script)
        try connection.send(.go(id: "g"))
        let deadline = Clock.boottime() + ShimFixture.patience
        while try directory.exit == nil, Clock.boottime() < deadline { poll(nil, 0, 2) }
        let exit = try #require(try directory.exit)
        #expect(exit.notified.count == 64)
        #expect(exit.notified["X_FIRST"] == "999")
        #expect(exit.notified["X_K0"]?.utf8.count == 512)
    }

    @Test("lines that no shim sends are no messages")
    func parsing() {
        #expect(ShimMessage.parse("running 12 345") == .running(pid: 12, startTime: 345))
        #expect(ShimMessage.parse("notify STATUS=a%0Ab%25 c%zz%4") == .notify(key: "STATUS", value: "a\nb% c%zz%4"))
        #expect(ShimMessage.parse("notify A=") == .notify(key: "A", value: ""))
        #expect(ShimMessage.parse("err - bad-request some words") == .error(id: "-", slug: "bad-request", text: "some words"))
        #expect(ShimMessage.parse("exited signal 9 1") == .exited(signalled: true, code: 9, core: true))
        for line in [
            "", "x", "running", "running 0 1", "running 1", "running 1 2 3", "exited exit 1", "exited stop 1 0", "notify", "notify =1",
            "notify A", "gone now", "shim 1 l nowhere", "shim x l waiting", "failed x y", "ok", "err a",
        ] {
            #expect(ShimMessage.parse(line) == nil, "\(line)")
        }
    }
}
