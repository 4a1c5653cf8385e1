import LinuxHost
import Testing

@testable import FleetAgent

struct LogTimestampTests {
    /// 2026-11-22 10:15:00 UTC
    private static let moment: UInt64 = 1_795_342_500_000_000

    private func parse(_ line: String, ahead: Int64 = 0, now: Int64 = 1_795_346_100) -> UInt64? {
        var stamps = LogTimestamps(nowUnixSeconds: now)
        stamps.utcOffset = { _ in ahead }
        return stamps.parse(Array(line.utf8))
    }

    @Test(
        "a line's time is read from the stamp at its front",
        arguments: [
            "2026-11-22T10:15:00Z up", "2026-11-22T10:15:00.000000Z", "2026-11-22 10:15:00 up", "2026-11-22 10:15:00,000 up", "2026/11/22 10:15:00 up",
            "[2026-11-22T10:15:00Z] up", "[2026-11-22 10:15:00.000] [info] up", "2026-11-22T11:15:00+01:00 up", "2026-11-22T05:15:00-0500 up",
            "2026-11-22 11:15:00 +0100 up", "2026-11-22 10:15:00 UTC up", "INFO 2026-11-22 10:15:00 up", "[info] [2026-11-22 10:15:00] up",
            "Nov 22 10:15:00 host feed[1]: up", "1795342500 up", "1795342500.000 up", "1795342500000 up", "1795342500000000 up", "1795342500000000000 up",
            "[1795342500.000000] up", #"{"ts":"2026-11-22T10:15:00Z","msg":"up"}"#, #"{"level":"info", "time": 1795342500000, "msg":"up"}"#,
            #"{"level":30,"@timestamp":"2026-11-22 10:15:00"}"#, "  2026-11-22T10:15:00Z up", "2026-11-22T10:15:00.000000000Z feed",
        ])
    func forms(line: String) { #expect(parse(line) == Self.moment) }

    @Test(
        "what only looks like a time is none",
        arguments: [
            "", "up", "{", "{}", "{\"msg\":\"2026-11-22T10:15:00Z\"}", "2026-13-22T10:15:00Z", "2026-02-30 10:15:00", "2026-11-22", "2026-11-22T10:75:00Z",
            "12345678901 orders", "1795342500-feed", "9999999999999999999999", "Nop 22 10:15:00", "Nov 22 up", "\u{1}\u{2}\u{3}", "[", "((((", "1795342500abc",
            "{\"ts\":true}", "{\"ts\"", "0000-00-00T00:00:00Z",
        ])
    func none(line: String) { #expect(parse(line) == nil) }

    @Test("a fraction is kept to the microsecond, and what is finer is cut")
    func fractions() {
        #expect(parse("2026-11-22T10:15:00.5Z") == Self.moment + 500_000)
        #expect(parse("2026-11-22T10:15:00,123456789Z") == Self.moment + 123_456)
        #expect(parse("1795342500123456789 x") == Self.moment + 123_456)
        #expect(parse("1795342500.25 x") == Self.moment + 250_000)
    }

    @Test("without an offset the host's local time is meant")
    func local() {
        #expect(parse("2026-11-22 12:15:00 up", ahead: 7_200) == Self.moment)
        #expect(parse("Nov 22 05:15:00 up", ahead: -18_000) == Self.moment)
        #expect(parse("2026-11-22T10:15:00Z up", ahead: 7_200) == Self.moment)
        #expect(parse("2026-11-22 10:15:00 -12 is no offset") == Self.moment)
    }

    @Test("a stamp without a year belongs to the newest year that does not put it into the future")
    func years() {
        // 2027-01-01 00:10 UTC
        #expect(parse("Dec 31 23:59:00 up", now: 1_798_762_200) == 1_798_761_540_000_000)
        // 2026-12-31 23:59: a host whose clock is a minute ahead.
        #expect(parse("Jan  1 00:00:10 up", now: 1_798_761_540) == 1_798_761_610_000_000)
        #expect(parse("Feb 29 00:00:00 up", now: 1_798_761_540) == nil)
    }

    @Test("it agrees with the clock's own words on every day of a century")
    func days() {
        for day in stride(from: UInt64(0), to: 47_000, by: 13) {
            let unix = day * 86_400_000_000 + 45_296_789_012
            #expect(parse(Clock.rfc3339(unixMicroseconds: unix)) == unix)
        }
    }

    @Test("no bytes whatever harm it")
    func garbage() {
        var generator = SystemRandomNumberGenerator()
        let pool = Array("0123456789-:/. TZ+[{\"ts,NovDec\\\u{0}".utf8)
        for _ in 0..<20_000 {
            let line = (0..<Int.random(in: 0...40)).map { _ in pool.randomElement(using: &generator) ?? 0 }
            _ = LogTimestamps(nowUnixSeconds: 1_795_346_100).parse(line)
        }
    }
}
