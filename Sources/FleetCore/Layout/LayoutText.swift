/// How layout sentences write their figures.
enum LayoutText {
    /// `2 MiB`, `1 GiB`, `64 KiB`: the largest unit that divides it.
    static func size(_ bytes: UInt64) -> String {
        var value = bytes
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 || value % 1024 != 0 || unit == "GiB" { return "\(grouped(value)) \(unit)" }
            value /= 1024
        }
        return "\(grouped(value)) GiB"
    }

    /// Of an amount of memory: `31.3 GiB`.
    static func amount(_ bytes: UInt64) -> String {
        let tenths = bytes / (1 << 20) * 10 / 1024
        return tenths < 10 ? "\(grouped(bytes >> 20)) MiB" : "\(grouped(tenths / 10)).\(tenths % 10) GiB"
    }

    /// `2,048`
    static func grouped(_ value: UInt64) -> String {
        let digits = Array("\(value)")
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// `CPU 4` or `CPUs 4-5`
    static func cpus(_ list: CPUList) -> String { list.cpus.count == 1 ? "CPU \(list)" : "CPUs \(list)" }

    /// `a`, `a and b`, `a, b and c`
    static func and(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " and " + last
    }

    /// `4 1 GiB pages`, `1 free 2 MiB page`
    static func pages(_ count: UInt64, _ bytes: UInt64, _ adjective: String = "") -> String {
        "\(grouped(count)) \(adjective.isEmpty ? "" : "\(adjective) ")\(size(bytes)) \(count == 1 ? "page" : "pages")"
    }

    /// With its sign: `+40 ns`, `-3.2 us`, `+1.5 ms`, `+2.0 s`.
    static func offset(_ duration: Duration) -> String { (duration.nanoseconds < 0 ? "-" : "+") + length(duration) }

    /// Without a sign: `40 ns`, `3.2 us`, `1 ms`.
    static func length(_ duration: Duration) -> String {
        let ns = duration.nanoseconds.magnitude
        for (unit, scale) in [("s", UInt64(1_000_000_000)), ("ms", 1_000_000), ("us", 1_000)] where ns >= scale {
            let tenths = ns / (scale / 10)
            return tenths % 10 == 0 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
        }
        return "\(ns) ns"
    }
}

extension CPUList {
    package static let none = CPUList([Int]())

    package func subtracting(_ other: CPUList) -> CPUList { CPUList(Set(cpus).subtracting(other.cpus)) }

    package func isSubset(of other: CPUList) -> Bool { Set(cpus).isSubset(of: other.cpus) }

    package func intersects(_ other: CPUList) -> Bool { !Set(cpus).isDisjoint(with: other.cpus) }
}
