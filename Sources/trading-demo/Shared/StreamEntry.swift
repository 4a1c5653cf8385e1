import FleetProbes

/// One entry of a Redis stream.
struct StreamEntry: Equatable, Sendable {
    let id: String
    /// nil: the entry is pending for this consumer but was deleted or trimmed away meanwhile.
    let fields: [String: String]?

    /// The time of the Redis server that made the id, in milliseconds since 1970.
    var unixMilliseconds: Int64 { id.split(separator: "-").first.flatMap { Int64($0) } ?? 0 }

    /// Reads one `[id, [key, value, …]]`.
    init(_ answer: RESPValue) throws(ProbeError) {
        guard let parts = answer.items, parts.count == 2, let id = parts[0].text else {
            throw ProbeError("understand", "a stream entry", .malformed("it is not an id and its fields"))
        }
        self.id = id
        guard let flat = parts[1].items else {
            fields = nil
            return
        }
        var fields: [String: String] = [:]
        var index = 0
        while index + 1 < flat.count {
            if let key = flat[index].text, let value = flat[index + 1].text { fields[key] = value }
            index += 2
        }
        self.fields = fields
    }
}
