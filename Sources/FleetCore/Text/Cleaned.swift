/// Text from outside, made fit for a terminal and a log: the only place where this is done.
///
/// What moves a cursor, ends a line, hides or reorders text is shown as what it is: `\xNN` for control characters, `\u{NNNN}`
/// for the bidirectional controls and the line and paragraph separators. The audit keeps the bytes as they came.
package enum Cleaned {
    /// `text` on one line. Newlines and tabs are control characters as well.
    package static func text(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHarmful) else { return text }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isHarmful(scalar) { out.append(contentsOf: shown(scalar).unicodeScalars) } else { out.append(scalar) }
        }
        return String(out)
    }

    /// The same, at most `bytesMax` bytes of it.
    package static func text(_ text: String, bytesMax: Int) -> String { cut(Self.text(cut(text, bytesMax: bytesMax)), bytesMax: bytesMax) }

    /// Lines that belong to a text of ours, which may break; everything else as above.
    package static func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { Self.text(String($0)) }.joined(separator: "\n")
    }

    /// `text`, cut at a character so that with the mark of the cut it has at most `bytesMax` bytes, which are at least 3.
    package static func cut(_ text: String, bytesMax: Int) -> String {
        guard text.utf8.count > bytesMax else { return text }
        let mark = "…"
        var out = ""
        var bytes = mark.utf8.count
        for scalar in text.unicodeScalars {
            bytes += UTF8.width(scalar)
            if bytes > bytesMax { break }
            out.unicodeScalars.append(scalar)
        }
        return out + mark
    }

    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0: true
        // Unicode Standard Annex 9: marks, embeddings, overrides and isolates; and what breaks a line.
        case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        // Invisible: two names that look alike.
        case 0x200B...0x200D, 0x2060, 0xFEFF: true
        default: false
        }
    }

    private static func shown(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return scalar.value < 0x100 ? "\\x" + (digits.count < 2 ? "0" : "") + digits : "\\u{\(digits)}"
    }
}
