import FleetCore
import Foundation
import Glibc
import LinuxHost
import Testing

@testable import LinuxHost

/// The kernel's tables of sockets, parsed, and real sockets in them.
@Suite(.serialized) struct ProcessSocketsTests {
    @Test("addresses as the kernel writes them, IPv4 and IPv6")
    func addresses() {
        #expect(SocketTuple.address("0100007F:1F90") == "127.0.0.1:8080")
        #expect(SocketTuple.address("00000000:0000") == "0.0.0.0:0")
        #expect(SocketTuple.address("2100140A:01BB") == "10.20.0.33:443")
        #expect(SocketTuple.address("00000000000000000000000001000000:0016") == "[::1]:22")
        #expect(SocketTuple.address("00000000000000000000000000000000:0000") == "[::]:0")
        #expect(SocketTuple.address("0000000000000000FFFF00000100007F:0050") == "[::ffff:127.0.0.1]:80")
        // 2001:db8:0:1::a:b and fe80::1:0:0:1 (the first of two equal runs is left out)
        #expect(SocketTuple.address("B80D0120010000000000000B0B000A00:0001") != nil)
        #expect(SocketTuple.address("B80D01200100000000000000" + "0B000A00" + ":0001") == "[2001:db8:0:1:0:0:a:b]:1".replacing(":0:0:a", with: "::a"))
        #expect(SocketTuple.address("000080FE" + "00000100" + "00000000" + "01000000" + ":FFFF") == "[fe80:0:1::1]:65535")
        for broken in ["", "0100007F", "0100007F:", "0100007F:1F9", "0100007:1F90", "0100007G:1F90", "01:02:03"] {
            #expect(SocketTuple.address(broken) == nil, "\(broken)")
        }
    }

    @Test("a table with every state; one that isn't a table is refused whole")
    func table() throws {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        let lines = (1...12).map { state in
            let hex = String(state, radix: 16, uppercase: true)
            return
                "   \(state): 0100007F:1F90 0200007F:C350 0\(hex) 00000000:00000000 00:00000000 00000000  1000        0 \(7_000 + state) 1 0000000000000000 20 4 30 10 -1\n"
        }
        let rows = try #require(SocketTuple.parse(header + lines.joined(), .tcp))
        #expect(rows.count == 12 && rows.map(\.state.rawValue) == Array(1...12) && rows[9].isListening)
        #expect(rows[0].words == "tcp 127.0.0.1:8080 -> 127.0.0.2:50000 ESTAB" && rows[9].words == "tcp 127.0.0.1:8080 LISTEN")
        #expect(rows[0].inode == 7_001)
        #expect(SocketTuple.parse(header, .tcp) == [] && SocketTuple.parse("", .tcp) == nil && SocketTuple.parse(header + "1: 2\n", .tcp) == nil)
        #expect(SocketTuple.parse(header + lines[0].replacing(" 01 ", with: " 0D "), .tcp) == nil, "a state from another kernel")
    }

