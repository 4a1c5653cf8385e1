import Glibc

/// The fleet's time zone, read from the system's tz database: no global state, unlike tzset(3).
///
/// Source: RFC 9636 (TZif) and, for times past the last listed transition, its footer in the form of POSIX TZ.
package struct FleetZone: Equatable, Sendable {
    /// The IANA name, or UTC where it could not be read.
    package let name: String
    /// Seconds since 1970 at which an offset begins, ascending.
    private var transitions: [Int64] = []
    private var offsets: [Int] = []
    private var firstOffset = 0
    private var rule: POSIXZoneRule?

    package static let utc = FleetZone(utc: "UTC")

    private init(utc name: String) { self.name = name }

    /// Reads `/usr/share/zoneinfo/NAME`.
    ///
    /// UTC, and saying so, where there is no such file: a wrong hour would be worse.
    package init(named name: String, directory: String = "/usr/share/zoneinfo") {
        let safe = !name.isEmpty && !name.hasPrefix("/") && !name.split(separator: "/").contains("..")
        guard safe, name != "UTC", let bytes = Self.read("\(directory)/\(name)"), let zone = FleetZone(name, tzif: bytes) else {
            self = .utc
            return
        }
        self = zone
    }

    /// Parses TZif, version 2 or later; nil when it is something else.
    package init?(_ name: String, tzif bytes: [UInt8]) {
        self.name = name
        guard bytes.count > 44, Array(bytes[0..<4]) == Array("TZif".utf8), bytes[4] >= 50 else { return nil }
        func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }
        // The first block is for readers of version 1: skipped by its counts.
        let first = (isUT: word(20), isStd: word(24), leap: word(28), times: word(32), types: word(36), chars: word(40))
        let second = 44 + first.times * 5 + first.types * 6 + first.chars + first.leap * 8 + first.isStd + first.isUT
        guard bytes.count >= second + 44 else { return nil }
        let counts = (
            isUT: word(second + 20), isStd: word(second + 24), leap: word(second + 28), times: word(second + 32), types: word(second + 36),
            chars: word(second + 40)
        )
        let times = second + 44
        let indices = times + counts.times * 8
        let types = indices + counts.times
        let footer = types + counts.types * 6 + counts.chars + counts.leap * 12 + counts.isStd + counts.isUT
        guard bytes.count >= footer, counts.types > 0 else { return nil }
        func offset(_ type: Int) -> Int { Int(Int32(truncatingIfNeeded: word(types + type * 6))) }
        for index in 0..<counts.times {
            let at = times + index * 8
            transitions.append(Int64(truncatingIfNeeded: (0..<8).reduce(UInt64(0)) { $0 << 8 | UInt64(bytes[at + $1]) }))
            let type = Int(bytes[indices + index])
            guard type < counts.types else { return nil }
            offsets.append(offset(type))
        }
        firstOffset = offset(0)
        let text = String(decoding: bytes[min(footer + 1, bytes.count)...].prefix { $0 != 10 }, as: UTF8.self)
        rule = POSIXZoneRule(text)
    }

    /// Seconds east of UTC at an instant.
    package func offset(at unixSeconds: Int64) -> Int {
        guard let last = transitions.last else { return rule?.offset(at: unixSeconds) ?? firstOffset }
        if unixSeconds >= last { return rule?.offset(at: unixSeconds) ?? offsets[offsets.count - 1] }
        var low = 0
        var high = transitions.count
        while low < high {
            let middle = (low + high) / 2
            if transitions[middle] <= unixSeconds { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? firstOffset : offsets[low - 1]
    }

    /// The seconds since 1970 of a local time; where the clocks are put back, of the first of the two.
    ///
    /// A time that the clocks skip is that of the offset before.
    package func instant(year: Int, month: Int, day: Int, secondOfDay: Int) -> Int64 {
        let local = Int64(CivilTime.days(year: year, month: month, day: day)) * 86_400 + Int64(secondOfDay)
        // The offsets half a day before and after are the only two that can be meant.
        let early = local - Int64(offset(at: local - 43_200))
        if offset(at: early) == Int(local - early) { return early }
        let late = local - Int64(offset(at: local + 43_200))
        return offset(at: late) == Int(local - late) ? late : early
    }

    /// The last part of the name: `London`.
    package var city: String { name.split(separator: "/").last.map { String($0.map { $0 == "_" ? " " : $0 }) } ?? name }

    /// The local day: `2026-11-23`.
    package func date(_ unixMicroseconds: UInt64) -> String { CivilTime(local(unixMicroseconds)).date }

    /// When a person said something: `14:02`, with its day where that is not today's by `now`.
    package func moment(_ unixMicroseconds: UInt64, now: UInt64? = nil) -> String {
        guard unixMicroseconds > 0 else { return "" }
        let time = String(self.time(unixMicroseconds).prefix(5))
        guard let now, date(now) == date(unixMicroseconds) else { return "\(date(unixMicroseconds)) \(time)" }
        return time
    }

    /// `17:05:00`, or with milliseconds `17:05:00.412`; `?` for no time at all.
    package func time(_ unixMicroseconds: UInt64, milliseconds: Bool = false) -> String {
        guard unixMicroseconds > 0 else { return "?" }
        let time = CivilTime(local(unixMicroseconds)).time
        guard milliseconds else { return time }
        let ms = unixMicroseconds / 1_000 % 1_000
        return "\(time).\(ms < 100 ? "0" : "")\(CivilTime.two(Int(ms)))"
    }

    private func local(_ unixMicroseconds: UInt64) -> Int64 {
        let seconds = Int64(clamping: unixMicroseconds / 1_000_000)
        return seconds + Int64(offset(at: seconds))
    }

    private static func read(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "rbe") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = fread(&bytes, 1, bytes.count, file)
        return ferror(file) == 0 && count > 0 ? Array(bytes[..<count]) : nil
    }
}

