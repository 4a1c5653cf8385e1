internal import LinuxHost

/// Finds out when a line of a log was written, by the time stamp at its front.
///
/// Known forms, each also in brackets: ISO 8601 (`2026-11-22T10:15:00.123456Z`, a space for the T, a comma for the dot, slashes
/// for the dashes, with or without an offset), seconds, milliseconds, microseconds or nanoseconds since 1970, syslog's
/// `Nov 22 10:15:00`, and a JSON line whose first fields hold one of them as `ts`, `time`, `timestamp`, `@timestamp` or `t`.
/// A short first word may stand before it (`INFO 2026-…`). Where no offset is written the host's local time is meant; where no
/// year is, the one that makes it the latest moment not after tomorrow.
struct LogTimestamps: Sendable {
    /// Seconds ahead of UTC at a moment.
    var utcOffset: @Sendable (_ unixSeconds: Int64) -> Int64 = Clock.utcOffset
    /// For stamps without a year.
    var nowUnixSeconds: Int64

    init(nowUnixSeconds: Int64 = Int64(Clock.unixMicroseconds() / 1_000_000)) { self.nowUnixSeconds = nowUnixSeconds }

    /// How far into a line it is looked for.
    static let bytesMax = 160
    /// 2001-09-09 to 2096: ten digits are seconds since 1970 only in these years.
    private static let secondsRange: ClosedRange<Int64> = 1_000_000_000...3_999_999_999

    /// Microseconds since 1970; nil: the line has no time stamp that is known here.
    func parse(_ line: UnsafeRawBufferPointer) -> UInt64? {
        var scan = Scan(UnsafeRawBufferPointer(rebasing: line.prefix(Self.bytesMax)))
        scan.spaces()
        guard let first = scan.peek else { return nil }
        if first == UInt8(ascii: "{") { return json(&scan) }
        if let found = stamp(&scan) { return found }
        // One word, or one in brackets, before it: a level or a source.
        scan.at = 0
        scan.spaces()
        guard scan.word(atMost: 24) else { return nil }
        scan.spaces()
        return stamp(&scan)
    }

    func parse(_ line: [UInt8]) -> UInt64? { line.withUnsafeBytes { parse($0) } }

    // MARK: Forms

    private func stamp(_ scan: inout Scan) -> UInt64? {
        if scan.peek == UInt8(ascii: "[") || scan.peek == UInt8(ascii: "<") || scan.peek == UInt8(ascii: "(") || scan.peek == UInt8(ascii: "\"") {
            scan.at += 1
        }
        guard let first = scan.peek else { return nil }
        if Scan.isDigit(first) { return date(&scan) ?? epoch(&scan) }
        return syslog(&scan)
    }

    /// Leaves the position alone when it finds none.
    private func date(_ scan: inout Scan) -> UInt64? {
        let start = scan.at
        guard let year = scan.number(digits: 4), let dash = scan.next, dash == UInt8(ascii: "-") || dash == UInt8(ascii: "/"),
            let month = scan.number(digits: 2), scan.next == dash, let day = scan.number(digits: 2),
            let between = scan.next,
            between == UInt8(ascii: "T") || between == UInt8(ascii: " ") || between == UInt8(ascii: "t") || between == UInt8(ascii: "_"),
            let moment = clock(&scan), (1970...2199).contains(year), (1...12).contains(month), (1...31).contains(day)
        else {
            scan.at = start
            return nil
        }
        return unix(year: year, month: month, day: day, moment, offset: offset(&scan))
    }

    private func syslog(_ scan: inout Scan) -> UInt64? {
        guard let month = scan.month() else { return nil }
        scan.spaces()
        guard let day = scan.number(digits: 1...2), (1...31).contains(day) else { return nil }
        scan.spaces()
        guard let moment = clock(&scan) else { return nil }
        let year = Calendar.year(ofUnixSeconds: nowUnixSeconds)
        for candidate in [year + 1, year, year - 1] {
            guard let found = unix(year: candidate, month: month, day: day, moment, offset: nil) else { continue }
            if Int64(found / 1_000_000) <= nowUnixSeconds + 86_400 { return found }
        }
        return nil
    }

