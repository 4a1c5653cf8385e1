import FleetCore
import FleetTrust
import NIOCore
import NIOPosix
import SwiftProtobuf
import TestSupport
import Testing

@testable import FleetWire

/// What whoever connects can take before anybody knows them, or before they have said hello.
@Suite struct EdgeLimitTests {
    /// A verified connection that says no hello: it writes what it is given instead.
    private func silent(_ server: TestListener, _ trust: TLSTrust, writes bytes: [UInt8] = []) async throws -> any Channel {
        let verified = TestFleet.group.next().makePromise(of: Void.self)
        let channel = try await ClientBootstrap(group: TestFleet.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        trust.clientHandlers(roles: [.coordinator], alpn: TLSTrust.wireALPN) { _, _ in verified.succeed() })
                }
            }
            .connect(to: server.address).get()
        try await verified.futureResult.get()
        if !bytes.isEmpty { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)) }
        return channel
    }

    private static let patient = WireTiming(heartbeat: .milliseconds(50), greeting: .seconds(60), frame: .seconds(60))

    @Test("one identity holds a few connections without a session; the next is refused, another identity's is not, and room comes back")
    func unopened() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.patient)
        let trust = try fleet.trust(.agent, "md-1")
        var held: [any Channel] = []
        for _ in 0..<UnopenedPeers.perPeerMax { held.append(try await silent(server, trust)) }
        let refused = try await silent(server, trust)
        try await server.refused("too-many")
        try await refused.closeFuture.get()
        #expect(held.allSatisfy { $0.isActive })
        let other = server.dialer(try fleet.trust(.agent, "md-2"), host: "md-2", delegate: RecordingDelegate())
        _ = try await server.delegate.session(1)
        try await held.removeLast().close()
        // The honest agent of that name gets its session as soon as one has gone.
        let own = server.dialer(trust, host: "md-1", delegate: RecordingDelegate())
        #expect(try await server.delegate.session(2).hello.host == "md-1")
        for channel in held { try await channel.close() }
        withExtendedLifetime((other, own)) {}
    }

    @Test("before hello a frame of more than two mebibytes is refused by its length; afterwards one passes")
    func beforeHello() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.patient)
        let early = try await silent(server, try fleet.trust(.agent, "md-1"), writes: [0, 0x30, 0, 0] + Array(repeating: 0, count: 4_096))
        try await server.refused(FrameError.slug)
        try await early.closeFuture.get()
        let agent = RecordingDelegate()
        let dialer = server.dialer(try fleet.trust(.agent, "md-2"), host: "md-2", delegate: agent)
        let session = try await agent.session()
        var large = WireEnvelope()
        large.report.workers = (0..<3).map { number in
            .with {
                $0.service = "w\(number)"; $0.note = String(repeating: "n", count: 900_000)
            }
        }
        session.send(large)
        try await server.delegate.message("the large report") { $0.report.workers.count == 3 }
        withExtendedLifetime(dialer) {}
    }

    @Test("a header that announces more than may be is refused before a byte of it is kept", arguments: [0, 1, 2 << 20, (2 << 20) + 1, 4 << 20])
    func lengths(length: Int) throws {
        let header = withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0) }
        var early = FrameDecoder(payloadMax: FrameDecoder.helloMax)
        var open = FrameDecoder()
        if (1...FrameDecoder.helloMax).contains(length) {
            try early.decode(ByteBuffer(bytes: header)) { _, _ in }
        } else {
            #expect(throws: FrameError.badLength(UInt32(length), max: FrameDecoder.helloMax)) { try early.decode(ByteBuffer(bytes: header)) { _, _ in } }
        }
        if length > 0 { try open.decode(ByteBuffer(bytes: header)) { _, _ in } }
    }

    @Test("held-open handshakes give way, no more of them than must, and an honest agent gets its session")
    func heldOpen() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.patient, handshakesMax: 8)
        var held: [any Channel] = []
        for _ in 0..<20 { held.append(try await ClientBootstrap(group: TestFleet.group).connect(to: server.address).get()) }
        try await server.refused("crowded")
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: RecordingDelegate())
        _ = try await server.delegate.session()
        try await server.log.wait(for: "12 refusals") { $0.count { $0.slug == "crowded" } >= 12 }
        // Twelve of them, and one more if the agent's own still waited then. Which came first depends on the loops that took them:
        // that the oldest goes is the next test's.
        #expect(server.log.elements.count { $0.slug == "crowded" } <= 13)
        for channel in held where channel.isActive { try await channel.close() }
        withExtendedLifetime(dialer) {}
    }

    @Test("the queue lets go of the oldest that still waits, and of none that has left")
    func queue() async throws {
        let loop = TestFleet.group.next()
        let trust = try TestFleet().trust(.agent, "md-1")
        // Its gate is never asked.
        let waiting = try await loop.submit {
            HandshakeQueue.Waiting(
                gate: NIOLoopBound(VerifiedHandshakeGate(trust: trust, roles: [], isAccepted: true, onVerified: nil), eventLoop: loop), eventLoop: loop)
        }.get()
        for countMax in [1, 2, 7] {
            var queue = HandshakeQueue(countMax: countMax)
            var random = SplitMix64(seed: UInt64(countMax))
            var model: [UInt64] = []
            for _ in 0..<1_000 {
                if random.next() % 3 > 0 || model.isEmpty {
                    let (ticket, evicted) = queue.enter(waiting)
                    model.append(ticket)
                    #expect((evicted != nil) == (model.count > countMax))
                    if model.count > countMax { model.removeFirst() }
                } else {
                    queue.leave(model.remove(at: Int(random.next() % UInt64(model.count))))
                }
                #expect(queue.count == model.count)
            }
        }
    }

    @Test("refusals of one kind are logged so many times a minute, the rest is said to be counted, and one of another kind is not hidden by them")
    func log() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.patient)
        for _ in 0..<PeerLog.linesMax + 20 {
            let channel = try await ClientBootstrap(group: TestFleet.group).connect(to: server.address).get()
            try await channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\n\r\n"))
            try await channel.closeFuture.get()
        }
        try await server.log.wait(for: "the bound") { $0.contains { $0.message.hasPrefix("more lines than are logged") } }
        #expect(server.log.elements.count { $0.message == "peer refused" } == PeerLog.linesMax)
        let revoked = try fleet.trust(.agent, "md-1")
        _ = try fleet.ca.revoke("md-1")
        try server.trust.reload()
        let dialer = server.dialer(revoked, host: "md-1", delegate: RecordingDelegate())
        try await server.refused("revoked")
        withExtendedLifetime(dialer) {}
    }
}
