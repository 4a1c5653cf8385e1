import Glibc

/// A moment on this host's CLOCK_BOOTTIME by which a call must have returned.
///
/// Every call of this module that may block takes one; several calls share one, so a chain of them has the same bound
/// as each of its links.
package struct Deadline: Sendable, Comparable {
    /// CLOCK_BOOTTIME in nanoseconds.
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// That long from now; a negative duration has passed already.
    package init(in duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let scaled = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let now = Self.now
        if duration <= .zero {
            nanoseconds = now
        } else if scaled.overflow {
            nanoseconds = .max
        } else {
            let sum = now.addingReportingOverflow(UInt64(scaled.partialValue) + UInt64(attoseconds / 1_000_000_000))
            nanoseconds = sum.overflow ? .max : sum.partialValue
        }
    }

    /// CLOCK_BOOTTIME in nanoseconds.
    package static var now: UInt64 {
        var time = timespec()
        // Cannot fail on a kernel that has the clock (2.6.39), with a valid pointer: clock_gettime(2).
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    package var isPast: Bool { Self.now >= nanoseconds }

    /// Zero once past.
    package var remaining: Duration { .nanoseconds(Int64(clamping: remainingNanoseconds)) }

    /// For poll(2): rounded up, so that a wait never ends just before the deadline and spins; at most one hour.
    package var pollMilliseconds: Int32 {
        let rounded = remainingNanoseconds / 1_000_000 + (remainingNanoseconds % 1_000_000 == 0 ? 0 : 1)
        return Int32(min(rounded, 3_600_000))
    }

    package static func < (a: Deadline, b: Deadline) -> Bool { a.nanoseconds < b.nanoseconds }

    private var remainingNanoseconds: UInt64 {
        let now = Self.now
        return nanoseconds > now ? nanoseconds - now : 0
    }
}
