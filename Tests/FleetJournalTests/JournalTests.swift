import FleetCore
import FleetJournal
import Glibc
import LinuxHost
import Synchronization
import TestSupport
import Testing

@Suite("A journal")
struct JournalTests {
    @Test("its records read back in order, and the chain verifies")
    func chain() async throws {
        let scratch = try Scratch()
        let opened = try Journal.open(path: scratch.journal)
        #expect(opened.records.isEmpty && opened.repair == nil && opened.warning == nil)
        #expect(opened.journal.head == .empty)
        let first = try await opened.journal.append(AuditRecord(.agentStart, host: "md-1"))
        let rest = try await opened.journal.append(AuditRecord(.workerStart), AuditRecord(.workerReady))
        #expect(first.map(\.sequence) == [1] && rest.map(\.sequence) == [2, 3])
        #expect(opened.journal.head == JournalHead(sequence: 3, hash: rest[1].hash))
        opened.journal.close()
        let again = try Journal.open(path: scratch.journal)
        #expect(again.records.map(\.event) == ["AGENT_START", "WORKER_START", "WORKER_READY"])
        #expect(again.records.map(\.sequence) == [1, 2, 3])
        #expect(again.records[0].unixMicroseconds == first[0].unixMicroseconds)
        #expect(again.journal.head == opened.journal.head)
        let report = try JournalVerifier.verify(scratch.journal, anchors: [again.journal.head])
        #expect(report.isIntact && report.count == 3 && report.anchoredUpTo == 3, "\(report.text)")
    }

    @Test("a second writer is refused while it is open, and welcome once it is closed")
    func secondWriter() throws {
        let scratch = try Scratch()
        let opened = try Journal.open(path: scratch.journal)
        #expect(throws: JournalError.inUse(path: scratch.journal)) { try Journal.open(path: scratch.journal) }
        opened.journal.close()
        try Journal.open(path: scratch.journal).journal.close()
    }

