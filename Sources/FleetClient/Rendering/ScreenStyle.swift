import FleetCore

/// How a screen may look: the words are always the same.
package struct ScreenStyle: Equatable, Sendable {
    /// Columns of the terminal.
    package var width: Int
    /// A UTF-8 locale: ✓ and · instead of + and |.
    package var unicode: Bool
    package var colour: Bool

    /// Where there is no terminal: a file, a pipe.
    package static let widthUsual = 100
    private static let widths = 40...400

    package init(width: Int = widthUsual, unicode: Bool = true, colour: Bool = false) {
        self.width = min(max(width, Self.widths.lowerBound), Self.widths.upperBound)
        self.unicode = unicode
        self.colour = colour
    }

    /// Works the style into finished lines: cleaned of what is not text, broken where they are wider than the screen so that nothing is lost,
    /// plain ASCII where nothing else is understood. Colour comes last, with ``coloured(_:)``, so that no escape sequence from outside survives.
    package func apply(_ lines: [String]) -> [String] {
        lines.flatMap { line -> [String] in
            let clean = Cleaned.text(line)
            guard clean.count > width else { return [unicode ? clean : Self.ascii(clean)] }
            return ScreenText.wrapped(clean, width: width, indent: "    ").flatMap(broken).map { unicode ? $0 : Self.ascii($0) }
        }.map { line in
            var line = line
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// A word wider than the screen stands on several lines.
    private func broken(_ line: String) -> [String] {
        var rest = line[...]
        var parts: [String] = []
        while rest.count > width {
            parts.append(String(rest.prefix(width)))
            rest = rest.dropFirst(width)
        }
        return parts + [String(rest)]
    }

    package static func ascii(_ text: String) -> String {
        var plain = ""
        for character in text {
            switch character {
            case "✓": plain += "+"
            case "·": plain += "|"
            case "∥": plain += "||"
            case "…": plain += "..."
            case "±": plain += "+/-"
            case "µ": plain += "u"
            default: plain += character.isASCII ? String(character) : "?"
            }
        }
        return plain
    }

    /// The line in its colour, which repeats what the first character or the verdict already says; as it is without colour.
    package func coloured(_ text: String) -> String { colour ? Self.coloured(text) : text }

    private static func coloured(_ text: String) -> String {
        let code: String?
        if text.hasPrefix("✓ ") || text.hasPrefix("+ ") || text.hasSuffix("verdict: proven") {
            code = "32"
        } else if text.hasPrefix("! ") || text.contains("verdict: contradicted") || text.hasPrefix("BLOCKED") || text.hasPrefix("FAILED") {
            code = "31"
        } else if text.hasPrefix("? ") || text.contains("verdict: unproven") || text.hasPrefix("HOLD") {
            code = "33"
        } else if let first = text.first, first.isUppercase, text.prefix(5).allSatisfy({ $0.isUppercase || $0 == " " }) {
            code = "1"
        } else {
            code = nil
        }
        return code.map { "\u{1B}[\($0)m\(text)\u{1B}[0m" } ?? text
    }
}
