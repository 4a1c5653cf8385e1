/// Admits so many of something within a time, and counts what comes beyond it.
///
/// For lines and records that somebody else can cause: whoever holds one key must not fill a log or an audit.
package struct RateBound: Equatable, Sendable {
    package let countMax: Int
    package let window: Duration
    private var began = BootTime.zero
    private var count = 0

    package init(_ countMax: Int, in window: Duration) {
        precondition(countMax > 0 && window > .zero, "a bound of \(countMax) in \(window)")
        self.countMax = countMax
        self.window = window
    }

    package enum Verdict: Equatable, Sendable {
        /// Within the bound. `missed`: how many were beyond it in the window before; told once.
        case admitted(missed: Int)
        /// The first that is beyond the bound in this window.
        case reached
        case beyond
    }

    /// For whoever says nothing about what is beyond the bound.
    package mutating func admits(at now: BootTime) -> Bool {
        if case .admitted = take(at: now) { true } else { false }
    }

    package mutating func take(at now: BootTime) -> Verdict {
        var missed = 0
        if now - began >= window {
            missed = max(0, count - countMax)
            (began, count) = (now, 0)
        }
        count += 1
        if count <= countMax { return .admitted(missed: missed) }
        return count == countMax + 1 ? .reached : .beyond
    }
}
