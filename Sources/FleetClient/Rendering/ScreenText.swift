import FleetCore
package import FleetWire

/// Words and numbers as they stand on every screen.
package enum ScreenText {
    /// A number with its thousands apart: `41,208,113`.
    package static func number(_ value: some BinaryInteger) -> String {
        let digits = String(value.magnitude)
        var grouped = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { grouped += "," }
            grouped.append(digit)
        }
        return value < 0 ? "-\(grouped)" : grouped
    }

    /// A figure, or `?`: unknown is never shown as zero.
    package static func figure(_ figure: WireFigure) -> String { figure.known ? number(figure.value) : "?" }

    /// A load or the like with at most two decimals; `?` for what is no number of that kind.
    package static func fraction(_ value: Double) -> String {
        guard value.isFinite, value.magnitude < 1e9 else { return "?" }
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths < 0 ? "-" : "")\(hundredths.magnitude / 100).\(two(hundredths.magnitude % 100))"
    }

    /// How old a word is: `0.4s`, `14s`, `3min`, `2h`, `5d`.
    package static func age(_ nanoseconds: UInt64) -> String {
        let tenths = nanoseconds / 100_000_000
        if tenths < 100 { return "\(tenths / 10).\(tenths % 10)s" }
        let seconds = tenths / 10
        if seconds < 120 { return "\(seconds)s" }
        if seconds < 7_200 { return "\(seconds / 60)min" }
        if seconds < 172_800 { return "\(seconds / 3_600)h" }
        return "\(seconds / 86_400)d"
    }

    /// How long something has run: `09:58:12`, from 100 hours on `12 d`.
    package static func uptime(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        if seconds >= 360_000 { return "\(seconds / 86_400) d" }
        return "\(two(seconds / 3_600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
    }

    package static func took(_ nanoseconds: UInt64) -> String { Duration.nanoseconds(Int64(clamping: nanoseconds)).words }

    package static func bytes(_ count: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(count)
        var unit = 0
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        if unit == 0 || value >= 100 { return "\(Int(value.rounded())) \(units[unit])" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(units[unit])"
    }

    /// A digest as people compare it: its first 12 characters.
    ///
    /// Digests with dashes are short already.
    package static func digest(_ digest: String) -> String {
        if digest.isEmpty { return "?" }
        return digest.contains("-") || digest.count <= 16 ? digest : String(digest.prefix(12))
    }

    package static func two(_ value: some BinaryInteger) -> String { value < 10 ? "0\(value)" : "\(value)" }

    package static func plural(_ count: Int, _ one: String, _ many: String? = nil) -> String {
        "\(number(count)) \(count == 1 ? one : many ?? one + "s")"
    }

    package static func left(_ text: String, _ width: Int) -> String {
        text.count >= width ? String(text.prefix(width)) : text + String(repeating: " ", count: width - text.count)
    }

    /// At least so wide; never cut.
    package static func padded(_ text: String, _ width: Int) -> String { text.count >= width ? text : left(text, width) }

    /// As much of a text as fits, cut at a word, with what says that it was cut.
    package static func cut(_ text: String, _ width: Int) -> String {
        if text.count <= width { return text }
        let room = text.prefix(max(0, width - 1))
        // A first word that is too long by itself is cut where it is.
        guard let space = room.lastIndex(of: " "), room.distance(from: room.startIndex, to: space) * 2 >= width else { return room + "…" }
        return room[..<space].trimmingRight + "…"
    }

    /// A name as far as it fits: what tells it from others stands at both ends, so it is shortened in the middle.
    package static func middle(_ text: String, _ width: Int) -> String {
        guard text.count > width else { return text }
        let kept = max(2, width) - 1
        return text.prefix(kept - kept / 2) + "…" + text.suffix(kept / 2)
    }

    package static func right(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : String(repeating: " ", count: width - text.count) + text
    }

    /// Breaks at spaces what is wider than that; further lines are indented.
    ///
    /// What fits stays as it is.
    package static func wrapped(_ text: String, width: Int, indent: String) -> [String] {
        if text.count <= width { return text.isEmpty ? [] : [text] }
        var lines: [String] = []
        var line = String(text.prefix { $0 == " " })
        var isBare = true
        for word in text.split(separator: " ") {
            if !isBare, line.count + 1 + word.count > width {
                lines.append(line)
                line = indent + word
            } else {
                line += isBare ? String(word) : " \(word)"
            }
            isBare = false
        }
        lines.append(line)
        return lines
    }
}

extension Substring {
    fileprivate var trimmingRight: Substring {
        var text = self
        while let last = text.last, [" ", ",", ";", "·"].contains(last) { text.removeLast() }
        return text
    }
}