    @Test("TIME-WAIT is left out of a table before it is parsed, and nothing else; a torn table stays torn")
    func timeWait() throws {
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        func line(_ number: Int, _ state: String, six: Bool = false) -> String {
            let (local, remote) =
                six
                ? ("00000000000000000000000001000000:0016", "00000000000000000000000001000000:0606") : ("0606060A:0606", "0606060A:0606")
            return "\(number): \(local) \(remote) \(state) 00000000:00000000 06:00000000 00000000  1000        0 \(number) 1 0\n"
        }
        func filtered(_ text: String) -> String { String(decoding: SocketTuple.withoutTimeWait(Array(text.utf8)), as: UTF8.self) }
        let others = (1...12).filter { $0 != 6 }.map { line($0, String(format: "%02X", $0)) } + [line(123_456, "01", six: true)]
        let all = [header, line(60, "06")] + others.flatMap { [$0, line(61, "06", six: $0.count > 110)] }
        #expect(filtered(all.joined()) == header + others.joined())
        for whole in ["", header, header + line(1, "01"), "x", "\n\n", "1:", "1: A B", "1: A B 0"] { #expect(filtered(whole) == whole) }
        #expect(filtered(header + line(1, "06").dropLast()) == header)
    }

    @Test("left are those of the same inode, and nobody's of the same addresses; TIME-WAIT and another's are not")
    func left() {
        func row(_ inode: UInt64, _ state: SocketTuple.State, _ remote: String = "b:2", _ transport: SocketTuple.Transport = .tcp) -> SocketTuple {
            SocketTuple(transport, local: "a:1", remote: remote, inode: inode, state: state)
        }
        let before = [row(7, .established), row(8, .listening, "*:0")]
        #expect(ProcessSockets.stillListed(before, in: [row(7, .closeWait)]) == [row(7, .closeWait)])
        #expect(ProcessSockets.stillListed(before, in: [row(0, .finWait1)]) == [row(0, .finWait1)])
        #expect(
            ProcessSockets.stillListed(
                before, in: [row(0, .timeWait), row(9, .established), row(9, .listening, "*:0"), row(0, .finWait1, "c:3"), row(0, .lastAck, "b:2", .tcp6)])
                == [])
        #expect(ProcessSockets.stillListed([], in: [row(0, .established)]) == [])
        #expect(row(0, .finWait2).isSettled && !row(0, .finWait1).isSettled && !row(7, .finWait2).isSettled)
    }

