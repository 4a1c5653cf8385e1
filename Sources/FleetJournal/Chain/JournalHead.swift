/// The last record of a journal: its number and its hash, which stands for all before it.
package struct JournalHead: Hashable, Sendable, CustomStringConvertible {
    package var sequence: UInt64
    /// 64 lower-case hexadecimal digits.
    package var hash: String

    package init(sequence: UInt64, hash: String) {
        self.sequence = sequence
        self.hash = hash
    }

    /// Of a journal without a record.
    package static let empty = JournalHead(sequence: 0, hash: String(repeating: "0", count: 64))

    /// `20,118 9f2c4e0d61aa`, short for people.
    package var description: String { "\(sequence) \(hash.prefix(12))" }
}
