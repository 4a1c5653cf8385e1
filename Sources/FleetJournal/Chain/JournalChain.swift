/// The end of a chain: what the next line follows.
struct JournalChain: Equatable {
    var sequence: UInt64 = 0
    var hash = JournalLine.zeroHash

    /// The record's line as the next of this chain; the record gets its number.
    mutating func extend(with record: inout AuditRecord) -> JournalLine {
        sequence += 1
        record.sequence = sequence
        let line = JournalLine(payload: record.json(), after: hash)
        hash = line.hash
        return line
    }

    /// The record of a line that must be the next of this chain, else why it is not.
    mutating func accept(_ bytes: some RandomAccessCollection<UInt8>) throws(Refusal) -> AuditRecord {
        guard let line = JournalLine(bytes) else { throw Refusal(why: "this is no line of a journal") }
        guard JournalLine.chained(line.payload, after: hash) == line.hash else {
            throw Refusal(why: "the record does not follow from the one before it: one of them was changed, or one is missing")
        }
        let record: AuditRecord
        do throws(AuditRecord.FormatError) { record = try AuditRecord(json: line.payload) } catch {
            throw Refusal(why: "the record can't be read: \(error)")
        }
        guard record.sequence == sequence + 1 else {
            throw Refusal(why: "record \(record.sequence) stands where \(sequence + 1) should")
        }
        sequence = record.sequence
        hash = line.hash
        return record
    }

    struct Refusal: Error {
        let why: String
    }
}
