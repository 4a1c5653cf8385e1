/// One figure of a benchmark, in the form that all of them print.
struct BenchLine: Sendable {
    let metric: String
    let unit: String
    let value: Double
    /// Another program that the figure is of.
    let peer: String?

    init(_ metric: String, _ unit: String, _ value: Double, peer: String? = nil) {
        self.metric = metric
        self.unit = unit
        self.value = value
        self.peer = peer
    }

    func text(bench: String) -> String {
        "bench=\(bench) metric=\(metric) unit=\(unit) value=\(Self.number(value))\(peer.map { " peer=\($0)" } ?? "")"
    }

    static func print(bench: String, _ lines: [BenchLine]) {
        for line in lines { Swift.print(line.text(bench: bench)) }
    }

    /// A table with a header; the first column to the left, the others to the right.
    static func table(_ rows: [[String]]) -> String {
        guard let columns = rows.map(\.count).max() else { return "" }
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                let pad = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + pad : pad + cell
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    /// Whole numbers as such, others with three decimals.
    static func number(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        let thousandths = Int64((value * 1_000).rounded())
        let fraction = "\(abs(thousandths) % 1_000)"
        let sign = thousandths < 0 ? "-" : ""
        return "\(sign)\(abs(thousandths) / 1_000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
    }

    /// The value at `share` (0...1) of sorted values; zero when there are none.
    static func percentile(_ values: [Double], _ share: Double) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}
