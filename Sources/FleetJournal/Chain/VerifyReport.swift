/// What an offline check of a journal found.
package struct VerifyReport: Equatable, Sendable {
    package struct Finding: Equatable, Sendable, CustomStringConvertible {
        /// In the file, from 1; past the last line for what is missing at the end.
        package let line: Int
        package let what: String
        package var description: String { "line \(line): \(what)" }
    }

    package var path: String
    /// Lines read.
    package var count = 0
    /// The last record as the file states it.
    package var head = JournalHead.empty
    /// In the order of lines; at most `findingsMax`.
    package internal(set) var findings: [Finding] = []
    package internal(set) var findingsCount = 0
    /// The last record that an anchor held elsewhere vouches for; 0: none.
    ///
    /// What follows could have been rewritten whole.
    package var anchoredUpTo: UInt64 = 0
    /// Bytes after the last newline: a line in the making, or one that a crash tore.
    ///
    /// Not a record.
    package var tornBytes = 0

    package static let findingsMax = 1_000

    package init(path: String) { self.path = path }

    /// No record was changed, is missing or out of order, as far as the chain and the anchors can tell.
    package var isIntact: Bool { findingsCount == 0 }

    mutating func add(line: Int, _ what: String) {
        findingsCount += 1
        if findings.count < Self.findingsMax { findings.append(Finding(line: line, what: what)) }
    }

    /// For the terminal: the findings, then a sentence on the whole.
    package var text: String {
        var lines = findings.map { "\(path):\($0.line): \($0.what)" }
        if findingsCount > findings.count { lines.append("… and \(findingsCount - findings.count) more") }
        if tornBytes > 0 { lines.append("\(path): \(tornBytes) bytes after the last record: a line in the making, or one that a crash tore") }
        let records = "\(count) record\(count == 1 ? "" : "s"), head \(head)"
        let anchor =
            anchoredUpTo == 0
            ? "no anchor given: the chain holds together, and could have been rewritten whole"
            : anchoredUpTo >= head.sequence ? "anchored to the end" : "anchored up to \(anchoredUpTo), unanchored beyond"
        if isIntact, count == 0 {
            // An empty file has nothing to be intact: a journal that was emptied looks the same.
            lines.append("EMPTY: \(path) holds no record, so nothing is shown by it. If it is a journal in use its records are gone")
            return lines.joined(separator: "\n")
        }
        lines.append(
            isIntact
                ? "\(anchoredUpTo == 0 ? "UNANCHORED" : "intact"): \(records), \(anchor)"
                : "NOT INTACT: \(records), \(findingsCount) finding\(findingsCount == 1 ? "" : "s")")
        return lines.joined(separator: "\n")
    }
}