/// A day and time of the Gregorian calendar, from seconds since 1970.
struct CivilTime {
    let year: Int
    let month: Int
    let day: Int
    let secondOfDay: Int

    /// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days.
    init(_ seconds: Int64) {
        let days = Int((Double(seconds) / 86_400).rounded(.down))
        secondOfDay = Int(seconds) - days * 86_400
        let z = days + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// days_from_civil of the same source.
    static func days(year: Int, month: Int, day: Int) -> Int {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    var date: String { "\(year)-\(CivilTime.two(month))-\(CivilTime.two(day))" }
    var time: String { "\(CivilTime.two(secondOfDay / 3_600)):\(CivilTime.two(secondOfDay / 60 % 60)):\(CivilTime.two(secondOfDay % 60))" }
}

/// The rule for times past a zone's last transition: `GMT0BST,M3.5.0/1,M10.5.0` (POSIX TZ; only the M form, which every
/// zone of the database with daylight saving uses).
struct POSIXZoneRule: Equatable, Sendable {
    private let standard: Int
    private var daylight: (offset: Int, from: Change, to: Change)?

    private struct Change: Equatable {
        var month = 0
        var week = 0
        var weekday = 0
        var seconds = 7_200
    }

    static func == (a: Self, b: Self) -> Bool {
        a.standard == b.standard && a.daylight?.offset == b.daylight?.offset && a.daylight?.from == b.daylight?.from
            && a.daylight?.to == b.daylight?.to
    }

    init?(_ text: String) {
        var rest = text[...]
        guard Self.skipName(&rest), let west = Self.clock(&rest) else { return nil }
        standard = -west
        guard !rest.isEmpty else { return }
        guard Self.skipName(&rest) else { return nil }
        var offset = standard + 3_600
        if rest.first != "," {
            guard let west = Self.clock(&rest) else { return nil }
            offset = -west
        }
        let parts = rest.split(separator: ",")
        guard parts.count == 2, let from = Self.change(parts[0]), let to = Self.change(parts[1]) else { return nil }
        daylight = (offset, from, to)
    }

    func offset(at unixSeconds: Int64) -> Int {
        guard let daylight else { return standard }
        let year = CivilTime(unixSeconds + Int64(standard)).year
        let begins = Self.instant(daylight.from, year) - Int64(standard)
        let ends = Self.instant(daylight.to, year) - Int64(daylight.offset)
        let inside =
            begins < ends ? (begins..<ends).contains(unixSeconds) : !(ends..<begins).contains(unixSeconds)
        return inside ? daylight.offset : standard
    }

    private static func instant(_ change: Change, _ year: Int) -> Int64 {
        let first = CivilTime.days(year: year, month: change.month, day: 1)
        let weekday = ((first + 4) % 7 + 7) % 7  // 1970-01-01 was a Thursday
        var day = first + (change.weekday - weekday + 7) % 7 + (change.week - 1) * 7
        let next = change.month == 12 ? CivilTime.days(year: year + 1, month: 1, day: 1) : CivilTime.days(year: year, month: change.month + 1, day: 1)
        while day >= next { day -= 7 }
        return Int64(day) * 86_400 + Int64(change.seconds)
    }

    private static func skipName(_ rest: inout Substring) -> Bool {
        if rest.first == "<" {
            guard let end = rest.firstIndex(of: ">") else { return false }
            rest = rest[rest.index(after: end)...]
            return true
        }
        let name = rest.prefix { $0.isLetter }
        rest = rest.dropFirst(name.count)
        return name.count >= 3
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    private static func clock(_ rest: inout Substring) -> Int? {
        let text = rest.prefix { $0.isNumber || $0 == ":" || $0 == "-" || $0 == "+" }
        rest = rest.dropFirst(text.count)
        let negative = text.hasPrefix("-")
        let parts = text.drop { $0 == "-" || $0 == "+" }.split(separator: ":").map { Int($0) }
        guard !parts.isEmpty, parts.count <= 3, parts.allSatisfy({ $0 != nil }) else { return nil }
        let seconds = zip(parts, [3_600, 60, 1]).reduce(0) { $0 + ($1.0 ?? 0) * $1.1 }
        return negative ? -seconds : seconds
    }

    private static func change(_ text: Substring) -> Change? {
        let halves = text.split(separator: "/", maxSplits: 1)
        guard let rule = halves.first, rule.hasPrefix("M") else { return nil }
        let numbers = rule.dropFirst().split(separator: ".").compactMap { Int($0) }
        guard numbers.count == 3, (1...12).contains(numbers[0]), (1...5).contains(numbers[1]), (0...6).contains(numbers[2]) else { return nil }
        var change = Change(month: numbers[0], week: numbers[1], weekday: numbers[2])
        if halves.count == 2 {
            var clockText = halves[1]
            guard let seconds = clock(&clockText) else { return nil }
            change.seconds = seconds
        }
        return change
    }
}
