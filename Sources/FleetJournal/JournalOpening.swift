import FleetCore
import FleetTrust
import LinuxHost

/// Everything that happens when a journal is opened: verify, cut a torn line aside, bring the reserve home, say so.
struct JournalOpening {
    let store: JournalStore
    private(set) var records: [AuditRecord] = []
    /// Of each record.
    private(set) var hashes: [[UInt8]] = []
    private(set) var repair: String?
    private(set) var warning: String?

    init(path: String) throws(JournalError) {
        let file = try JournalError.wrapping { () throws(LinuxError) in try JournalFile(path: path) }
        var chain = JournalChain()
        let torn = try Self.fold(file, &chain, &records, &hashes)
        var notes: [AuditRecord] = []
        if let torn {
            let note = try Self.cutAside(file, torn)
            repair = "cut a torn line of \(torn.count) bytes aside (\(note["aside"] ?? "not kept"))"
            notes.append(note)
        }
        var left: [UInt8] = []
        var reserve: JournalReserve?
        do throws(LinuxError) {
            (reserve, left) = try JournalReserve.open(path + ".reserve")
        } catch {
            warning = "\(error): on a full disk this journal will keep no record"
        }
        let start = chain
        let (kept, lines) = Self.following(left, &chain)
        records += kept
        store = JournalStore(file: file, reserve: reserve, chain: start)
        if !kept.isEmpty {
            store.adopt(lines: lines, count: kept.count, end: chain)
            if let gap = store.leaveReserve() { records.append(gap) }
        } else if !left.isEmpty, let reserve {
            // Lines that stand in the journal already, or never became records.
            try JournalError.wrapping { () throws(LinuxError) in try reserve.clear() }
        }
        record(notes)
        if file.length == 0 { try JournalError.wrapping { () throws(LinuxError) in try Files.syncDirectory(Self.directory(of: path)) } }
    }

    /// Reads and verifies every line; the bytes after the last, if there are any.
    private static func fold(
        _ file: JournalFile, _ chain: inout JournalChain, _ records: inout [AuditRecord], _ hashes: inout [[UInt8]]
    ) throws(JournalError) -> (offset: Int, count: Int)? {
        var lines = JournalLines(file)
        var number = 0
        while true {
            let next = try JournalError.wrapping { () throws(LinuxError) in try lines.next() }
            switch next {
            case .end: return nil
            case .torn(let offset, let count): return (offset, count)
            case .line(let bytes, _):
                number += 1
                do throws(JournalChain.Refusal) {
                    records.append(try chain.accept(bytes))
                    hashes.append(chain.hash)
                } catch {
                    throw .broken(path: file.path, line: number, why: error.why)
                }
            }
        }
    }

    private static func cutAside(_ file: JournalFile, _ torn: (offset: Int, count: Int)) throws(JournalError) -> AuditRecord {
        var number = 1
        while Files.exists("\(file.path).torn-\(number)") { number += 1 }
        let aside = "\(file.path).torn-\(number)"
        var kept = aside
        do throws(LinuxError) {
            try Files.writeAtomically(aside, try file.read(at: torn.offset, count: torn.count), mode: 0o640, sync: true)
        } catch {
            // No record was ever confirmed from these bytes: a full disk must not keep the journal shut for them.
            kept = "not kept: \(error)"
        }
        try JournalError.wrapping { () throws(LinuxError) in try file.cut(to: torn.offset) }
        var record = AuditRecord(.journalRepaired, fields: [("bytes", "\(torn.count)"), ("aside", kept)])
        record.unixMicroseconds = Clock.unixMicroseconds()
        return record
    }

    /// Those of the reserve's lines that go on from the chain's end, which they move.
    private static func following(_ bytes: [UInt8], _ chain: inout JournalChain) -> (records: [AuditRecord], lines: [UInt8]) {
        var records: [AuditRecord] = []
        var lines: [UInt8] = []
        for line in bytes.split(separator: 10, omittingEmptySubsequences: false).dropLast() {
            do throws(JournalChain.Refusal) {
                records.append(try chain.accept(line))
                lines += line + [10]
            } catch {
                // Before the first: lines that were brought home already. After it: the rest was never confirmed.
                if !records.isEmpty { break }
            }
        }
        return (records, lines)
    }

    private mutating func record(_ notes: [AuditRecord]) {
        guard !notes.isEmpty else { return }
        switch store.append(notes) {
        case .success(let appended):
            for (note, place) in zip(notes, appended) {
                var note = note
                note.sequence = place.sequence
                records.append(note)
            }
        case .failure(let error): warning = "the repair is not on record: \(error)"
        }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
