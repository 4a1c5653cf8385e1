package import NIOCore
import SwiftProtobuf

/// Makes frames.
///
/// One frame may be written to any number of connections: encode once.
package enum FrameEncoder {
    /// The frame of `envelope`.
    ///
    /// Throws ``FrameError``: too large, or without a body.
    package static func encode(
        _ envelope: WireEnvelope, allocator: ByteBufferAllocator = ByteBufferAllocator()
    ) throws -> ByteBuffer {
        let payload: [UInt8] = try envelope.serializedBytes()
        guard payload.count <= FrameDecoder.payloadMax else { throw FrameError.tooLarge(payload.count) }
        guard !payload.isEmpty else { throw FrameError.badLength(0, max: FrameDecoder.payloadMax) }
        var buffer = allocator.buffer(capacity: 4 + payload.count)
        buffer.writeInteger(UInt32(payload.count))
        buffer.writeBytes(payload)
        return buffer
    }
}

/// The frame of `envelope`, to be written to any number of connections.
///
/// Throws ``FrameError``.
package func encodeFrame(
    _ envelope: WireEnvelope, allocator: ByteBufferAllocator = ByteBufferAllocator()
) throws -> ByteBuffer {
    try FrameEncoder.encode(envelope, allocator: allocator)
}
