/// Where a recorder keeps ticks: a place that knows each entry id once, however often it is stored.
protocol TickSink: AnyObject {
    /// Returns once all of them are stored durably; after an error none or all of them may be. The number is how many
    /// were new, nil when the sink can't tell.
    func store(_ entries: [StreamEntry]) throws(SinkError) -> Int?

    /// Whether an id is stored; nil when the sink can't tell.
    func holds(_ id: String) throws(SinkError) -> Bool?
}

/// Why a sink could not store.
struct SinkError: Error, Equatable, CustomStringConvertible {
    let operation: String
    let object: String
    let why: String

    var description: String { "cannot \(operation) \(object): \(why)" }
}
