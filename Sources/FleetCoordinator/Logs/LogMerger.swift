internal import FleetAPI
internal import FleetCore

/// Log lines of several hosts on their way to one reader: in the order of their time, each host's own order kept.
///
/// Bounded: of more than `entriesMax` lines or `bytesMax` of text the oldest are dropped and counted. Hosts' clocks are taken at
/// their word.
struct LogMerger: Sendable {
    /// A reader of the API may fall 10,000 events behind before it is cut off.
    static let entriesMax = 9_000
    static let bytesMax = 32 << 20
    /// A follower's line waits so long for earlier ones of other hosts; nothing waits longer. Agents look for what was added every 200 ms.
    static let window: Duration = .milliseconds(500)

    private struct Item: Sendable {
        let key: UInt64
        let order: Int
        let cameAt: BootTime
        let entry: APILogEntry
    }

    private var items: [Item] = []
    private var bytes = 0
    private var order = 0
    private var highest: [String: UInt64] = [:]
    private(set) var dropped = 0

    init() {}

    var isEmpty: Bool { items.isEmpty }

    /// `floor`: what a line without any time counts as; microseconds since 1970.
    mutating func take(_ entries: [APILogEntry], floor: UInt64 = 0, at now: BootTime = .zero) {
        for entry in entries {
            let before = highest[entry.host]
            let key = max(before ?? 0, entry.unixUs == 0 && before == nil ? floor : entry.unixUs)
            highest[entry.host] = key
            items.append(Item(key: key, order: order, cameAt: now, entry: entry))
            order += 1
            bytes += Self.size(entry)
        }
        if items.count > 2 * Self.entriesMax || bytes > Self.bytesMax { trim() }
    }

    /// All of it in order; what comes later is put in order anew.
    mutating func drain() -> [APILogEntry] {
        if items.count > Self.entriesMax { trim() }
        sort()
        let entries = items.map(\.entry)
        items = []
        bytes = 0
        highest = [:]
        return entries
    }

    /// What has waited for the window, in order, and all that is earlier; the rest goes on waiting.
    mutating func drain(at now: BootTime) -> [APILogEntry] {
        if items.count > Self.entriesMax { trim() }
        sort()
        guard let last = items.lastIndex(where: { now - $0.cameAt >= Self.window }) else { return [] }
        let entries = items[...last].map(\.entry)
        items.removeFirst(last + 1)
        bytes = items.reduce(0) { $0 + Self.size($1.entry) }
        highest = [:]
        for item in items { highest[item.entry.host] = item.key }
        return entries
    }

    /// When `drain` has something to give; nil: nothing waits.
    var dueAt: BootTime? { items.lazy.map(\.cameAt).min().map { $0 + Self.window } }

    private mutating func sort() { items.sort { ($0.key, $0.order) < ($1.key, $1.order) } }

    private mutating func trim() {
        sort()
        var from = max(0, items.count - Self.entriesMax)
        bytes = items[from...].reduce(0) { $0 + Self.size($1.entry) }
        while bytes > Self.bytesMax / 2, from < items.count {
            bytes -= Self.size(items[from].entry)
            from += 1
        }
        items.removeFirst(from)
        dropped += from
    }

    private static func size(_ entry: APILogEntry) -> Int { entry.text.utf8.count + 128 }
}
