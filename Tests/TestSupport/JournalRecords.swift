import Foundation

/// The records of the journal at `path`, oldest first, read while its program may be writing: the kernel shows a reader parts of a
/// write, so that what follows the last line end is left out. Throws where the file can't be read or a whole line is no JSON.
package func journalRecords(at path: String) throws -> [[String: Any]] {
    let written = try Data(contentsOf: URL(fileURLWithPath: path))
    let whole = written.prefix(upTo: written.lastIndex(of: UInt8(ascii: "\n")) ?? written.startIndex)
    return try whole.split(separator: UInt8(ascii: "\n")).compactMap { line in
        // A line begins with its hash (64 characters) and a space.
        try JSONSerialization.jsonObject(with: line.dropFirst(65)) as? [String: Any]
    }
}
