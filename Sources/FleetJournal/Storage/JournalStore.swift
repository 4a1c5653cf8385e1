import FleetCore
import FleetTrust
import LinuxHost

/// A journal's file and its reserve, and the rule between them: one chain, whichever holds its end.
///
/// Owned by one thread at a time; not Sendable.
final class JournalStore {
    typealias Outcome = Result<[Journal.Appended], JournalError>

    private struct Gap {
        var since: UInt64
        var because: LinuxError
        var kept: Int
        var lost: Int
        /// The reserve's lines, again in memory.
        var lines: [UInt8]
    }

    private let file: JournalFile
    private let reserve: JournalReserve?
    private(set) var chain: JournalChain
    private var gap: Gap?

    init(file: JournalFile, reserve: JournalReserve?, chain: JournalChain) {
        self.file = file
        self.reserve = reserve
        self.chain = chain
    }

    var isInReserve: Bool { gap != nil }

    /// Appends records in one write and one sync, durable when this returns.
    func append(_ records: [AuditRecord]) -> Outcome {
        if gap != nil { _ = leaveReserve() }
        var next = chain
        var bytes: [UInt8] = []
        var appended: [Journal.Appended] = []
        for var record in records {
            let line = next.extend(with: &record)
            if line.payload.count > JournalLine.payloadMax { return .failure(.tooLarge(bytes: line.payload.count)) }
            bytes += line.bytes
            appended.append(
                Journal.Appended(sequence: record.sequence, hash: Digest.hex(line.hash), unixMicroseconds: record.unixMicroseconds))
        }
        if gap == nil {
            do throws(LinuxError) {
                try file.append(bytes)
                chain = next
                return .success(appended)
            } catch {
                gap = Gap(since: Clock.unixMicroseconds(), because: error, kept: 0, lost: 0, lines: [])
            }
        }
        return appendToReserve(bytes, records.count, appended, next)
    }

    private func appendToReserve(
        _ bytes: [UInt8], _ count: Int, _ appended: [Journal.Appended], _ next: JournalChain
    ) -> Outcome {
        guard let because = gap?.because else { preconditionFailure("the reserve is used without a gap") }
        do throws(LinuxError) {
            guard let reserve else { throw because }
            try reserve.append(bytes)
            gap?.lines += bytes
            gap?.kept += count
            chain = next
            return .success(appended)
        } catch {
            gap?.lost += count
            return .failure(.full(because))
        }
    }

    /// Takes lines that an earlier process left in the reserve; `lines` follow `chain` and end at `end`.
    func adopt(lines: [UInt8], count: Int, end: JournalChain) {
        reserve?.keep(lines.count)
        let because = LinuxError("write", file.path, errno: 0, detail: "an earlier process ended while its journal could not grow")
        gap = Gap(since: Clock.unixMicroseconds(), because: because, kept: count, lost: 0, lines: lines)
        chain = end
    }

    /// Tries to bring the reserve's lines home, with a record of the gap behind them; that record, or nil while it can't.
    func leaveReserve() -> AuditRecord? {
        guard let gap else { return nil }
        var record = AuditRecord(
            .journalGap,
            reason: "\(gap.because)",
            fields: [
                ("since", Clock.rfc3339(unixMicroseconds: gap.since)), ("kept_in_reserve", "\(gap.kept)"), ("lost", "\(gap.lost)"),
            ])
        record.unixMicroseconds = Clock.unixMicroseconds()
        var next = chain
        let line = next.extend(with: &record)
        do throws(LinuxError) {
            try file.append(gap.lines + line.bytes)
            chain = next
            self.gap = nil
        } catch { return nil }
        do throws(LinuxError) { try reserve?.clear() } catch {
            // Its lines are in the journal now; the next start recognises them by their numbers and clears them then.
            reserve?.keep(gap.lines.count)
        }
        return record
    }
}
