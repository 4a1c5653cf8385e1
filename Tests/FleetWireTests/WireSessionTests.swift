import FleetCore
import FleetTrust
import FleetWire
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import SwiftProtobuf
import Testing

@Suite struct WireSessionTests {
    private static let quick = WireTiming(heartbeat: .milliseconds(50), timeout: .milliseconds(1_000), greeting: .seconds(2))

    private func ping(_ id: UInt64, _ bytes: Int = 0) -> WireEnvelope {
        .with {
            $0.ping = .with {
                $0.id = id; $0.payload = String(repeating: "x", count: bytes)
            }
        }
    }

    @Test("both sides learn who the other is, and messages pass both ways in order")
    func exchange() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let agent = RecordingDelegate { envelope, session in
            session.send(.with { $0.pong = .with { $0.id = envelope.ping.id } })
        }
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: agent) { $0.bootID = "b" }
        let session = try await server.delegate.session()
        #expect(session.peer.identity.uri == "spiffe://demo/agent/md-1")
        #expect(session.hello.bootID == "b")
        #expect(!session.isRestricted)
        let other = try await agent.session()
        #expect(other.id == session.id && !other.id.isEmpty)
        #expect(other.peer.identity.uri == "spiffe://demo/coordinator/ctl-1")
        #expect(other.welcome.timeoutNs == 5_000_000_000)
        #expect(dialer.dialer.standing == .open)
        for id in 1...100 { session.send(ping(UInt64(id), id * 50)) }
        try await server.delegate.message("the last answer") { $0.pong.id == 100 }
        let answers = server.delegate.events.elements.compactMap { event -> UInt64? in
            if case .received(let envelope, _) = event { envelope.pong.id } else { nil }
        }
        #expect(answers == Array(1...100))
        #expect(session.peerBoottime() <= BootTime.now)
    }

    @Test("a broadcast reaches every session that it is meant for")
    func broadcast() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let agents = (1...5).map { _ in RecordingDelegate() }
        let dialers = try agents.enumerated().map { index, agent in
            server.dialer(try fleet.trust(.agent, "a-\(index)"), host: "a-\(index)", delegate: agent)
        }
        _ = try await server.delegate.session(5)
        server.listener.broadcast(try encodeFrame(ping(1))) { $0.hello.host != "a-0" }
        server.listener.broadcast(try encodeFrame(ping(2)))
        for agent in agents { try await agent.message("the second broadcast") { $0.ping.id == 2 } }
        for (index, agent) in agents.enumerated() {
            let first = agent.events.elements.contains { if case .received(let e, _) = $0 { e.ping.id == 1 } else { false } }
            #expect(first == (index != 0))
        }
        withExtendedLifetime(dialers) {}
    }

    @Test("a hello of another host, fleet or protocol is refused by name, and the listener's own refusal is told")
    func refusedHello() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet) { hello, _ in
            hello.bootID == "bad"
                ? .failure(
                    .with {
                        $0.slug = "not-wanted"; $0.text = "go away"
                    }) : .success(WireWelcome())
        }
        let trust = try fleet.trust(.agent, "md-1")
        let faults: [(String, @Sendable (inout WireHello) -> Void)] = [
            ("wrong-host", { $0.host = "md-2" }), ("wrong-fleet", { $0.fleet = "prod" }),
            (
                "protocol-version",
                {
                    $0.protocolMin = 7; $0.protocolMax = 9
                }
            ), ("not-wanted", { $0.bootID = "bad" }),
        ]
        for (slug, change) in faults {
            let log = Recorder<RecordingLog.Entry>()
            let delegate = RecordingDelegate()
            let dialer = server.dialer(trust, host: "md-1", delegate: delegate, log: RecordingLog.logger(log), hello: change)
            try await server.refused(slug)
            // The dialer is told the same.
            try await log.wait(for: "the refusal \(slug) at the dialer") { $0.contains { $0.slug == slug } }
            #expect(delegate.events.elements.isEmpty)
            withExtendedLifetime(dialer) {}
        }
        #expect(server.delegate.events.elements.isEmpty)
    }

    @Test("heartbeats keep an idle session, and a lost one is dialled again")
    func reconnects() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let agent = RecordingDelegate()
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: agent, timing: Self.quick)
        let session = try await server.delegate.session()
        let opened = BootTime.now
        // Idle for more than the time-out: the level waited for is a boot time heard from the peer.
        try await wait(until: "a heartbeat past the time-out") { session.receivedAt - opened > .milliseconds(1_500) }
        #expect(session.peerBoottime() > opened)
        session.close(why: "for a test")
        #expect(try await agent.whyClosed() == "closed: for a test")
        let second = try await server.delegate.session(2)
        #expect(second.id != session.id)
        withExtendedLifetime(dialer) {}
    }

    @Test("a peer that falls silent is closed", .timeLimit(.minutes(1)))
    func silent() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        // Its own heartbeats come once a minute.
        var lazy = WireTiming()
        lazy.heartbeat = .seconds(60)
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: RecordingDelegate(), timing: lazy)
        #expect(try await server.delegate.whyClosed().hasPrefix("silent: "))
        withExtendedLifetime(dialer) {}
    }

    @Test("a peer that doesn't read is cut off, and others are served meanwhile", .timeLimit(.minutes(1)))
    func slowReader() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let raw = try await RawAgent.connect(server, name: "deaf")
        let agent = RecordingDelegate()
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: agent)
        let sessions = [try await server.delegate.session(1), try await server.delegate.session(2)]
        let deaf = try #require(sessions.first { $0.hello.host == "deaf" })
        let other = try #require(sessions.first { $0.hello.host == "md-1" })
        try await raw.stopReading()
        let large = try encodeFrame(ping(0, 1 << 20))
        for _ in 0..<40 { deaf.send(encoded: large) }
        other.send(ping(1))
        try await agent.message("the ping to the other") { $0.ping.id == 1 }
        let why = try await server.delegate.whyClosed()
        #expect(why.hasPrefix("slow-reader: "), "\(why)")
        withExtendedLifetime(dialer) {}
    }

    @Test(
        "a frame of 2 GiB, of zero bytes or of garbage costs the sender its session",
        arguments: [[0x80, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]] as [[UInt8]])
    func badFrame(bytes: [UInt8]) async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let agent = RecordingDelegate()
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: agent)
        let raw = try await RawAgent.connect(server, name: "raw")
        let other = try await server.delegate.session(2)
        raw.write(ByteBuffer(bytes: bytes))
        #expect(try await server.delegate.whyClosed().hasPrefix("bad-frame: "))
        try await server.refused("bad-frame")
        _ = other
        let good = server.delegate.events.elements.compactMap { event -> WireSession? in
            if case .opened(let session) = event, session.hello.host == "md-1" { session } else { nil }
        }
        good.first?.send(ping(3))
        try await agent.message("a ping after the bad frame") { $0.ping.id == 3 }
        withExtendedLifetime(dialer) {}
    }

    @Test("a message before hello is refused")
    func beforeHello() async throws {
        let server = try await TestListener(try TestFleet())
        let raw = try await RawAgent.connect(server, name: "raw", sayHello: false)
        raw.write(try encodeFrame(ping(1)))
        try await server.refused("out-of-order")
    }

    @Test("a connection that says no hello is closed in time")
    func noHello() async throws {
        let server = try await TestListener(try TestFleet(), timing: WireTiming(heartbeat: .milliseconds(50), greeting: .milliseconds(200)))
        let raw = try await RawAgent.connect(server, name: "raw", sayHello: false)
        try await server.refused("no-hello")
        withExtendedLifetime(raw) {}
    }

    @Test("a restricted session carries a stop but no start, either way")
    func restricted() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let now = Int64(time(nil))
        let expired = try fleet.ca.issue(.agent, name: "md-1", notBeforeUnix: now - 1_000, notAfterUnix: now - 10)
        let agent = RecordingDelegate()
        let dialer = server.dialer(try TLSTrust(paths: fleet.paths(expired), fleet: "demo"), host: "md-1", delegate: agent)
        let session = try await server.delegate.session()
        #expect(session.isRestricted)
        #expect(session.peer.restrictedBecause.first?.hasPrefix("expired: ") == true)
        #expect(try await agent.session().isRestricted)
        session.send(
            .with {
                $0.command = .with {
                    $0.operation = "1"; $0.start = WireEmpty()
                }
            })
        // Past the session's own check, as a broadcast goes: it is delivered, for the agent refuses it with an answer.
        session.send(
            encoded: try encodeFrame(
                .with {
                    $0.command = .with {
                        $0.operation = "2"; $0.start = WireEmpty()
                    }
                }))
        session.send(
            .with {
                $0.command = .with {
                    $0.operation = "3"; $0.stop = WireStopWorker()
                }
            })
        try await agent.message("the stop") { $0.command.operation == "3" }
        let heard = agent.events.elements.compactMap { if case .received(let e, _) = $0 { e.command.operation } else { nil } }
        #expect(heard == ["2", "3"] && session.refusal(of: .with { $0.command.start = WireEmpty() })?.slug == "restricted")
        withExtendedLifetime(dialer) {}
    }

    @Test("a listener that isn't there is dialled with back-off, and its reason is kept")
    func unreachable() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        server.listener.stop()
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: RecordingDelegate())
        try await wait(until: "a failed try") { if case .waiting(let why) = dialer.dialer.standing { !why.isEmpty } else { false } }
        dialer.dialer.stop()
        #expect(dialer.dialer.standing == .stopped)
    }

}

