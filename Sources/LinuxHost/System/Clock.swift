package import FleetCore
internal import Glibc

/// The host's clocks.
///
/// Durations and deadlines use `boottime`; wall-clock time is for records that people read.
package enum Clock {
    /// CLOCK_BOOTTIME (clock_gettime(2)): monotonic, counts suspended time.
    package static func boottime() -> BootTime {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        return BootTime(nanoseconds: UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec))
    }

    /// CLOCK_MONOTONIC, as service managers want it (sd_notify(3)).
    package static func monotonicMicroseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
    }

    /// CLOCK_REALTIME since 1970-01-01T00:00:00Z; may jump.
    package static func unixMicroseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
    }

    /// Seconds that this host's local time is ahead of UTC at a moment (localtime_r(3)).
    package static func utcOffset(at unixSeconds: Int64) -> Int64 {
        var seconds = time_t(unixSeconds)
        var local = tm()
        return localtime_r(&seconds, &local) == nil ? 0 : Int64(local.tm_gmtoff)
    }

    /// RFC 3339 in UTC with microseconds: `2026-11-23T17:05:00.412345Z`.
    ///
    /// Years to 9999 keep the width.
    package static func rfc3339(unixMicroseconds: UInt64) -> String {
        let (seconds, microseconds) = unixMicroseconds.quotientAndRemainder(dividingBy: 1_000_000)
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days: years start in March.
        let shifted = days + 719_468
        let (era, dayOfEra) = shifted.quotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(pad(year, 4))-\(pad(month, 2))-\(pad(day, 2))T"
            + "\(pad(second / 3_600, 2)):\(pad(second / 60 % 60, 2)):\(pad(second % 60, 2)).\(pad(microseconds, 6))Z"
    }

    private static func pad(_ value: UInt64, _ width: Int) -> String {
        let digits = "\(value)"
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}
