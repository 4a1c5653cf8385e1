import ArgumentParser
import FleetCore
import FleetJournal

/// Heads of a journal that somebody else keeps.
struct AnchorOptions: ParsableArguments {
    @Option(name: .customLong("anchor"), help: ArgumentHelp("A head of the journal that is kept elsewhere; repeatable.", valueName: "seq:hash"))
    var anchors: [String] = []

    func heads() throws -> [JournalHead] {
        try anchors.map { text in
            let parts = text.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, let sequence = UInt64(parts[0]), sequence > 0, parts[1].count == 64, parts[1].allSatisfy(\.isHexDigit) else {
                throw Failure("--anchor \(Cleaned.text(text, bytesMax: 160)): write NUMBER:HASH, the hash with its 64 hexadecimal digits", .usage)
            }
            return JournalHead(sequence: sequence, hash: parts[1].lowercased())
        }
    }
}