    @Test("sockets of this process: listening, connected, UDP, IPv6; closed ones are gone")
    func own() throws {
        let listener = try Loopback.listener()
        let six = try? Loopback.listener(ipv6: true)
        let udp = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        try Loopback.bind(udp)
        let client = try Loopback.connect(to: listener.port)
        let accepted = accept(listener.descriptor, nil, nil)
        let capture = ProcessSockets.capture([getpid()])
        #expect(capture.problems == [])
        let mine = capture.tuples.filter { $0.local.hasSuffix(":\(listener.port)") || $0.remote.hasSuffix(":\(listener.port)") }
        #expect(mine.map(\.state.description).sorted() == ["ESTAB", "ESTAB", "LISTEN"])
        #expect(capture.tuples.contains { $0.transport == .udp && $0.local.hasPrefix("127.0.0.1:") && $0.state == .closed && $0.isListening })
        if let six { #expect(capture.tuples.contains { $0.transport == .tcp6 && $0.local == "[::1]:\(six.port)" && $0.remote == "[::]:0" }) }
        #expect(try ProcessSockets.stillListed(mine).count == 3)
        // The cheap way says the same.
        let sockets = try OpenFiles.read(pid: getpid(), limit: 0)
        #expect(sockets.tcpInodes == Set(capture.tuples.filter { $0.transport == .tcp || $0.transport == .tcp6 }.map(\.inode)))
        #expect(sockets.socketInodes == Set(capture.tuples.map(\.inode)))
        let connected = capture.tuples.filter { $0.state == .established && ($0.transport == .tcp || $0.transport == .tcp6) }
        #expect(try sockets.tcpInodes.subtracting(ProcessSockets.listening()) == Set(connected.map(\.inode)))
        // The end that closes first waits its time, and that is nobody's any more.
        close(client)
        close(accepted)
        #expect(try eventually { try ProcessSockets.stillListed(mine).map(\.state) == [.listening] })
        close(listener.descriptor)
        #expect(try eventually { try ProcessSockets.stillListed(mine).isEmpty })
        close(udp)
        if let six { close(six.descriptor) }
        let open = try OpenFiles.read(pid: getpid(), limit: 2)
        #expect(open.targets.count == 2 && open.count >= 3)
        #expect(try OpenFiles.count(pid: getpid()) >= open.count)
    }

    @Test("a killed process's connection: unsent bytes keep it, an acknowledged end is settled")
    func orphans() throws {
        let listener = try Loopback.listener()
        let script = """
            use Socket; $|=1; socket(S, AF_INET, SOCK_STREAM, 0); connect(S, sockaddr_in(\(listener.port), inet_aton("127.0.0.1"))) or die;
            if (shift) { use Fcntl; fcntl(S, F_SETFL, O_NONBLOCK); 1 while syswrite(S, "x" x 65536); }
            print "up\\n"; <STDIN>;
            """
        let full = try Spawned(["perl", "-e", script, "1"])
        #expect(try full.line() == "up")
        let held = accept(listener.descriptor, nil, nil)
        _ = fcntl(held, F_SETFD, FD_CLOEXEC)
        let quiet = try Spawned(["perl", "-e", script, "0"])
        #expect(try quiet.line() == "up")
        let other = accept(listener.descriptor, nil, nil)
        // Theirs alone: what another test of this process has open may have been inherited.
        func connection(of pid: Int32) -> [SocketTuple] { ProcessSockets.capture([pid]).tuples.filter { $0.remote == "127.0.0.1:\(listener.port)" } }
        let (fullSockets, quietSockets) = (connection(of: full.pid), connection(of: quiet.pid))
        #expect(fullSockets.map(\.state) == [.established] && quietSockets.map(\.state) == [.established], "\(fullSockets) \(quietSockets)")
        full.end()
        quiet.end()
        #expect(try eventually { try ProcessSockets.stillListed(quietSockets).allSatisfy(\.isSettled) })
        let left = try ProcessSockets.stillListed(fullSockets)
        #expect(left.map(\.inode) == [0] && left.map(\.isSettled) == [false], "\(left.map(\.words))")
        // Once the peer has taken it all and closed, nothing is left.
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while read(held, &chunk, chunk.count) > 0 {}
        close(held)
        close(other)
        #expect(try eventually { try ProcessSockets.stillListed(fullSockets + quietSockets).isEmpty })
        close(listener.descriptor)
    }

    @Test(
        "a process that has ended holds nothing; one with a network of its own is said to be out of sight",
        .enabled(if: geteuid() == 0, "needs root to make a network namespace"))
    func elsewhere() throws {
        #expect(ProcessSockets.capture([4_194_305]) == ProcessSockets.Capture())
        let hidden = try Spawned([
            "unshare", "-n", "perl", "-e", "use Socket; $|=1; socket(S, AF_INET, SOCK_STREAM, 0); listen(S, 1); print \"up\\n\"; <STDIN>;",
        ])
        #expect(try hidden.line() == "up")
        let capture = ProcessSockets.capture([hidden.pid])
        // What the test's own runner passed on may be among them.
        #expect(capture.problems.count == 1 && capture.problems[0].hasPrefix("process \(hidden.pid) has a network of its own: "), "\(capture)")
    }
}

/// TCP and UDP on the loopback interface.
enum Loopback {
    static func listener(ipv6: Bool = false) throws -> (descriptor: Int32, port: UInt16) {
        // Not for the children of these tests.
        let descriptor = socket(ipv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        do {
            let port = try bind(descriptor, ipv6: ipv6)
            try #require(listen(descriptor, 8) == 0)
            return (descriptor, port)
        } catch {
            close(descriptor)
            throw error
        }
    }

    @discardableResult
    static func bind(_ descriptor: Int32, ipv6: Bool = false) throws -> UInt16 {
        if ipv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_addr = in6addr_loopback
            return try bind(descriptor, &address) { $0.sin6_port }
        }
        var address = ipv4(0)
        return try bind(descriptor, &address) { $0.sin_port }
    }

    static func connect(to port: UInt16) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = ipv4(port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        try #require(result == 0)
        return descriptor
    }

    private static func ipv4(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func bind<Address>(_ descriptor: Int32, _ address: inout Address, _ port: (Address) -> UInt16) throws -> UInt16 {
        var size = socklen_t(MemoryLayout<Address>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1
            }
        }
        try #require(result == 0, "\(LinuxError.text(errno))")
        return UInt16(bigEndian: port(address))
    }
}
