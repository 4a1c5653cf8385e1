package import FleetAPI

/// Since when logs are wanted, as people type it: `10:15`, `10:15:30`, `2h`, `2026-11-22T10:15`, and with `Z` in UTC.
package enum SinceText {
    /// In microseconds since 1970; nil for what is no such text.
    ///
    /// A time of day is the last one that has been, in the fleet's zone: 23:50 typed at 00:10 is yesterday's.
    package static func parse(_ text: String, now: UInt64, zone: FleetZone) -> UInt64? {
        if let duration = duration(text) { return now > duration ? now - duration : 0 }
        var rest = text[...]
        var zone = zone
        if rest.hasSuffix("Z") {
            zone = .utc
            rest = rest.dropLast()
        }
        var day: [Int]?
        if let mark = rest.firstIndex(where: { $0 == "T" || $0 == " " }) {
            let parts = rest[..<mark].split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count == 3, parts.map(\.count) == [4, 2, 2], let numbers = numbers(parts) else { return nil }
            day = numbers
            rest = rest[rest.index(after: mark)...]
        } else if rest.split(separator: "-").count == 3 {
            return parse("\(rest)T00:00\(text.hasSuffix("Z") ? "Z" : "")", now: now, zone: zone)
        }
        guard let seconds = secondOfDay(rest) else { return nil }
        if let day {
            guard (1970...9999).contains(day[0]), (1...12).contains(day[1]), (1...31).contains(day[2]) else { return nil }
            return micro(zone.instant(year: day[0], month: day[1], day: day[2], secondOfDay: seconds))
        }
        // Today's in the zone, else yesterday's: noon of a day ago has yesterday's date whatever the clocks did.
        for instant in [now, now - min(now, 86_400_000_000)] {
            guard let today = numbers(zone.date(instant).split(separator: "-")) else { return nil }
            guard let found = micro(zone.instant(year: today[0], month: today[1], day: today[2], secondOfDay: seconds)) else { return nil }
            if found <= now { return found }
        }
        return nil
    }

    private static func micro(_ seconds: Int64) -> UInt64? { seconds >= 0 ? UInt64(seconds) * 1_000_000 : nil }

    /// `10:15` or `10:15:30`
    private static func secondOfDay(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), parts.allSatisfy({ (1...2).contains($0.count) }), let numbers = numbers(parts) else { return nil }
        let second = numbers.count == 3 ? numbers[2] : 0
        guard numbers[0] < 24, numbers[1] < 60, second < 60 else { return nil }
        return numbers[0] * 3_600 + numbers[1] * 60 + second
    }

    /// In microseconds.
    private static func duration(_ text: String) -> UInt64? {
        let digits = text.prefix { ("0"..."9").contains($0) }
        guard let count = UInt64(digits), count < 1_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "s": return count * 1_000_000
        case "m", "min": return count * 60_000_000
        case "h": return count * 3_600_000_000
        case "d": return count * 86_400_000_000
        default: return nil
        }
    }

    private static func numbers(_ parts: [Substring]) -> [Int]? {
        let found = parts.compactMap { part in part.allSatisfy { ("0"..."9").contains($0) } ? Int(part) : nil }
        return found.count == parts.count ? found : nil
    }
}
