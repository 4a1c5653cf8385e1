import FleetCore
import FleetJournal
import Glibc
import LinuxHost
import Testing

/// A directory of its own for one test, gone with it.
final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/trading-journal-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw LinuxError("make a directory like", "/tmp/trading-journal-XXXXXX", errno: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        do { try Files.removeTree(path) } catch { Issue.record("\(error)") }
    }

    var journal: String { path + "/journal" }
}

extension Journal {
    /// Appends and waits, without blocking a thread.
    @discardableResult
    func append(_ records: AuditRecord...) async throws -> [Appended] {
        try await withCheckedContinuation { continuation in
            append(records) { continuation.resume(returning: $0) }
        }.get()
    }
}

/// A journal of `count` records, closed.
func makeJournal(_ path: String, count: Int) async throws -> [AuditRecord] {
    let opened = try Journal.open(path: path)
    for number in 1...count {
        try await opened.journal.append(
            AuditRecord(.workerStop, worker: WorkerName("feed", on: "md-1"), by: "ops-1", reason: "stop \(number)", run: 7))
    }
    opened.journal.close()
    let again = try Journal.open(path: path)
    again.journal.close()
    return again.records
}

func bytes(_ path: String) throws -> [UInt8] { try Files.read(path, limit: 1 << 24) }

func write(_ bytes: [UInt8], _ path: String) throws { try Files.writeAtomically(path, bytes, mode: 0o640, sync: false) }

/// The lines with their newlines.
func lines(_ path: String) throws -> [[UInt8]] { try bytes(path).split(separator: 10).map { Array($0) + [10] } }
