import FleetProbes

/// Publishes ticks to a Redis stream by pipelined XADD and knows exactly which of them Redis has.
///
/// A tick counts as produced when Redis has answered with its id. When a connection is lost, the ticks without an
/// answer are neither produced nor lost yet: the next connection first makes sure that the old one is dead at the
/// server (CLIENT KILL: what it still held unread is dropped with it), then looks for them in the stream by this
/// publisher's name and their sequence. Those found are counted, the others are sent again, in order.
final class TickPublisher {
    /// Longer than this without any answer, with some outstanding, and the connection counts as lost.
    static let answerLimit = Duration.seconds(5)
    static let connectLimit = Duration.seconds(2)
    private static let pageSize = 1_000

    private(set) var produced: UInt64 = 0
    /// Answered by Redis with an error: not in the stream.
    private(set) var refused: UInt64 = 0
    private(set) var lastRefusal = ""
    private(set) var lastID = "0-0"
    /// Sent, without an answer, oldest first.
    private(set) var outstanding: [Tick] = []

    private let endpoint: Endpoint
    private let stream: String
    /// Random, one per process: makes this publisher's entries recognisable.
    private let name: String
    private var connection: RedisConnection?
    private var connectionID: Int64 = 0
    private var serverRunID = ""
    private var hasConnectedBefore = false
    private var answerDue = Deadline(nanoseconds: .max)

    init(_ endpoint: Endpoint, stream: String) {
        self.endpoint = endpoint
        self.stream = stream
        name = String(UInt64.random(in: 0 ... .max), radix: 16)
    }

    var isConnected: Bool { connection != nil }
    /// For poll(2).
    var descriptor: Int32? { connection?.descriptor }
    var wantsToWrite: Bool { connection?.wantsToWrite ?? false }

    /// Connects and settles what the last connection left open. After an error nothing has changed but the time.
    func connect() throws(ProbeError) {
        let deadline = Deadline(in: Self.connectLimit)
        let fresh = try RedisConnection(endpoint, by: deadline)
        let info = RedisInfo(try fresh.demand(["INFO", "server"], by: deadline).text ?? "")
        guard let runID = info["run_id"], let id = try fresh.demand(["CLIENT", "ID"], by: deadline).integer else {
            throw ProbeError(
                "understand", "Redis at \(endpoint)", .malformed("no run_id in INFO or no number from CLIENT ID"))
        }
        let kind = try fresh.demand(["TYPE", stream], by: deadline).text
        guard kind == "stream" || kind == "none" else {
            throw ProbeError(
                "publish to", "\(stream) in Redis at \(endpoint)",
                .refused("the key holds a \(kind ?? "?"), not a stream"))
        }
        if !hasConnectedBefore, kind == "stream" {
            lastID = try fresh.demand(["XINFO", "STREAM", stream], by: deadline)["last-generated-id"]?.text ?? "0-0"
        }
        if !outstanding.isEmpty {
            // Another run id is another process: the old connection died with the old one.
            if runID == serverRunID { _ = try fresh.demand(["CLIENT", "KILL", "ID", "\(connectionID)"], by: deadline) }
            try settle(on: fresh, by: deadline)
        }
        (connection, connectionID, serverRunID, hasConnectedBefore) = (fresh, id, runID, true)
        for tick in outstanding { fresh.enqueue(command(for: tick)) }
        answerDue = outstanding.isEmpty ? Deadline(nanoseconds: .max) : Deadline(in: Self.answerLimit)
    }

    /// Puts a tick on its way. Must be connected; the caller bounds `outstanding`.
    func publish(_ tick: Tick) {
        guard let connection else { preconditionFailure("publish() without a connection") }
        if outstanding.isEmpty { answerDue = Deadline(in: Self.answerLimit) }
        outstanding.append(tick)
        connection.enqueue(command(for: tick))
    }

    /// Writes and reads what is possible without waiting. When the connection is lost it is dropped and the reason
    /// thrown.
    func pump() throws(ProbeError) {
        guard let connection else { return }
        do throws(ProbeError) {
            try connection.writeAvailable()
            try connection.readAvailable()
            var answered = 0
            while let answer = try connection.nextAnswer() {
                switch answer {
                case .bulk:
                    produced += 1
                    lastID = answer.text ?? lastID
                case .error(let text):
                    refused += 1
                    lastRefusal = text
                default: throw ProbeError("publish to", stream, .malformed("XADD was not answered with an id"))
                }
                answered += 1
            }
            if answered > 0 {
                outstanding.removeFirst(answered)
                answerDue = outstanding.isEmpty ? Deadline(nanoseconds: .max) : Deadline(in: Self.answerLimit)
            }
            if answerDue.isPast { throw ProbeError("publish to", "\(stream) in Redis at \(endpoint)", .timeout) }
        } catch {
            self.connection = nil
            throw error
        }
    }

    /// Runs one command for the worker itself (the shutdown marker). Nothing may be outstanding.
    func demand(_ command: [String]) throws(ProbeError) -> RESPValue {
        guard let connection else { throw ProbeError("reach", "Redis at \(endpoint)", .closed) }
        return try connection.demand(command, by: Deadline(in: Self.connectLimit))
    }

    private func command(for tick: Tick) -> [String] {
        [
            "XADD", stream, "*", "p", name, "n", "\(tick.sequence)", "sym", tick.symbol, "px", "\(tick.price)", "qty",
            "\(tick.quantity)", "us", "\(tick.venueMicroseconds)",
        ]
    }

    /// Looks for the outstanding ticks behind the last id that was answered, counts those that are there and leaves the
    /// others outstanding. Commits only when it has looked to the end.
    private func settle(on fresh: RedisConnection, by deadline: Deadline) throws(ProbeError) {
        var found: Set<UInt64> = []
        var foundLast = lastID
        var cursor = lastID
        while true {
            let page =
                try fresh.demand(["XRANGE", stream, "(\(cursor)", "+", "COUNT", "\(Self.pageSize)"], by: deadline).items
                ?? []
            for item in page {
                let entry = try StreamEntry(item)
                cursor = entry.id
                guard entry.fields?["p"] == name, let sequence = entry.fields?["n"].flatMap({ UInt64($0) }) else {
                    continue
                }
                found.insert(sequence)
                foundLast = entry.id
            }
            if page.count < Self.pageSize { break }
        }
        let open = outstanding.filter { !found.contains($0.sequence) }
        let settled = outstanding.count - open.count
        WorkerLog.line(
            "reconnected: \(settled) unanswered ticks are in the stream, the other \(open.count) are sent again"
        )
        produced += UInt64(settled)
        outstanding = open
        lastID = foundLast
    }
}
