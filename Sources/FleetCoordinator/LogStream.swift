internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import NIOCore

/// One reader of logs, and the hosts that still have something to say to it.
struct LogStream {
    /// What each host is asked; a follower asks it again when it is back.
    var asked: [HostName: WireLogRequest]
    /// Whose last lines have not all come yet; nothing is told before they have, or `logWait` is past.
    var awaited: Set<HostName>
    /// What is added goes on being told.
    var isFollowed: Bool
    var continuation: AsyncStream<APILogEntry>.Continuation
    var merger = LogMerger()
    /// What is held is told then.
    var telling: Scheduled<Void>?
    /// Followed hosts that have no session now.
    var silent: Set<HostName> = []
    private var tails: [HostName: LogFollowing] = [:]

    init(asked: [HostName: WireLogRequest], isFollowed: Bool, continuation: AsyncStream<APILogEntry>.Continuation) {
        self.asked = asked
        awaited = Set(asked.keys)
        self.isFollowed = isFollowed
        self.continuation = continuation
    }

    /// Takes what a host has sent, but for what it sends a second time after it was away.
    mutating func take(_ entries: [APILogEntry], of host: HostName, floor: UInt64, at now: BootTime) {
        merger.take(isFollowed ? tails[host, default: LogFollowing()].new(entries) : entries, floor: floor, at: now)
    }

    /// What a followed host that is back is asked: the lines from the last ones on. Nil: it was not away.
    mutating func again(_ host: HostName) -> WireLogRequest? {
        guard silent.remove(host) != nil, var request = asked[host] else { return nil }
        // Where nothing was told yet the first question stands.
        if let from = tails[host]?.resume() {
            request.sinceUnixUs = max(from, request.sinceUnixUs)
            request.lines = LogFollowing.linesMax
        }
        return request
    }
}

/// The last lines that a followed host has told, so that a second question for them loses none and repeats none.
struct LogFollowing: Sendable {
    /// Lines that are asked for after a gap: as many as an agent gives of one log.
    static let linesMax: UInt32 = 10_000
    /// Microseconds before the last line that are asked for again: stamps of receipt are by the second, and logs of one host not in one order.
    static let overlap: UInt64 = 2_000_000
    /// Lines that are remembered; of a log that writes more in `overlap` some stand twice.
    static let keptMax = 20_000

    private struct Line: Hashable {
        let service: String
        let file: String
        let unixMicroseconds: UInt64
        let text: String
    }

    private var recent: [Line] = []
    /// The time of the first line told, and of the last; 0: none had one.
    private var first: UInt64 = 0
    private var last: UInt64 = 0
    /// What was told before the gap, each as often as it stood there.
    private var expected: [Line: Int] = [:]

    /// The moment from which its lines are asked for again; nil: none with a time was told.
    mutating func resume() -> UInt64? {
        guard last > 0 else { return nil }
        expected = Dictionary(recent.map { ($0, 1) }, uniquingKeysWith: +)
        // What was not asked for at first is not told now.
        return max(first, last > Self.overlap ? last - Self.overlap : 0)
    }

    /// The lines that were not told before the gap.
    mutating func new(_ entries: [APILogEntry]) -> [APILogEntry] {
        let fresh = entries.filter { entry in
            let line = Self.line(entry)
            guard let left = expected[line] else { return true }
            expected[line] = left > 1 ? left - 1 : nil
            return false
        }
        for entry in fresh where !entry.service.isEmpty {
            if first == 0 { first = entry.unixUs }
            last = max(last, entry.unixUs)
            recent.append(Self.line(entry))
        }
        let oldest = last > Self.overlap ? last - Self.overlap : 0
        if recent.count > 2 * Self.keptMax || recent.first.map({ $0.unixMicroseconds < oldest }) == true {
            recent = Array(recent.filter { $0.unixMicroseconds >= oldest }.suffix(Self.keptMax))
        }
        return fresh
    }

    private static func line(_ entry: APILogEntry) -> Line {
        Line(service: entry.service, file: entry.file, unixMicroseconds: entry.unixUs, text: entry.text)
    }
}
