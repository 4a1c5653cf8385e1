import FleetCore
import FleetJournal
import LinuxHost
import Testing

@Suite("Verifying a journal")
struct JournalVerifierTests {
    @Test("any byte that is changed is found")
    func anyByte() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 3)
        let whole = try bytes(scratch.journal)
        for index in whole.indices {
            for flip in [UInt8(1), 0x20, 0x80] {
                var changed = whole
                changed[index] ^= flip
                try write(changed, scratch.journal)
                let report = try JournalVerifier.verify(scratch.journal)
                // The newline of the last line is what says that it is a whole line.
                #expect(!report.isIntact || (index == whole.count - 1 && report.tornBytes > 0), "byte \(index) ^ \(flip)")
            }
        }
    }

    @Test("a changed payload is one finding, at its line")
    func changedPayload() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        var all = try lines(scratch.journal)
        let place = try #require(String(decoding: all[2], as: UTF8.self).firstRange(of: "stop 3"))
        let text = String(decoding: all[2], as: UTF8.self)
        all[2] = Array((text[..<place.lowerBound] + "stop 9" + text[place.upperBound...]).utf8)
        try write(all.flatMap { $0 }, scratch.journal)
        let report = try JournalVerifier.verify(scratch.journal)
        #expect(report.findings.map(\.line) == [3] && report.findings[0].what.contains("record 3 was changed"), "\(report.text)")
        #expect(report.text.contains(":3: ") && report.text.contains("NOT INTACT"))
    }

    @Test("a changed hash is one finding, at its line")
    func changedHash() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        var all = try lines(scratch.journal)
        all[2][5] = all[2][5] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
        try write(all.flatMap { $0 }, scratch.journal)
        #expect(try JournalVerifier.verify(scratch.journal).findings.map(\.line) == [3])
    }

    @Test("a missing record is named, wherever it stood", arguments: 0..<4)
    func missing(index: Int) async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        var all = try lines(scratch.journal)
        all.remove(at: index)
        try write(all.flatMap { $0 }, scratch.journal)
        let report = try JournalVerifier.verify(scratch.journal)
        #expect(report.findings.map(\.line) == [index + 1])
        #expect(report.findings[0].what.contains("record \(index + 1) is missing"), "\(report.text)")
    }

    @Test("two records that changed places are found")
    func reordered() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        var all = try lines(scratch.journal)
        all.swapAt(1, 2)
        try write(all.flatMap { $0 }, scratch.journal)
        let report = try JournalVerifier.verify(scratch.journal)
        #expect(report.findings.map(\.line).prefix(2) == [2, 3], "\(report.text)")
        #expect(report.findings[1].what.contains("record 2 stands where"))
    }

    @Test("a record that is repeated is found")
    func repeated() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 3)
        let all = try lines(scratch.journal)
        try write((all + [all[2]]).flatMap { $0 }, scratch.journal)
        #expect(try JournalVerifier.verify(scratch.journal).findings.map(\.line) == [4])
    }

    @Test("a tail that was cut off is found by an anchor, and only by one")
    func truncated() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        let anchor = try JournalVerifier.verify(scratch.journal).head
        try write(try lines(scratch.journal).prefix(3).flatMap { $0 }, scratch.journal)
        #expect(try JournalVerifier.verify(scratch.journal).isIntact)
        let report = try JournalVerifier.verify(scratch.journal, anchors: [anchor])
        #expect(report.findings.map(\.line) == [4] && report.findings[0].what.contains("record 5 was anchored and is missing"))
    }

    @Test("a chain that was rewritten whole is found by an anchor")
    func rewritten() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 5)
        let anchor = try JournalVerifier.verify(scratch.journal).head
        try Files.remove(scratch.journal)
        _ = try await makeJournal(scratch.journal, count: 6)
        #expect(try JournalVerifier.verify(scratch.journal).isIntact)
        let report = try JournalVerifier.verify(scratch.journal, anchors: [anchor])
        #expect(report.findings.map(\.line) == [5] && report.anchoredUpTo == 0, "\(report.text)")
    }

    @Test("what lies beyond the last anchor is called unanchored")
    func unanchored() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 3)
        let anchor = try JournalVerifier.verify(scratch.journal).head
        let opened = try Journal.open(path: scratch.journal)
        try await opened.journal.append(AuditRecord("E"))
        opened.journal.close()
        let report = try JournalVerifier.verify(scratch.journal, anchors: [anchor])
        #expect(report.anchoredUpTo == 3 && report.text.contains("anchored up to 3, unanchored beyond"))
    }

    @Test("a file without a newline, or full of them, ends the check and not the machine")
    func garbage() throws {
        let scratch = try Scratch()
        try write([UInt8](repeating: 65, count: 3 << 20), scratch.journal)
        #expect(!(try JournalVerifier.verify(scratch.journal).isIntact))
        try write([UInt8](repeating: 10, count: 5_000), scratch.journal)
        let report = try JournalVerifier.verify(scratch.journal)
        #expect(report.findingsCount == 5_000 && report.findings.count == VerifyReport.findingsMax)
        #expect(throws: LinuxError.self) { try JournalVerifier.verify(scratch.path + "/nothing") }
    }
}