    private func epoch(_ scan: inout Scan) -> UInt64? {
        let start = scan.at
        guard let whole = scan.number(digits: 10...19) else { return nil }
        let digits = scan.at - start
        // What goes on is an identifier, not a time.
        if let next = scan.peek, Scan.isLetter(next) || next == UInt8(ascii: "-") { return nil }
        let microseconds: Int64
        switch digits {
        case 10:
            guard Self.secondsRange.contains(whole) else { return nil }
            microseconds = whole * 1_000_000 + (scan.peek == UInt8(ascii: ".") ? scan.fraction() : 0)
        case 13: microseconds = whole * 1_000
        case 16: microseconds = whole
        case 19: microseconds = whole / 1_000
        default: return nil
        }
        return Self.secondsRange.contains(microseconds / 1_000_000) ? UInt64(microseconds) : nil
    }

    /// Looks at the first fields of an object whose values are plain.
    private func json(_ scan: inout Scan) -> UInt64? {
        scan.at += 1
        for _ in 0..<4 {
            scan.spaces()
            guard let name = scan.quoted() else { return nil }
            scan.spaces()
            guard scan.next == UInt8(ascii: ":") else { return nil }
            scan.spaces()
            if Scan.isTimeName(scan.bytes, name) {
                if scan.peek == UInt8(ascii: "\"") { scan.at += 1 }
                return date(&scan) ?? epoch(&scan)
            }
            if scan.peek == UInt8(ascii: "\"") { guard scan.quoted() != nil else { return nil } } else { scan.plain() }
            scan.spaces()
            guard scan.next == UInt8(ascii: ",") else { return nil }
        }
        return nil
    }

    // MARK: Pieces

    private struct Moment {
        var seconds: Int64
        var microseconds: Int64
    }

    /// `10:15:00`, with a fraction after a dot or a comma.
    private func clock(_ scan: inout Scan) -> Moment? {
        guard let hour = scan.number(digits: 2), scan.next == UInt8(ascii: ":"), let minute = scan.number(digits: 2), scan.next == UInt8(ascii: ":"),
            let second = scan.number(digits: 2), hour < 24, minute < 60, second <= 60
        else { return nil }
        let micro = scan.peek == UInt8(ascii: ".") || scan.peek == UInt8(ascii: ",") ? scan.fraction() : 0
        return Moment(seconds: hour * 3_600 + minute * 60 + second, microseconds: micro)
    }

    /// `Z`, `+01:00`, `-0500`, ` +0100`, ` UTC`; nil: none is written.
    private func offset(_ scan: inout Scan) -> Int64? {
        let start = scan.at
        if scan.peek == UInt8(ascii: " ") { scan.at += 1 }
        guard let sign = scan.next else { return nil }
        switch sign {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"):
            if scan.at == start + 1 { return 0 }
        case UInt8(ascii: "U") where scan.take("TC"), UInt8(ascii: "G") where scan.take("MT"): return 0
        case UInt8(ascii: "+"), UInt8(ascii: "-"):
            if let hours = scan.number(digits: 2) {
                if scan.peek == UInt8(ascii: ":") { scan.at += 1 }
                let minutes = scan.number(digits: 2)
                // " -12 something" is no offset.
                if hours <= 14, minutes ?? 0 < 60, minutes != nil || scan.at == start + 3 {
                    let seconds = hours * 3_600 + (minutes ?? 0) * 60
                    return sign == UInt8(ascii: "-") ? -seconds : seconds
                }
            }
        default: break
        }
        scan.at = start
        return nil
    }

    private func unix(year: Int64, month: Int64, day: Int64, _ moment: Moment, offset: Int64?) -> UInt64? {
        guard day <= Calendar.days(inMonth: month, year: year) else { return nil }
        let seconds = Calendar.days(year: year, month: month, day: day) * 86_400 + moment.seconds
        // Local time: by the offset at about that moment; within the hour of a change it may be the other one.
        let utc = seconds - (offset ?? utcOffset(seconds - utcOffset(seconds)))
        return utc < 0 ? nil : UInt64(utc) * 1_000_000 + UInt64(moment.microseconds)
    }
}

