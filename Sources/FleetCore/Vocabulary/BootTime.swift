/// A reading of one host's CLOCK_BOOTTIME, in nanoseconds: it never jumps and counts suspended time (clock_gettime(2)).
/// Readings of different hosts must not be compared.
package struct BootTime: Hashable, Comparable, Sendable {
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    package static let zero = BootTime(nanoseconds: 0)

    package static func < (a: BootTime, b: BootTime) -> Bool { a.nanoseconds < b.nanoseconds }

    /// Saturates at both ends.
    package static func + (a: BootTime, b: Duration) -> BootTime {
        let delta = b.nanoseconds
        if delta < 0 {
            let down = delta.magnitude
            return BootTime(nanoseconds: a.nanoseconds > down ? a.nanoseconds - down : 0)
        }
        let (sum, overflow) = a.nanoseconds.addingReportingOverflow(UInt64(delta))
        return BootTime(nanoseconds: overflow ? .max : sum)
    }

    package static func - (a: BootTime, b: BootTime) -> Duration {
        a >= b
            ? .nanoseconds(Int64(clamping: a.nanoseconds - b.nanoseconds))
            : .zero - .nanoseconds(Int64(clamping: b.nanoseconds - a.nanoseconds))
    }
}

extension Duration {
    /// Whole nanoseconds, saturating at ±292 years.
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, over) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return over ? (seconds < 0 ? .min : .max) : sum
    }

    package var milliseconds: Double { Double(nanoseconds) / 1e6 }

    /// As an operator writes it: `250 ms`, `3.1 s`, `2 min 05 s`, `9 h 58 min`, `12 d`.
    package var words: String {
        let ns = Swift.max(0, nanoseconds)
        let ms = ns / 1_000_000
        if ms < 1 { return "\(ns / 1_000) us" }
        if ms < 1_000 { return "\(ms) ms" }
        let s = ms / 1_000
        if s < 60 { return "\(s).\((ms % 1_000) / 100) s" }
        if s < 3_600 { return s % 60 == 0 ? "\(s / 60) min" : "\(s / 60) min \(s % 60 < 10 ? "0" : "")\(s % 60) s" }
        if s < 86_400 { return "\(s / 3_600) h \((s % 3_600) / 60) min" }
        return "\(s / 86_400) d"
    }
}
