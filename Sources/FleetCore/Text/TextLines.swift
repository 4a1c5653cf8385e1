/// The lines of a text that a person may have written on any system: ended by LF or CRLF, with or without a byte order mark.
///
/// Swift takes `\r\n` for one character: `split(separator: "\n")` finds no line in such a text.
package enum TextLines {
    /// Empty lines too, without what ends them; one more than there are ends.
    package static func of(_ text: String) -> [Substring] {
        withoutMark(text).utf8.split(separator: 10, omittingEmptySubsequences: false).map { line in
            Substring(line.last == 13 ? line.dropLast() : line)
        }
    }

    /// Without U+FEFF at the start, which some editors write.
    package static func withoutMark(_ text: String) -> Substring {
        text.unicodeScalars.first == "\u{FEFF}" ? Substring(text.unicodeScalars.dropFirst()) : text[...]
    }
}
