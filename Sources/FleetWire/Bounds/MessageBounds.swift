import FleetCore
import FoundationEssentials
package import SwiftProtobuf

/// The bounds of every message that comes from outside, looked at once where it enters, so that nothing behind that point
/// meets a number that arithmetic traps on, or a list that was made to fill memory.
///
/// It knows no field: a number is a count, a time or a size, and none of these is out of its range in an honest message. A
/// message out of bounds is refused whole, and its sender named.
package struct MessageBounds: Sendable {
    /// Of a signed number, either way.
    package var valueMax: Int64 = Bounded.value.upperBound
    /// Of an unsigned number: nanoseconds are the largest.
    package var unsignedMax: UInt64 = Bounded.nanosecondsMax
    /// Of a fraction, either way; loads and the like.
    package var fractionMax: Double = 1e15
    /// Of one text, in UTF-8.
    package var textBytesMax: Int
    /// Entries of one list or map.
    package var entriesMax: Int

    /// Between agents and coordinators: a line of a log or an audit is the longest text, a page of them the longest list.
    package static let wire = MessageBounds(textBytesMax: 1 << 20, entriesMax: 16_384)
    /// What callers of the API send: words of people, and names.
    package static let order = MessageBounds(textBytesMax: 8 << 10, entriesMax: 4_096)
    /// What the API answers: a whole fleet's status.
    package static let answer = MessageBounds(textBytesMax: 4 << 20, entriesMax: 1 << 20)

    package static let slug = "out-of-bounds"

    package init(textBytesMax: Int, entriesMax: Int) {
        self.textBytesMax = textBytesMax
        self.entriesMax = entriesMax
    }

    /// What of a message is out of bounds, with its place by field numbers; nil: nothing.
    ///
    /// An emergency stop has no bounds here: it kills first, and `LatchBounds` decides what is kept of it. A host's part is
    /// its coordinator's word, holds 2^64-1 for "unlimited", and is bounded by the frame.
    package func fault(in envelope: WireEnvelope) -> String? {
        switch envelope.body {
        case .emergencyStop, .part: nil
        default: fault(message: envelope)
        }
    }

    package func fault(message: some Message) -> String? {
        var visitor = BoundsVisitor(bounds: self)
        do {
            try message.traverse(visitor: &visitor)
            return nil
        } catch let fault as Bounded.Fault {
            return fault.description
        } catch {
            return "\(error)"
        }
    }
}

/// Walks through a message and throws at the first thing out of bounds.
private struct BoundsVisitor: Visitor {
    let bounds: MessageBounds
    private var path: [Int] = []

    init(bounds: MessageBounds) { self.bounds = bounds }

    private func fault(_ field: Int, _ what: String) -> Bounded.Fault {
        Bounded.Fault("field \((path + [field]).map(String.init).joined(separator: ".")) \(what)")
    }

    private func count(_ entries: Int, _ field: Int) throws {
        if entries > bounds.entriesMax { throw fault(field, "has \(entries) entries, at most \(bounds.entriesMax)") }
    }

    mutating func visitSingularDoubleField(value: Double, fieldNumber: Int) throws {
        guard value.magnitude <= bounds.fractionMax else { throw fault(fieldNumber, "is \(value)") }
    }

    mutating func visitSingularInt64Field(value: Int64, fieldNumber: Int) throws {
        guard value.magnitude <= bounds.valueMax.magnitude else { throw fault(fieldNumber, "is \(value)") }
    }

    mutating func visitSingularUInt64Field(value: UInt64, fieldNumber: Int) throws {
        guard value <= bounds.unsignedMax else { throw fault(fieldNumber, "is \(value)") }
    }

    mutating func visitSingularBoolField(value: Bool, fieldNumber: Int) throws {}

    mutating func visitSingularStringField(value: String, fieldNumber: Int) throws {
        guard value.utf8.count <= bounds.textBytesMax else {
            throw fault(fieldNumber, "is a text of \(value.utf8.count) bytes, at most \(bounds.textBytesMax)")
        }
    }

    mutating func visitSingularEnumField<E: Enum>(value: E, fieldNumber: Int) throws {}

    mutating func visitSingularMessageField<M: Message>(value: M, fieldNumber: Int) throws {
        path.append(fieldNumber)
        try value.traverse(visitor: &self)
        path.removeLast()
    }

    mutating func visitRepeatedMessageField<M: Message>(value: [M], fieldNumber: Int) throws {
        try count(value.count, fieldNumber)
        for message in value { try visitSingularMessageField(value: message, fieldNumber: fieldNumber) }
    }

    mutating func visitRepeatedStringField(value: [String], fieldNumber: Int) throws {
        try count(value.count, fieldNumber)
        for text in value { try visitSingularStringField(value: text, fieldNumber: fieldNumber) }
    }

    mutating func visitMapField<KeyType, ValueType: MapValueType>(
        fieldType: _ProtobufMap<KeyType, ValueType>.Type, value: _ProtobufMap<KeyType, ValueType>.BaseType, fieldNumber: Int
    ) throws {
        try count(value.count, fieldNumber)
        for (key, item) in value {
            try KeyType.visitSingular(value: key, fieldNumber: fieldNumber, with: &self)
            try ValueType.visitSingular(value: item, fieldNumber: fieldNumber, with: &self)
        }
    }

    mutating func visitMapField<KeyType, ValueType>(
        fieldType: _ProtobufEnumMap<KeyType, ValueType>.Type, value: _ProtobufEnumMap<KeyType, ValueType>.BaseType, fieldNumber: Int
    ) throws where ValueType.RawValue == Int {
        try count(value.count, fieldNumber)
    }

    mutating func visitMapField<KeyType, ValueType>(
        fieldType: _ProtobufMessageMap<KeyType, ValueType>.Type, value: _ProtobufMessageMap<KeyType, ValueType>.BaseType, fieldNumber: Int
    ) throws {
        try count(value.count, fieldNumber)
        for (key, item) in value {
            try KeyType.visitSingular(value: key, fieldNumber: fieldNumber, with: &self)
            try visitSingularMessageField(value: item, fieldNumber: fieldNumber)
        }
    }

    // Nothing in our messages: `bytes`, groups, extensions. What a newer side adds stays as it came.
    mutating func visitSingularBytesField(value: Data, fieldNumber: Int) throws {}
    mutating func visitUnknown(bytes: Data) throws {}
}
