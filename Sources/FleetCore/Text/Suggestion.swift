/// The name in `known` that `text` was probably meant to be: at most a third of its letters differ.
package func nearest(to text: String, in known: some Sequence<String>) -> String? {
    let limit = Swift.max(1, (text.count + 1) / 3)
    var best: (name: String, distance: Int)?
    for name in known {
        let distance = editDistance(text, name)
        if distance <= limit, distance < best?.distance ?? .max { best = (name, distance) }
    }
    return best?.name
}

/// `write a, b or c`, or the one that was probably meant.
package func choice(for text: String, among known: [String]) -> String {
    if let near = nearest(to: text, in: known) { return "write \(near)" }
    if known.isEmpty { return "declare it first" }
    if known.count > choicesMax { return "write one of the \(known.count) that are declared, for example \(oneOf(Array(known.prefix(3))))" }
    return "write \(oneOf(known))"
}

/// More names than these tell nobody which one was meant.
private let choicesMax = 20

/// Such as `a, b or c`.
package func oneOf(_ names: [String]) -> String {
    names.count < 2 ? names.joined() : names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
}

/// Levenshtein, with a swap of neighbours counted as one.
private func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    guard !a.isEmpty, !b.isEmpty else { return Swift.max(a.count, b.count) }
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in 1...a.count {
        var row = [i]
        for j in 1...b.count {
            var cost = Swift.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
            if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = Swift.min(cost, beforeLast[j - 2] + 1) }
            row.append(cost)
        }
        beforeLast = last
        last = row
    }
    return last[b.count]
}
