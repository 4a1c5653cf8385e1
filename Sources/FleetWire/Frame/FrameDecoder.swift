package import NIOCore
import SwiftProtobuf

/// Cuts a byte stream into envelopes: a 4-byte big-endian length, 1 to 4 MiB, then that many bytes.
///
/// Decodes straight from the buffer it is given and keeps no reference to it: the TLS handler reuses its read buffer,
/// and a retained slice would cost a copy of 32 KiB per connection. Only an incomplete frame is copied, and no more is
/// reserved for it than has arrived, whatever length it announces. After an error it must not be used again.
package struct FrameDecoder: Sendable {
    package static let payloadMax = 4 << 20
    /// Before the peer has said hello: more than a hello takes with every emergency stop in force that may be, each at its bounds.
    package static let helloMax = 2 << 20
    private static let headerBytes = 4

    /// The longest payload that is taken now.
    package var payloadMax: Int

    /// The beginning of a frame whose end hasn't arrived.
    private var partial: [UInt8] = []

    package init(payloadMax: Int = FrameDecoder.payloadMax) { self.payloadMax = payloadMax }

    /// True while a frame has begun and not ended.
    package var isMidFrame: Bool { !partial.isEmpty }

    /// Consumes all of `buffer`, and calls `body` with each envelope that is complete and the bytes it took, in order.
    ///
    /// What `body` throws ends it. `body` must not come back to this decoder: a handler whose writes may fail in it queues what
    /// it is given meanwhile.
    package mutating func decode(_ buffer: ByteBuffer, _ body: (WireEnvelope, Int) throws -> Void) throws {
        try buffer.withUnsafeReadableBytes { try decode($0, body) }
    }

    private mutating func decode(_ input: UnsafeRawBufferPointer, _ body: (WireEnvelope, Int) throws -> Void) throws {
        var rest = input
        while !rest.isEmpty {
            if partial.isEmpty {
                guard rest.count >= Self.headerBytes else { return move(&rest, rest.count) }
                let length = try Self.length(rest, max: payloadMax)
                guard rest.count >= Self.headerBytes + length else { return move(&rest, rest.count) }
                let payload = UnsafeRawBufferPointer(rebasing: rest[Self.headerBytes..<Self.headerBytes + length])
                rest = UnsafeRawBufferPointer(rebasing: rest[(Self.headerBytes + length)...])
                try body(try Self.envelope(payload), length)
            } else {
                if partial.count < Self.headerBytes {
                    move(&rest, Self.headerBytes - partial.count)
                    guard partial.count == Self.headerBytes else { return }
                }
                let length = try partial.withUnsafeBytes { [payloadMax] in try Self.length($0, max: payloadMax) }
                move(&rest, Self.headerBytes + length - partial.count)
                guard partial.count == Self.headerBytes + length else { return }
                let envelope = try partial.withUnsafeBytes {
                    try Self.envelope(UnsafeRawBufferPointer(rebasing: $0[Self.headerBytes...]))
                }
                // Released, not kept: most connections never see a second incomplete frame of that size.
                partial = []
                try body(envelope, length)
            }
        }
    }

    /// Takes up to `count` bytes from the front of `rest` into `partial`.
    private mutating func move(_ rest: inout UnsafeRawBufferPointer, _ count: Int) {
        let count = min(count, rest.count)
        partial.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest[..<count]))
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }

    /// Of the frame that begins with `bytes`, at least the header.
    private static func length(_ bytes: UnsafeRawBufferPointer, max: Int) throws(FrameError) -> Int {
        let length = UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
        guard (1...max).contains(Int(length)) else { throw .badLength(length, max: max) }
        return Int(length)
    }

    private static func envelope(_ bytes: UnsafeRawBufferPointer) throws(FrameError) -> WireEnvelope {
        if bytes.count > FieldCount.bytesWorthALook {
            let fields = FieldCount.lengthDelimited(in: bytes)
            guard fields <= FieldCount.lengthDelimitedMax else { throw .tooManyFields(fields) }
        }
        do {
            return try WireEnvelope(serializedBytes: bytes.bytes)
        } catch {
            throw .garbage
        }
    }
}
