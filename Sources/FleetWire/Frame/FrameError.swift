/// Why a frame could not be read or made; the connection it came from is closed.
package enum FrameError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The announced length is zero or beyond the bound.
    case badLength(UInt32, max: Int)
    /// The bytes aren't an envelope.
    case garbage
    /// It would take many times its own size in memory.
    case tooManyFields(Int)
    /// A message to be sent is larger than a frame may be.
    case tooLarge(Int)

    /// For logs: what ended the session.
    package static let slug = "bad-frame"

    package var description: String {
        switch self {
        case .badLength(let length, let max): "a frame announces \(length) bytes; 1 to \(max) are allowed here"
        case .garbage: "a frame doesn't hold a message of this protocol"
        case .tooManyFields(let count): "a frame holds \(count) texts and messages; at most \(FieldCount.lengthDelimitedMax) are read"
        case .tooLarge(let count): "the message takes \(count) bytes; at most \(FrameDecoder.payloadMax) fit a frame"
        }
    }
}
