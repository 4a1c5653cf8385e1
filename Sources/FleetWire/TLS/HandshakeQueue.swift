import NIOCore

/// The handshakes of accepted connections that are not over, the oldest first.
///
/// Connections cost whoever makes them nothing before their certificate was seen. When more than `countMax` are unfinished the
/// oldest gives way: an honest handshake takes milliseconds, one that is held open is old.
struct HandshakeQueue {
    struct Waiting {
        let gate: NIOLoopBound<VerifiedHandshakeGate>
        let eventLoop: any EventLoop
    }

    let countMax: Int
    private var waiting: [UInt64: Waiting] = [:]
    private var oldest: UInt64 = 0
    private var next: UInt64 = 0

    init(countMax: Int) { self.countMax = max(1, countMax) }

    var count: Int { waiting.count }

    /// Returns the ticket of a handshake that begins, and who gives way to it.
    mutating func enter(_ handshake: Waiting) -> (ticket: UInt64, evicted: Waiting?) {
        let ticket = next
        next += 1
        waiting[ticket] = handshake
        guard waiting.count > countMax else { return (ticket, nil) }
        while oldest < next {
            defer { oldest += 1 }
            if let evicted = waiting.removeValue(forKey: oldest) { return (ticket, evicted) }
        }
        return (ticket, nil)
    }

    /// The handshake is over, or its connection gone.
    mutating func leave(_ ticket: UInt64) {
        waiting[ticket] = nil
        while oldest < next, waiting[oldest] == nil { oldest += 1 }
    }
}
