import FleetCore
import FleetJournal
import Testing

@Suite("An audit record")
struct AuditRecordTests {
    @Test("it reads back from its JSON as it was")
    func roundTrip() throws {
        let record = AuditRecord(
            "SHUTDOWN_START", host: "md-1", worker: "feed@md-1", by: "ops-1", reason: "end of \"day\"\n\u{7f}", run: 311,
            fields: [("b", "2"), ("a", "1"), ("b", "3")], sequence: 20_118, unixMicroseconds: 1_795_367_100_412_345)
        #expect(record.fields.map(\.key) == ["b", "a"])
        #expect(record["b"] == "3")
        let json = record.json()
        #expect(!json.contains(10))
        #expect(try AuditRecord(json: json) == record)
        #expect(String(decoding: json, as: UTF8.self).hasPrefix(#"{"seq":20118,"time":"2026-11-22T17:05:00.412345Z","event":"SHUTDOWN_START","host":"md-1""#))
    }

    @Test("what is nil is left out", arguments: [0, 1, 951_782_399_999_999, 4_102_444_800_000_000, 253_402_300_799_999_999] as [UInt64])
    func times(unixMicroseconds: UInt64) throws {
        let record = AuditRecord("AGENT_START", sequence: 1, unixMicroseconds: unixMicroseconds)
        #expect(try AuditRecord(json: record.json()) == record)
        #expect(!String(decoding: record.json(), as: UTF8.self).contains("null"))
    }

    @Test(
        "what is not a record is refused",
        arguments: [
            "", "[]", "{}", #"{"seq":0,"time":"2026-11-22T17:05:00.412345Z","event":"X"}"#,
            #"{"seq":1,"time":"2026-02-29T17:05:00.412345Z","event":"X"}"#, #"{"seq":1,"time":"2026-11-22T17:05:00Z","event":"X"}"#,
            #"{"seq":1,"time":"2026-11-22T17:05:00.412345Z"}"#, #"{"seq":1,"time":"2026-11-22T17:05:00.412345Z","event":"X","fields":{"a":1}}"#,
        ])
    func refused(text: String) {
        #expect(throws: AuditRecord.FormatError.self) { try AuditRecord(json: text.utf8) }
    }

    @Test("its line for people fits a terminal and can't move its cursor")
    func text() {
        let record = AuditRecord(
            "WORKER_STOP", worker: "feed@md-1", by: "ops-1", reason: "end of day\u{1b}[2J", run: 311, fields: [("exit", "0"), ("took", "1.2 s")],
            sequence: 20_118, unixMicroseconds: 1_795_367_100_412_345)
        #expect(
            AuditText.line(record)
                == " 20118 2026-11-22 17:05:00.412345Z WORKER_STOP        feed@md-1 run 311 by ops-1 \"end of day\\x1B[2J\" exit=0 took=\"1.2 s\"")
    }
}
