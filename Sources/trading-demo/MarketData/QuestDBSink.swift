import FleetCore
import FleetProbes

/// Ticks in QuestDB by the line protocol over HTTP (`POST /write`, questdb.com, ILP). Deduplicated by (ts, id).
///
/// A 204 means that the server has written the lines to its log; the table applies them a little later, which is why
/// the probe compares the writer's transaction with the sequencer's. Not tested against a real QuestDB here.
final class QuestDBSink: TickSink {
    private let url: HTTPURL
    private let base: String
    private let table: String
    private static let limit = Duration.seconds(5)

    init(url: String, table: String) throws(SinkError) {
        base = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.table = table
        do throws(ProbeError) {
            self.url = try HTTPURL(base + "/write")
            _ = try QuestDBProbe.query(
                base,
                """
                CREATE TABLE IF NOT EXISTS "\(table)" (ts TIMESTAMP, id VARCHAR, symbol SYMBOL, price LONG, \
                quantity LONG, producer VARCHAR, sequence LONG) TIMESTAMP(ts) PARTITION BY DAY WAL \
                DEDUP UPSERT KEYS(ts, id)
                """, by: Deadline(in: Self.limit))
        } catch {
            throw SinkError(operation: "prepare table \(table) in", object: "QuestDB at \(base)", why: "\(error)")
        }
    }

    func store(_ entries: [StreamEntry]) throws(SinkError) -> Int? {
        var lines = ""
        for entry in entries {
            guard let fields = entry.fields else { continue }
            lines += "\(table),symbol=\(Self.bare(fields["sym"])) id=\"\(Self.bare(entry.id))\""
            lines += ",price=\(Self.number(fields["px"]))i,quantity=\(Self.number(fields["qty"]))i"
            lines += ",producer=\"\(Self.bare(fields["p"]))\",sequence=\(Self.number(fields["n"]))i"
            // From the id and not from the clock: a repeated entry must meet its first row.
            lines += " \(entry.unixMilliseconds)\n"
        }
        guard !lines.isEmpty else { return nil }
        let answer: (status: Int, body: [UInt8])
        do throws(ProbeError) {
            answer = try HTTPProbe.post("\(base)/write?precision=ms", body: Array(lines.utf8), timeout: Self.limit)
        } catch {
            throw SinkError(operation: "write to", object: "QuestDB at \(url.endpoint)", why: "\(error)")
        }
        guard (200..<300).contains(answer.status) else {
            let words = String(decoding: answer.body.prefix(200), as: UTF8.self)
            throw SinkError(
                operation: "write to", object: "QuestDB at \(url.endpoint)", why: "HTTP \(answer.status) \(words)")
        }
        return nil
    }

    func holds(_ id: String) throws(SinkError) -> Bool? { nil }

    /// Without what has a meaning in the line protocol: the demo's own symbols and ids hold none of it.
    private static func bare(_ text: String?) -> String {
        (text ?? "").filter { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" || $0 == "." }
    }

    private static func number(_ text: String?) -> Int64 { text.flatMap { Int64($0) } ?? 0 }
}
