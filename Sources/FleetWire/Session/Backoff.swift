/// How long a dialer waits before it tries again: doubling, capped, and jittered so that a fleet doesn't return in step.
package struct Backoff: Equatable, Sendable {
    package static let first = Duration.milliseconds(250)
    package static let cap = Duration.seconds(10)

    private var next = Backoff.first

    package init() {}

    /// The wait before the next try: half to all of the present step.
    ///
    /// `random` is in 0..<1.
    package mutating func wait(random: Double) -> Duration {
        let step = next
        next = min(Self.cap, next * 2)
        return step / 2 + step / 2 * random
    }

    package mutating func reset() { next = Self.first }
}