/// The Gregorian calendar, as far as time stamps need it (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
private enum Calendar {
    /// Since 1970-01-01; days_from_civil.
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    static func days(inMonth month: Int64, year: Int64) -> Int64 {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }

    static func year(ofUnixSeconds seconds: Int64) -> Int64 {
        var year = 1970 + seconds / 31_556_952
        while days(year: year + 1, month: 1, day: 1) * 86_400 <= seconds { year += 1 }
        while days(year: year, month: 1, day: 1) * 86_400 > seconds { year -= 1 }
        return year
    }
}

/// A position in a line's first bytes.
private struct Scan {
    let bytes: UnsafeRawBufferPointer
    var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

    var next: UInt8? {
        mutating get {
            guard at < bytes.count else { return nil }
            at += 1
            return bytes[at - 1]
        }
    }

    static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }
    static func isLetter(_ byte: UInt8) -> Bool { (byte | 32) &- 97 < 26 }

    mutating func spaces() { while peek == 32 || peek == 9 { at += 1 } }

    mutating func number(digits count: Int) -> Int64? {
        guard at + count <= bytes.count else { return nil }
        var value: Int64 = 0
        for index in at..<at + count {
            guard Self.isDigit(bytes[index]) else { return nil }
            value = value * 10 + Int64(bytes[index] - 48)
        }
        at += count
        return value
    }

    /// All digits that stand here, if they are so many.
    mutating func number(digits: ClosedRange<Int>) -> Int64? {
        var end = at
        var value: Int64 = 0
        while end < bytes.count, Self.isDigit(bytes[end]) {
            guard end - at < digits.upperBound else { return nil }
            let (scaled, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = scaled.addingReportingOverflow(Int64(bytes[end] - 48))
            if over || carried { return nil }
            value = sum
            end += 1
        }
        guard end - at >= digits.lowerBound else { return nil }
        at = end
        return value
    }

    /// Microseconds of what stands behind a dot or a comma.
    mutating func fraction() -> Int64 {
        at += 1
        var value: Int64 = 0
        var digits = 0
        while let byte = peek, Self.isDigit(byte) {
            if digits < 6 { value = value * 10 + Int64(byte - 48) }
            digits += 1
            at += 1
        }
        for _ in min(digits, 6)..<6 { value *= 10 }
        return value
    }

    mutating func take(_ text: StaticString) -> Bool {
        guard at + text.utf8CodeUnitCount <= bytes.count else { return false }
        for index in 0..<text.utf8CodeUnitCount where bytes[at + index] != text.utf8Start[index] { return false }
        at += text.utf8CodeUnitCount
        return true
    }

    /// 1 to 12 of an English month's first three letters, and the space behind it.
    mutating func month() -> Int64? {
        guard at + 4 <= bytes.count, bytes[at + 3] == 32 else { return nil }
        let names: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        for month in 0..<12 where (0..<3).allSatisfy({ bytes[at + $0] == names.utf8Start[month * 3 + $0] }) {
            at += 4
            return Int64(month + 1)
        }
        return nil
    }

    /// Over one word.
    mutating func word(atMost count: Int) -> Bool {
        let start = at
        while let byte = peek, byte != 32, byte != 9 {
            at += 1
            guard at - start <= count else { return false }
        }
        return at > start && at < bytes.count
    }

    /// What stands between quotation marks, without an escape in it.
    mutating func quoted() -> Range<Int>? {
        guard peek == UInt8(ascii: "\"") else { return nil }
        at += 1
        let start = at
        while let byte = next {
            if byte == UInt8(ascii: "\\") { return nil }
            if byte == UInt8(ascii: "\"") { return start..<at - 1 }
        }
        return nil
    }

    mutating func plain() {
        while let byte = peek, byte != UInt8(ascii: ","), byte != UInt8(ascii: "}"), byte != UInt8(ascii: "{"), byte != UInt8(ascii: "[") { at += 1 }
    }

    static func isTimeName(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        func matches(_ name: StaticString) -> Bool {
            range.count == name.utf8CodeUnitCount && range.indices.allSatisfy { bytes[$0] == name.utf8Start[$0 - range.lowerBound] }
        }
        return matches("ts") || matches("time") || matches("timestamp") || matches("@timestamp") || matches("t")
    }
}
