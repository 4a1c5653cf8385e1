internal import FleetAPI
internal import FleetCore
internal import FleetWire
internal import NIOCore

/// One reader of logs, and the hosts that still have something to say to it.
struct LogStream {
    /// What each host is asked; a follower asks it again in each of its sessions.
    var asked: [HostName: WireLogRequest]
    /// Hosts that have not sent all of their past lines yet. Nothing is told before they have, or `logWait` is past.
    var awaited: Set<HostName>
    /// What is added goes on being told.
    var isFollowed: Bool
    var continuation: AsyncStream<APILogEntry>.Continuation
    var merger = LogMerger()
    /// What is held is told then.
    var telling: Scheduled<Void>?
    /// Followed hosts that have no session now.
    var silent: Set<HostName> = []
    /// The session in which each host was asked last.
    private var sessions: [HostName: String] = [:]
    private var tails: [HostName: LogFollowing] = [:]
    private let began: UInt64

    /// `began`: now, in microseconds of Unix time.
    init(asked: [HostName: WireLogRequest], isFollowed: Bool, began: UInt64, continuation: AsyncStream<APILogEntry>.Continuation) {
        self.asked = asked
        awaited = Set(asked.keys)
        self.isFollowed = isFollowed
        self.began = began
        self.continuation = continuation
    }

    /// Takes what a host has sent, but for what it sends a second time after a gap. `now` in microseconds of Unix time.
    mutating func take(_ entries: [APILogEntry], of host: HostName, floor: UInt64, at boot: BootTime, now: UInt64) {
        guard isFollowed else { return merger.take(entries, floor: floor, at: boot) }
        var following = tails[host] ?? LogFollowing(began: began)
        merger.take(following.new(entries, now: now), floor: floor, at: boot)
        tails[host] = following
    }

    /// All that a host had written before it was asked has come. Returns the services of which more was written in a gap than an agent
    /// gives at once.
    mutating func pastCame(of host: HostName) -> [String] { tails[host]?.settle() ?? [] }

    /// What a host is asked in this session of it, or nil: it was asked in it already, or there is nothing more to ask.
    mutating func question(_ host: HostName, in session: String) -> WireLogRequest? {
        guard var request = asked[host], sessions[host] != session else { return nil }
        let isAgain = sessions.updateValue(session, forKey: host) != nil
        let wasSilent = silent.remove(host) != nil
        guard isAgain || wasSilent else { return request }
        var following = tails[host] ?? LogFollowing(began: began)
        let from = following.resume()
        tails[host] = following
        request.sinceUnixUs = max(from, request.sinceUnixUs)
        request.lines = UInt32(LogFollowing.linesMax)
        return request
    }
}
