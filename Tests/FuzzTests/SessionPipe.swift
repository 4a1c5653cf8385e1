import FleetCore
import FleetTrust
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import FleetWire

/// One end of a session without TLS below it: real bytes through a socket pair into a real handler, on a real event loop.
final class SessionPipe {
    private let loop: any EventLoop
    private let descriptor: Int32
    private var decoder = FrameDecoder()
    /// The other end has ended the session, or what it sent is no message.
    private(set) var isClosed = false

    /// `role` is the end under test; `peer` whom this end's certificate would name.
    init(_ loop: any EventLoop, _ role: WireSessionHandler.Role, as peer: FleetIdentity, delegate: any WireSessionDelegate) throws {
        self.loop = loop
        var pair: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0, "\(LinuxError.text(errno))")
        descriptor = pair[0]
        let verified = VerifiedPeer(identity: peer, restrictedBecause: [], notAfterUnix: .max, chainDER: [], fingerprint: "")
        let log = Logger(label: "fuzz", factory: { _ in SwiftLogNoOpLogHandler() })
        let box = UncheckedBox((role, delegate))
        let channel = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (role, delegate) = box.value
                    let group = SessionGroup(
                        eventLoop: channel.eventLoop, heartbeatEvery: .seconds(3_600), lookEvery: nil, heartbeat: { WireHeartbeat() }, log: log)
                    try channel.pipeline.syncOperations.addHandler(
                        WireSessionHandler(role: role, timing: .coordinator, group: group, delegate: delegate, log: log, peerLog: PeerLog()))
                }
            }
            .withConnectedSocket(pair[1])
        let opened = try channel.wait()
        try loop.submit { opened.pipeline.fireUserInboundEventTriggered(PeerVerified(peer: verified)) }.wait()
    }

    deinit { close(descriptor) }

    private struct UncheckedBox<Value>: @unchecked Sendable {
        let value: Value
        init(_ value: Value) { self.value = value }
    }

    /// A frame of these bytes; back when the other end has dealt with it.
    func send(_ payload: [UInt8]) throws {
        let length = UInt32(payload.count)
        try write(
            [
                UInt8(truncatingIfNeeded: length >> 24), UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8),
                UInt8(truncatingIfNeeded: length),
            ] + payload)
    }

    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let put = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else {
                isClosed = true
                return
            }
            rest = rest.dropFirst(put)
        }
        // A turn that has begun reads nothing more, and runs what is submitted to it meanwhile: turns prove nothing, an empty pipe does.
        let bound = Clock.boottime() + Self.dealtWithin
        while !isClosed, unread > 0, Clock.boottime() < bound { try loop.submit {}.wait() }
        // What was read is dealt with in the turn that read it.
        try loop.submit {}.wait()
    }

    /// An end that has closed, or will read no more, is not waited for longer.
    private static let dealtWithin: Duration = .seconds(10)

    /// Bytes that the other end has not read (unix(7), SIOCOUTQ).
    private var unread: Int32 {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 ? count : 0
    }

    /// What the other end has said meanwhile.
    func received() -> [WireEnvelope] {
        var envelopes: [WireEnvelope] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while !isClosed {
            let got = recv(descriptor, &chunk, chunk.count, Int32(MSG_DONTWAIT))
            if got < 0, errno == EINTR { continue }
            if got < 0, errno == EAGAIN { break }
            guard got > 0 else {
                isClosed = true
                break
            }
            do {
                try decoder.decode(ByteBuffer(bytes: chunk[..<got])) { envelope, _ in envelopes.append(envelope) }
            } catch {
                Issue.record("what it sent is no message: \(error)")
                isClosed = true
            }
        }
        return envelopes
    }
}
