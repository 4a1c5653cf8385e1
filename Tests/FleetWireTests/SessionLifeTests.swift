import FleetCore
import FleetTrust
import Glibc
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import SwiftProtobuf
import Testing

@testable import FleetWire

/// What a session's handler goes through while it is in the middle of something, and what is left of it afterwards.
@Suite struct SessionLifeTests {
    /// Hears pings, and with the first one has the channel deliver more, as NIO does when a write fails and bytes are left.
    private final class Reentered: WireSessionDelegate {
        let heard = Recorder<UInt64>()
        let channel = NIOLockedValueBox<(any Channel)?>(nil)
        let more: ByteBuffer

        init(more: ByteBuffer) { self.more = more }

        func opened(_ session: WireSession) {}
        func closed(_ session: WireSession, why: String) {}
        func received(_ envelope: WireEnvelope, on session: WireSession) {
            heard.append(envelope.ping.id)
            guard envelope.ping.id == 1 else { return }
            channel.withLockedValue { $0 }?.pipeline.fireChannelRead(more)
        }
    }

    @Test("bytes that come while others are decoded wait for them: nothing is decoded twice, out of order, or at once")
    func reentered() async throws {
        func frame(_ id: UInt64) throws -> ByteBuffer { try encodeFrame(.with { $0.ping.id = id }) }
        let delegate = Reentered(more: try frame(3))
        var pair: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        defer { Glibc.close(pair[0]) }
        let log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let identity = try #require(FleetIdentity(role: .agent, name: "md-1", fleet: "demo"))
        let peer = VerifiedPeer(identity: identity, restrictedBecause: [], notAfterUnix: .max, chainDER: [], fingerprint: "")
        let channel = try await ClientBootstrap(group: TestFleet.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let group = SessionGroup(
                        eventLoop: channel.eventLoop, heartbeatEvery: .seconds(3_600), lookEvery: nil, heartbeat: { WireHeartbeat() }, log: log)
                    try channel.pipeline.syncOperations.addHandler(
                        WireSessionHandler(
                            role: .server(answer: { _, _ in .success(.with { $0.coordinator = "ctl-1" }) }, unopened: UnopenedPeers()), timing: .coordinator,
                            group: group, delegate: delegate, log: log, peerLog: PeerLog()))
                }
            }
            .withConnectedSocket(pair[1]).get()
        delegate.channel.withLockedValue { $0 = channel }
        var bytes = try encodeFrame(
            .with {
                $0.hello = .with {
                    $0.fleet = "demo"; $0.host = "md-1"; $0.protocolMin = 1; $0.protocolMax = 1
                }
            })
        for id in [1, 2] as [UInt64] { bytes.writeImmutableBuffer(try frame(id)) }
        let all = bytes
        try await channel.eventLoop.submit {
            channel.pipeline.fireUserInboundEventTriggered(PeerVerified(peer: peer))
            channel.pipeline.fireChannelRead(all)
        }.get()
        try await delegate.heard.wait(for: "three pings") { $0.count == 3 }
        #expect(delegate.heard.elements == [1, 2, 3])
        try await channel.close()
    }

    /// Keeps no session alive.
    private final class Forgetful: WireSessionDelegate {
        struct Weak: Sendable { weak var session: WireSession? }
        let opened = Recorder<Weak>()
        let closed = Recorder<String>()

        func opened(_ session: WireSession) { opened.append(Weak(session: session)) }
        func received(_ envelope: WireEnvelope, on session: WireSession) {}
        func closed(_ session: WireSession, why: String) { closed.append(why) }
    }

    @Test("of a session that has ended nothing is left")
    func ends() async throws {
        let fleet = try TestFleet()
        let delegate = Forgetful()
        let trust = try fleet.trust(.coordinator, "ctl-1")
        let listener = WireListener(
            group: TestFleet.group, address: try WireAddress.parse("127.0.0.1:0"), trust: trust,
            welcome: { _, _ in .success(.with { $0.coordinator = "ctl-1" }) },
            delegate: delegate)
        defer { listener.stop() }
        let address = try await listener.start()
        let agent = Forgetful()
        let dialer = WireDialer(
            group: TestFleet.group, address: address, trust: try fleet.trust(.agent, "md-1"),
            hello: {
                .with {
                    $0.fleet = "demo"; $0.host = "md-1"
                }
            }, delegate: agent)
        dialer.start()
        try await delegate.opened.wait(for: "a session") { !$0.isEmpty }
        try await agent.opened.wait(for: "its other end") { !$0.isEmpty }
        dialer.stop()
        try await delegate.closed.wait(for: "its end") { !$0.isEmpty }
        try await agent.closed.wait(for: "its end there") { !$0.isEmpty }
        try await wait(until: "both ends to be gone") {
            delegate.opened.elements.allSatisfy { $0.session == nil } && agent.opened.elements.allSatisfy { $0.session == nil }
        }
    }
}
