import FleetProbes

/// The pause between attempts: doubles from 100 ms to 2 s, so that a server that comes back is found soon and one that
/// doesn't is not hammered.
struct Backoff: Sendable {
    static let first = Duration.milliseconds(100)
    static let last = Duration.seconds(2)

    private var pause = Backoff.first
    private(set) var notBefore = Deadline(nanoseconds: 0)

    var mayTry: Bool { notBefore.isPast }

    mutating func failed() {
        notBefore = Deadline(in: pause)
        pause = min(pause * 2, Self.last)
    }

    mutating func succeeded() {
        pause = Self.first
        notBefore = Deadline(nanoseconds: 0)
    }
}
