/// One connection to a Redis server: commands go out in order, answers come back in the same order.
///
/// Not `Sendable`: one thread owns it. After any thrown `ProbeError` the connection is unusable, because answers could
/// no longer be told apart; a server's own `-ERR` is a value (`RESPValue.error`) and harmless.
package final class RedisConnection {
    package let endpoint: Endpoint
    /// Commands sent (or about to be) whose answer was not yet taken.
    package private(set) var unanswered = 0

    private let socket: StreamSocket
    private var parser = RESPParser()
    private var outgoing: [UInt8] = []
    private var outgoingHead = 0

    package init(_ endpoint: Endpoint, by deadline: Deadline) throws(ProbeError) {
        self.endpoint = endpoint
        socket = try StreamSocket(connectingTo: endpoint, by: deadline)
    }

    /// For poll(2): readable, and writable while `wantsToWrite`.
    package var descriptor: Int32 { socket.descriptor }
    package var wantsToWrite: Bool { outgoingHead < outgoing.count }
    package var outgoingBytes: Int { outgoing.count - outgoingHead }

    // MARK: one at a time

    /// Sends one command and waits for its answer. There must be no other unanswered command.
    package func call(_ command: String..., by deadline: Deadline) throws(ProbeError) -> RESPValue {
        try call(command, by: deadline)
    }

    package func call(_ command: [String], by deadline: Deadline) throws(ProbeError) -> RESPValue {
        precondition(unanswered == 0, "call() with \(unanswered) unanswered commands")
        enqueue(command)
        return try receive(by: deadline)
    }

    /// As `call`, but a server's error is thrown as `.refused`.
    package func demand(_ command: [String], by deadline: Deadline) throws(ProbeError) -> RESPValue {
        let answer = try call(command, by: deadline)
        if case .error(let text) = answer {
            throw ProbeError(
                "run \(command.prefix(2).joined(separator: " ")) on", "Redis at \(endpoint)", .refused(text))
        }
        return answer
    }

    // MARK: pipelined

    /// Appends a command to what is to be sent; nothing is written yet. The caller bounds `unanswered`.
    package func enqueue(_ command: [String]) {
        if outgoingHead > 0, outgoingHead == outgoing.count {
            outgoing.removeAll(keepingCapacity: true)
            outgoingHead = 0
        }
        outgoing += "*\(command.count)\r\n".utf8
        for part in command {
            outgoing += "$\(part.utf8.count)\r\n".utf8
            outgoing += part.utf8
            outgoing += "\r\n".utf8
        }
        unanswered += 1
    }

    /// Writes what the socket takes now.
    package func writeAvailable() throws(ProbeError) {
        while wantsToWrite {
            let count = try socket.writeAvailable(outgoing, from: outgoingHead)
            if count == 0 { return }
            outgoingHead += count
        }
    }

    /// Reads what has arrived, without waiting. A stream that ended after whole answers still yields them by
    /// `nextAnswer` before the next call throws.
    package func readAvailable() throws(ProbeError) {
        var piece: [UInt8] = []
        if try socket.readAvailable(into: &piece) { parser.append(piece) }
    }

    /// The next answer that has already been read.
    package func nextAnswer() throws(ProbeError) -> RESPValue? {
        guard let answer = try parser.next() else { return nil }
        guard unanswered > 0 else {
            throw ProbeError("understand", "Redis at \(endpoint)", .malformed("it answered more than it was asked"))
        }
        unanswered -= 1
        return answer
    }

    /// Sends what waits and returns the next answer.
    package func receive(by deadline: Deadline) throws(ProbeError) -> RESPValue {
        if wantsToWrite {
            let rest = outgoingHead == 0 ? outgoing : Array(outgoing[outgoingHead...])
            // Fits the socket's buffer or is answered while it drains only if answers are small: the callers' commands
            // are.
            try socket.write(rest, by: deadline)
            outgoing.removeAll(keepingCapacity: true)
            outgoingHead = 0
        }
        while true {
            if let answer = try nextAnswer() { return answer }
            var piece: [UInt8] = []
            try socket.read(into: &piece, by: deadline)
            parser.append(piece)
        }
    }
}