    @Test("many callers at once: every record is kept once, each caller's in its order")
    func manyCallers() async throws {
        let scratch = try Scratch()
        let journal = try Journal.open(path: scratch.journal).journal
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<20 {
                group.addTask {
                    for number in 0..<50 { try await journal.append(AuditRecord("E", fields: [("caller", "\(caller)"), ("n", "\(number)")])) }
                }
            }
            try await group.waitForAll()
        }
        journal.close()
        let opened = try Journal.open(path: scratch.journal)
        #expect(opened.records.count == 1_000)
        for caller in 0..<20 {
            let numbers = opened.records.filter { $0["caller"] == "\(caller)" }.compactMap { $0["n"] }
            #expect(numbers == (0..<50).map { "\($0)" })
        }
        #expect(try JournalVerifier.verify(scratch.journal).isIntact)
    }

    @Test("after it is closed a record is refused, and what was queued before is written")
    func closed() async throws {
        let scratch = try Scratch()
        let journal = try Journal.open(path: scratch.journal).journal
        let done = Mutex(0)
        for _ in 0..<500 {
            journal.append([AuditRecord("E")]) { if case .success = $0 { done.withLock { $0 += 1 } } }
        }
        journal.close()
        #expect(done.withLock { $0 } == 500)
        await #expect(throws: JournalError.closed) { try await journal.append(AuditRecord("E")) }
    }

    @Test("more records than may wait are refused at once, and none of them is kept")
    func queueFull() async throws {
        let scratch = try Scratch()
        let journal = try Journal.open(path: scratch.journal).journal
        let outcome = await withCheckedContinuation { continuation in
            journal.append(Array(repeating: AuditRecord("E"), count: Journal.queueMax + 1)) { continuation.resume(returning: $0) }
        }
        #expect(throws: JournalError.queueFull(limit: Journal.queueMax)) { try outcome.get() }
        #expect(try await journal.append(AuditRecord("E"))[0].sequence == 1)
    }

    @Test("a record larger than a line is refused and the journal goes on")
    func tooLarge() async throws {
        let scratch = try Scratch()
        let journal = try Journal.open(path: scratch.journal).journal
        let large = AuditRecord("E", reason: String(repeating: "x", count: 1 << 20))
        await #expect(throws: JournalError.self) { try await journal.append(large) }
        #expect(try await journal.append(AuditRecord("E"))[0].sequence == 1)
    }

    @Test("a last line torn anywhere is cut aside, recorded, and the chain goes on")
    func tornTail() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 3)
        let whole = try bytes(scratch.journal)
        let last = try lines(scratch.journal)[2]
        for kept in [1, 10, 64, 65, 66, last.count / 2, last.count - 1] {
            let torn = Array(last.prefix(kept))
            try write(whole.dropLast(last.count) + torn, scratch.journal)
            try Files.remove(scratch.journal + ".torn-1")
            #expect(try JournalVerifier.verify(scratch.journal).tornBytes == kept)
            let opened = try Journal.open(path: scratch.journal)
            #expect(opened.repair != nil)
            #expect(opened.records.map(\.event) == ["WORKER_STOP", "WORKER_STOP", "JOURNAL_REPAIRED"])
            #expect(opened.records[2]["bytes"] == "\(kept)" && opened.records[2].sequence == 3)
            #expect(try bytes(scratch.journal + ".torn-1") == torn)
            try await opened.journal.append(AuditRecord("E"))
            opened.journal.close()
            let report = try JournalVerifier.verify(scratch.journal)
            #expect(report.isIntact && report.count == 4 && report.tornBytes == 0, "\(report.text)")
        }
    }

    @Test("zeroes that a crash left behind the last record are cut aside as well")
    func zeroTail() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 2)
        try write(try bytes(scratch.journal) + [UInt8](repeating: 0, count: 4_096), scratch.journal)
        let opened = try Journal.open(path: scratch.journal)
        #expect(opened.records.last?["bytes"] == "4096")
    }

    @Test("a chain that does not hold is not opened, and the file is left as it is")
    func broken() async throws {
        let scratch = try Scratch()
        _ = try await makeJournal(scratch.journal, count: 3)
        var bytes = try bytes(scratch.journal)
        bytes[100] ^= 1
        try write(bytes, scratch.journal)
        do {
            _ = try Journal.open(path: scratch.journal)
            Issue.record("a changed record was accepted")
        } catch {
            guard case .broken(_, line: 1, _) = error else { throw error }
            #expect("\(error)".contains("trading audit verify"))
        }
        #expect(try FleetJournalTests.bytes(scratch.journal) == bytes)
    }

    @Test("lines that an earlier process left in the reserve are brought home")
    func reserveLeft() async throws {
        let scratch = try Scratch()
        let records = try await makeJournal(scratch.journal, count: 4)
        let all = try lines(scratch.journal)
        // As if the file could not grow after record 2, and the process ended before it could again.
        try write(all[0] + all[1], scratch.journal)
        try write(all[2] + all[3] + [UInt8](repeating: 0, count: 1_000), scratch.journal + ".reserve")
        let opened = try Journal.open(path: scratch.journal)
        #expect(Array(opened.records.prefix(4)) == records)
        #expect(opened.records.last?.known == .journalGap && opened.records.last?["kept_in_reserve"] == "2")
        opened.journal.close()
        #expect(try bytes(scratch.journal + ".reserve").allSatisfy { $0 == 0 })
        // And lines that were brought home already are recognised.
        try write(all[2] + all[3] + [UInt8](repeating: 0, count: 1_000), scratch.journal + ".reserve")
        let again = try Journal.open(path: scratch.journal)
        #expect(again.records.count == 5)
        #expect(try JournalVerifier.verify(scratch.journal).isIntact)
    }

    @Test("on a full disk the reserve takes records of the same chain, and the gap is recorded afterwards", .enabled(if: Tmpfs.isPossible))
    func diskFull() async throws {
        let disk = try Tmpfs(kilobytes: 512)
        let path = disk.path + "/journal"
        let opened = try Journal.open(path: path)
        let journal = opened.journal
        try await journal.append(AuditRecord("BEFORE"))
        try disk.fill()
        // Until the last page of the file itself is used up, and then some.
        var kept = 1
        for _ in 0..<100 {
            try await journal.append(AuditRecord("MEANWHILE", reason: String(repeating: "x", count: 200)))
            kept += 1
        }
        #expect(try bytes(path + ".reserve").contains { $0 != 0 })
        #expect(journal.head.sequence == UInt64(kept))
        try disk.empty()
        try await journal.append(AuditRecord("AFTER"))
        journal.close()
        let again = try Journal.open(path: path)
        #expect(again.records.count == kept + 2)
        #expect(again.records.dropLast().last?.known == .journalGap)
        #expect(again.records.dropLast().last?["lost"] == "0")
        #expect(try bytes(path + ".reserve").allSatisfy { $0 == 0 })
        #expect(try JournalVerifier.verify(path).isIntact)
        again.journal.close()
    }

    @Test("when the reserve is full too, records fail, are counted, and the chain still verifies", .enabled(if: Tmpfs.isPossible))
    func reserveFull() async throws {
        let disk = try Tmpfs(kilobytes: 512)
        let path = disk.path + "/journal"
        let journal = try Journal.open(path: path).journal
        try disk.fill()
        var kept = 0
        var lost = 0
        for _ in 0..<400 {
            do {
                try await journal.append(AuditRecord("MEANWHILE", reason: String(repeating: "x", count: 1_000)))
                kept += 1
            } catch let error as JournalError {
                guard case .full = error else { throw error }
                lost += 1
            }
        }
        #expect(kept > 200 && lost > 50)
        try disk.empty()
        journal.close()
        let again = try Journal.open(path: path)
        #expect(again.records.count == kept + 1)
        #expect(again.records.last?["lost"] == "\(lost)")
        #expect(try JournalVerifier.verify(path).isIntact)
        again.journal.close()
    }
}