extension BootTime {
    static var now: BootTime {
        var reading = timespec()
        clock_gettime(CLOCK_BOOTTIME, &reading)
        return BootTime(nanoseconds: UInt64(reading.tv_sec) * 1_000_000_000 + UInt64(reading.tv_nsec))
    }
}

/// An agent that writes what it likes.
final class RawAgent: Sendable {
    private let channel: any Channel

    private init(_ channel: any Channel) { self.channel = channel }

    deinit { channel.close(promise: nil) }

    static func connect(_ server: TestListener, name: String, sayHello: Bool = true) async throws -> RawAgent {
        let trust = try server.fleet.trust(.agent, name)
        let channel = try await ClientBootstrap(group: TestFleet.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(trust.clientHandlers(alpn: TLSTrust.wireALPN))
                }
            }
            .connect(to: server.address).get()
        let agent = RawAgent(channel)
        if sayHello {
            agent.write(
                try encodeFrame(
                    .with {
                        $0.hello = .with {
                            $0.fleet = "demo"; $0.host = name; $0.protocolMin = 1; $0.protocolMax = 1
                        }
                    }))
        }
        return agent
    }

    func write(_ bytes: ByteBuffer) { channel.writeAndFlush(bytes, promise: nil) }

    func stopReading() async throws { try await channel.setOption(.autoRead, value: false).get() }
}
