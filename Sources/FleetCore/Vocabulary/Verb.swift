/// What a worker can be ordered to do. The raw value is the word on the wire, in records and for people.
package enum Verb: String, Sendable, CaseIterable, CustomStringConvertible {
    case start
    case stop
    case quiesce
    case resume
    /// A person's decision on a worker that has outlived its grace.
    case hold
    case lock
    case unlock
    case note

    package var description: String { rawValue }
}

/// A person's mark on a worker: no order to it.
package enum MarkVerb: String, Sendable, CaseIterable, CustomStringConvertible {
    case lock
    case unlock
    case note

    package var description: String { rawValue }
}

/// A person's decision on a run that is under way.
package enum Intervention: String, Sendable, CaseIterable, CustomStringConvertible {
    case abort
    /// What failed is asked for again.
    case retry
    /// It goes on without a gate or a stream.
    case override
    /// A host that doesn't answer is known to be off.
    case attest

    package var description: String { rawValue }
    package var needsReason: Bool { self != .retry }
}
