import FleetCore
import FleetTrust
import LinuxHost

/// An append-only file of records, each chained to the one before it by SHA-256.
///
/// Records are written and synced by a thread of its own: the caller never waits for storage. While the file can't grow,
/// a preallocated reserve beside it (`PATH.reserve`) takes records of the same chain; when it can again, they are
/// brought home and a JOURNAL_GAP record says since when, how many were kept and how many were lost.
package final class Journal: Sendable {
    /// Where a record now stands, durably.
    package struct Appended: Equatable, Sendable {
        package let sequence: UInt64
        /// 64 lower-case hexadecimal digits.
        package let hash: String
        package let unixMicroseconds: UInt64
    }

    /// What was found at the start.
    package struct Opened: Sendable {
        package let journal: Journal
        /// All of them, in order, those that the opening itself added included.
        package let records: [AuditRecord]
        /// Of the records that were there, as lower-case hex, by sequence from 1; empty for one that was not.
        package func hash(of sequence: UInt64) -> String {
            sequence >= 1 && sequence <= hashes.count ? Digest.hex(hashes[Int(sequence) - 1]) : ""
        }
        let hashes: [[UInt8]]
        /// What was repaired, in a sentence; nil: nothing had to be.
        package let repair: String?
        /// What this journal can't do here, in a sentence; nil: nothing.
        package let warning: String?
    }

    /// Records that may wait to be written; more are refused.
    package static let queueMax = 65_536

    package let path: String
    private let writer: JournalWriter

    private init(path: String, writer: JournalWriter) {
        self.path = path
        self.writer = writer
    }

    deinit { writer.close() }

    /// Opens or makes it, verifies the whole chain, and locks it against a second writer.
    ///
    /// A torn last line (a crash in mid-write) is cut aside to `PATH.torn-N` and recorded as JOURNAL_REPAIRED. A chain that
    /// does not hold is an error, and the file is left as it is.
    package static func open(path: String) throws(JournalError) -> Opened {
        let lock = try JournalError.wrapping { () throws(LinuxError) in try Files.lock(path) }
        guard let lock else { throw .inUse(path: path) }
        let opening = try JournalOpening(path: path)
        let writer = JournalWriter(store: opening.store, lock: lock)
        try writer.start()
        return Opened(
            journal: Journal(path: path, writer: writer), records: opening.records, hashes: opening.hashes, repair: opening.repair, warning: opening.warning)
    }

    /// Takes records in this order; `completion` is called once, when they are durable or can't be kept, on the
    /// journal's thread, or on the caller's when they are refused at once.
    ///
    /// Numbers are given here; a time of 0 becomes the present.
    package func append(
        _ records: [AuditRecord], completion: @escaping @Sendable (Result<[Appended], JournalError>) -> Void
    ) {
        let now = Clock.unixMicroseconds()
        let stamped = records.map { record in
            var record = record
            if record.unixMicroseconds == 0 { record.unixMicroseconds = now }
            return record
        }
        for record in records { Failpoint.beforeRecord.pass(record.event) }
        writer.append(
            JournalWriter.Pending(records: stamped) { result in
                if case .success = result { for record in stamped { Failpoint.afterRecord.pass(record.event) } }
                completion(result)
            })
    }

    /// The last durable record.
    package var head: JournalHead { writer.head }

    /// Waits until what was appended is written; what comes later is refused.
    package func close() { writer.close() }
}
