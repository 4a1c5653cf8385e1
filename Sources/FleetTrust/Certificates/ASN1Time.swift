import COpenSSL
import Glibc

/// Conversions between ASN.1 times and seconds since 1970.
enum ASN1Time {
    /// Nil when the value isn't a time.
    static func unix(_ time: UnsafePointer<ASN1_TIME>) -> Int64? {
        var parts = tm()
        guard ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
        return Int64(timegm(&parts))
    }

    /// `2026-11-23 17:05:00 UTC`.
    static func words(unix: Int64) -> String {
        var parts = tm()
        var seconds = time_t(unix)
        guard gmtime_r(&seconds, &parts) != nil else { return "\(unix) s after 1970" }
        func two(_ value: CInt) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) "
            + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
    }

    static var nowUnix: Int64 { Int64(time(nil)) }
}
