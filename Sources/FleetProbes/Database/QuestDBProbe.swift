package import FleetCore

/// Measures a QuestDB table over its HTTP endpoint (`GET /exec`, questdb.com, REST API).
///
/// Not tested against a real QuestDB here, only against answers of the documented form.
package enum QuestDBProbe {
    /// The number of distinct values of a column, all time; only when everything written has been applied
    /// (`writerTxn = sequencerTxn`) and the table is not suspended. Otherwise the count would be too low: an error.
    package static func countDistinct(
        url: String, table: String, column: String, timeout: Duration
    ) throws(ProbeError) -> Int64 {
        let deadline = Deadline(in: timeout)
        try demandName(table)
        try demandName(column)
        let object = "column \(column) of \(table) in QuestDB at \(url)"
        let state = try query(
            url, "SELECT suspended, writerTxn, sequencerTxn FROM wal_tables() WHERE name = '\(table)'", by: deadline)
        if let row = state.first {
            guard row.count == 3, let suspended = row[0].boolValue, let writer = row[1].intValue,
                let sequencer = row[2].intValue
            else { throw ProbeError("count", object, .malformed("wal_tables() answered another form")) }
            guard !suspended else {
                throw ProbeError(
                    "count", object,
                    .refused("the table is suspended; ALTER TABLE \(table) RESUME WAL after finding out why"))
            }
            guard writer == sequencer else {
                throw ProbeError(
                    "count", object,
                    .refused("\(Bounded.sum([sequencer, 0 - max(writer, -Int64.max)]).map { "\($0)" } ?? "some") transactions are written but not applied yet"))
            }
        }
        let rows = try query(url, "SELECT count_distinct(\"\(column)\") FROM \"\(table)\"", by: deadline)
        guard let count = rows.first?.first?.intValue else {
            throw ProbeError("count", object, .malformed("no number in the answer"))
        }
        return count
    }

    /// The rows of a query's answer.
    package static func query(_ url: String, _ text: String, by deadline: Deadline) throws(ProbeError) -> [[JSON]] {
        let base = url.hasSuffix("/") ? String(url.dropLast()) : url
        let (status, body) = try HTTPProbe.get(
            "\(base)/exec?query=\(HTTPURL.encodedQueryValue(text))", timeout: deadline.remaining)
        let document: JSON
        do throws(JSON.ParseError) { document = try JSON.parse(body) } catch {
            throw ProbeError("query", "QuestDB at \(url)", .malformed("HTTP \(status), \(error)"))
        }
        guard status == 200 else {
            throw ProbeError("query", "QuestDB at \(url)", .refused(document["error"]?.stringValue ?? "HTTP \(status)"))
        }
        return (document["dataset"]?.items ?? []).map { $0.items ?? [] }
    }

    /// Names go into the query's text: letters, digits and `_` only.
    private static func demandName(_ name: String) throws(ProbeError) {
        let good =
            !name.isEmpty
            && name.utf8.allSatisfy {
                (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 95
            }
        guard good else { throw ProbeError("use", "the name \"\(name)\"", .malformed("letters, digits and _ only")) }
    }
}
