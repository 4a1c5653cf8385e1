/// Rows in columns.
///
/// A table that is too wide cuts the column that is flexible, shortens names in the middle, then drops columns from the right, never
/// one that is kept.
struct ScreenTable {
    struct Column {
        var title: String
        var right = false
        /// Never dropped: names, the state, the age.
        var kept = false
        /// May be shortened in the middle.
        var name = false
        /// Takes what is left and is cut when that is too little.
        var flexible = false
    }

    enum Line {
        case row([String])
        /// A heading between rows.
        case text(String)
    }

    let columns: [Column]
    private(set) var lines: [Line] = []

    init(_ columns: [Column]) { self.columns = columns }

    mutating func add(_ cells: [String]) { lines.append(.row(cells)) }
    mutating func add(heading: String) { lines.append(.text(heading)) }

    /// The flexible column and names are shortened to this before a column goes, and to that when none is left to go.
    private static let nameUsual = 24
    private static let nameMin = 8

    /// Takes columns off the widest names first, until nothing is over or all have come down to `least`.
    private func shorten(_ widths: inout [Int], _ shown: [Int], to least: Int, over: Int) {
        var excess = over
        while excess > 0, let widest = shown.filter({ columns[$0].name && widths[$0] > least }).max(by: { widths[$0] < widths[$1] }) {
            widths[widest] -= 1
            excess -= 1
        }
    }

    func render(width: Int) -> [String] {
        var shown = Array(columns.indices)
        var widths = columns.indices.map { index in
            lines.reduce(columns[index].title.count) { widest, line in
                if case .row(let cells) = line { max(widest, cells[index].count) } else { widest }
            }
        }
        // Columns stand apart by two spaces; the first is the mark and stands apart by its own.
        func total() -> Int { shown.reduce(0) { $0 + widths[$1] } + 2 * max(0, shown.count - 1) }
        func cut(to least: Int) {
            guard let flexible = shown.first(where: { columns[$0].flexible }) else { return }
            widths[flexible] = max(min(widths[flexible], max(columns[flexible].title.count, least)), widths[flexible] - max(0, total() - width))
        }
        cut(to: Self.nameUsual)
        let over = total() - width
        shorten(&widths, shown, to: Self.nameUsual, over: over)
        cut(to: Self.nameMin)
        while total() > width, let drop = shown.last(where: { !columns[$0].kept }) { shown.removeAll { $0 == drop } }
        let still = total() - width
        shorten(&widths, shown, to: Self.nameMin, over: still)
        if let flexible = shown.first(where: { columns[$0].flexible }), total() < width { widths[flexible] += width - total() }

        func cells(_ texts: [String]) -> String {
            shown.map { index in
                if columns[index].right { return ScreenText.right(texts[index], widths[index]) }
                if columns[index].name { return ScreenText.left(ScreenText.middle(texts[index], widths[index]), widths[index]) }
                return ScreenText.left(columns[index].flexible ? ScreenText.cut(texts[index], widths[index]) : texts[index], widths[index])
            }
            .joined(separator: "  ")
        }
        return [cells(columns.map(\.title))]
            + lines.map { line in
                switch line {
                case .row(let texts): cells(texts)
                case .text(let heading): heading
                }
            }
    }
}
