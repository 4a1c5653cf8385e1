import FleetProbes

/// Reads a Redis stream as one consumer of a group.
///
/// After any thrown error it must be dropped; a new one resumes with the entries that were delivered to this consumer
/// and not acknowledged (`ownPending`), so nothing depends on what the old one held in memory. The consumer's name must
/// therefore be the same over restarts.
final class GroupReader {
    /// Redis answers within milliseconds or not at all.
    static let answerLimit = Duration.seconds(5)

    private let connection: RedisConnection
    private let stream: String
    private let group: String
    private let consumer: String
    private let options: GroupOptions

    /// Connects and makes sure of the group. A new group starts at the stream's first entry ("0"), so what was produced
    /// before it existed is not missed; a missing stream is made empty.
    init(_ endpoint: Endpoint, stream: String, group: String, consumer: String, options: GroupOptions)
        throws(ProbeError)
    {
        let deadline = Deadline(in: .seconds(2))
        connection = try RedisConnection(endpoint, by: deadline)
        self.stream = stream
        self.group = group
        self.consumer = consumer
        self.options = options
        let answer = try connection.call("XGROUP", "CREATE", stream, group, "0", "MKSTREAM", by: deadline)
        if let text = answer.errorText, !text.hasPrefix("BUSYGROUP") {
            throw ProbeError("make", "group \(group) of stream \(stream) in Redis at \(endpoint)", .refused(text))
        }
    }

    /// Entries delivered to this consumer earlier and not acknowledged, after an id ("0": from the first).
    func ownPending(after id: String) throws(ProbeError) -> [StreamEntry] {
        try read(
            ["XREADGROUP", "GROUP", group, consumer, "COUNT", "\(options.batch)", "STREAMS", stream, id], wait: .zero)
    }

    /// New entries; empty when none came within the block time.
    func next() throws(ProbeError) -> [StreamEntry] {
        try read(
            [
                "XREADGROUP", "GROUP", group, consumer, "COUNT", "\(options.batch)", "BLOCK", "\(options.block)",
                "STREAMS", stream, ">",
            ],
            wait: .milliseconds(options.block))
    }

    func acknowledge(_ entries: [StreamEntry]) throws(ProbeError) {
        guard !entries.isEmpty else { return }
        _ = try connection.demand(["XACK", stream, group] + entries.map(\.id), by: Deadline(in: Self.answerLimit))
    }

    private func read(_ command: [String], wait: Duration) throws(ProbeError) -> [StreamEntry] {
        let answer = try connection.demand(command, by: Deadline(in: wait + Self.answerLimit))
        guard let streams = answer.items else { return [] }
        guard let entries = streams.first?.items?.last?.items else {
            throw ProbeError("understand", "the answer to XREADGROUP", .malformed("no entries in it"))
        }
        var out: [StreamEntry] = []
        out.reserveCapacity(entries.count)
        for entry in entries { out.append(try StreamEntry(entry)) }
        return out
    }
}
