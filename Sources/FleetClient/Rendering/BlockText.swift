import FleetCore

/// What a run waits for, in the shape of every block: what and [slug], then why and what to type, a sentence a line.
enum BlockText {
    /// `text` is the coordinator's: sentences, perhaps with the slug in brackets at the end. It may carry words of others.
    static func lines(_ text: String, run: UInt64, width: Int) -> [String] {
        var text = text
        var slug = ""
        if text.hasSuffix("]"), let open = text.lastIndex(of: "["), !text[open...].contains(" ") {
            slug = String(text[open...])
            text = String(text[..<open])
        }
        let sentences = Self.sentences(Cleaned.text(text))
        guard let first = sentences.first else { return [] }
        let isShaped = first.hasPrefix("BLOCKED") || first.hasPrefix("HOLD")
        var head = ScreenText.wrapped(isShaped ? first : "BLOCKED  run \(run), \(first)", width: width, indent: "  ")
        if !slug.isEmpty {
            if head.count == 1, head[0].count + 2 + slug.count <= width {
                head[0] = ScreenText.left(head[0], width - slug.count) + slug
            } else {
                head[head.count - 1] += " \(slug)"
            }
        }
        return head + sentences.dropFirst().flatMap { ScreenText.wrapped("  \($0)", width: width, indent: "    ") }
    }

    private static func sentences(_ text: String) -> [String] {
        var found: [String] = []
        var sentence = ""
        for word in text.split(separator: " ") {
            sentence += sentence.isEmpty ? String(word) : " \(word)"
            if word.hasSuffix(".") {
                found.append(sentence)
                sentence = ""
            }
        }
        if !sentence.isEmpty { found.append(sentence) }
        return found
    }
}
