import FleetWire
import NIOCore
import SwiftProtobuf
import Testing

@Suite struct FrameDecoderTests {
    private func ping(_ id: UInt64, _ bytes: Int) -> WireEnvelope {
        .with {
            $0.ping = .with {
                $0.id = id; $0.payload = String(repeating: "x", count: bytes)
            }
        }
    }

    private func decoded(_ decoder: inout FrameDecoder, _ bytes: some Sequence<UInt8>) throws -> [WireEnvelope] {
        var found: [WireEnvelope] = []
        try decoder.decode(ByteBuffer(bytes: Array(bytes))) { envelope, _ in found.append(envelope) }
        return found
    }

    @Test("frames come out whole and in order however the bytes are cut")
    func everyCut() throws {
        let sent = [ping(1, 0), ping(2, 5), ping(3, 300)]
        var bytes: [UInt8] = []
        for envelope in sent { bytes += Array(try encodeFrame(envelope).readableBytesView) }
        for first in 0...bytes.count {
            var decoder = FrameDecoder()
            var found = try decoded(&decoder, bytes[..<first])
            #expect(decoder.isMidFrame == (found.count < 3 && first != 0 && !isBoundary(first, sent)))
            found += try decoded(&decoder, bytes[first...])
            #expect(found == sent)
            #expect(!decoder.isMidFrame)
        }
        var decoder = FrameDecoder()
        var found: [WireEnvelope] = []
        for byte in bytes { found += try decoded(&decoder, [byte]) }
        #expect(found == sent)
    }

    private func isBoundary(_ offset: Int, _ sent: [WireEnvelope]) -> Bool {
        var at = 0
        for envelope in sent {
            guard let frame = try? encodeFrame(envelope) else { return false }
            at += frame.readableBytes
            if at == offset { return true }
        }
        return offset == 0
    }

    @Test("the largest frame passes, and one byte more is refused on both sides")
    func largest() throws {
        let overhead = try encodeFrame(ping(1, 4 << 20 - 16)).readableBytes - 4 - (4 << 20 - 16)
        let largest = ping(1, FrameDecoder.payloadMax - overhead)
        let frame = try encodeFrame(largest)
        #expect(frame.readableBytes == 4 + FrameDecoder.payloadMax)
        var decoder = FrameDecoder()
        #expect(try decoded(&decoder, frame.readableBytesView) == [largest])
        #expect(throws: FrameError.tooLarge(FrameDecoder.payloadMax + 1)) {
            try encodeFrame(ping(1, FrameDecoder.payloadMax - overhead + 1))
        }
    }

    @Test(
        "a length of zero, beyond 4 MiB or of 2 GiB is refused at once",
        arguments: [UInt32(0), UInt32(4 << 20) + 1, 0x8000_0000, .max])
    func lengths(length: UInt32) {
        var buffer = ByteBuffer()
        buffer.writeInteger(length)
        var decoder = FrameDecoder()
        #expect(throws: FrameError.badLength(length, max: FrameDecoder.payloadMax)) { try decoder.decode(buffer) { _, _ in } }
        var slow = FrameDecoder()
        #expect(throws: FrameError.badLength(length, max: FrameDecoder.payloadMax)) {
            for byte in buffer.readableBytesView { try slow.decode(ByteBuffer(bytes: [byte])) { _, _ in } }
        }
    }

    @Test("garbage is refused, and what came before it is delivered")
    func garbage() throws {
        var buffer = try encodeFrame(ping(1, 3))
        buffer.writeInteger(UInt32(4))
        buffer.writeBytes([0xff, 0xff, 0xff, 0xff])
        var found: [WireEnvelope] = []
        var decoder = FrameDecoder()
        #expect(throws: FrameError.garbage) { try decoder.decode(buffer) { envelope, _ in found.append(envelope) } }
        #expect(found == [ping(1, 3)])
    }

    @Test("fields and bodies of a later version are kept")
    func unknown() throws {
        // Field 900, a string: nobody's today.
        let payload: [UInt8] = [0xa2, 0x38, 2, 0x68, 0x69]
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(payload.count))
        buffer.writeBytes(payload)
        var found: [WireEnvelope] = []
        var decoder = FrameDecoder()
        try decoder.decode(buffer) { envelope, _ in found.append(envelope) }
        #expect(found.count == 1)
        #expect(found[0].body == nil)
        #expect(try encodeFrame(found[0]) == buffer)
    }

    @Test("an envelope without a body is never sent")
    func empty() { #expect(throws: FrameError.badLength(0, max: FrameDecoder.payloadMax)) { try encodeFrame(WireEnvelope()) } }
}
