package import LinuxHost

/// Why a journal can't be opened or a record can't be kept.
package enum JournalError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file can't be read, made, cut or locked.
    case storage(LinuxError)
    /// Another process, or another part of this one, has it open.
    case inUse(path: String)
    /// The chain does not hold at this line: nothing may be appended to it.
    case broken(path: String, line: Int, why: String)
    /// Neither the file nor its reserve takes a record; what was given is lost, and counted.
    case full(LinuxError)
    /// Too many records wait to be written.
    case queueFull(limit: Int)
    /// A record is larger than a line may be.
    case tooLarge(bytes: Int)
    case closed

    package var description: String {
        switch self {
        case .storage(let error): "\(error); make sure that the state directory is there, writable and not full"
        case .inUse(let path): "\(path) is in use by another process; stop it first, or give this one a state directory of its own"
        case .broken(let path, let line, let why):
            "\(path):\(line): \(why); run  trading audit verify \(path)  and keep the file as evidence: move it aside to begin a new chain"
        case .full(let error): "\(error), and the reserve is full; free space: a JOURNAL_GAP record will say how many records are lost"
        case .queueFull(let limit): "\(limit) records wait to be written; the disk does not keep up: look at its latency"
        case .tooLarge(let bytes): "a record of \(bytes) bytes; at most \(JournalLine.payloadMax) are kept: shorten its texts"
        case .closed: "the journal is closed; open it again"
        }
    }
}

extension JournalError {
    static func wrapping<Result>(_ body: () throws(LinuxError) -> Result) throws(JournalError) -> Result {
        do throws(LinuxError) { return try body() } catch { throw .storage(error) }
    }
}
