/// One measurement of one stream for one consumer. What could not be read is nil, never zero (law 6).
package struct StreamReading: Equatable, Sendable {
    package var stream: StreamName
    /// Empty: the producers' side only.
    package var consumer: ServiceName
    package var host: HostName
    package var known: Bool
    package var whyUnknown: String
    /// Of the Redis server; a new one means that it was restarted.
    package var runID: String
    package var length: Int64
    package var entriesAdded: Int64
    package var entriesRead: Int64?
    package var lag: Int64?
    package var pending: Int64
    package var lastID: String
    package var lastDeliveredID: String
    /// Distinct ids at the sink, all time.
    package var applied: Int64?
    package var whyAppliedUnknown: String
    /// There is shown to be no sink yet, as before its first start.
    package var sinkAbsent: Bool

    package init(
        stream: StreamName, consumer: ServiceName = "", host: HostName, known: Bool, whyUnknown: String = "", runID: String = "", length: Int64 = 0,
        entriesAdded: Int64 = 0, entriesRead: Int64? = nil, lag: Int64? = nil, pending: Int64 = 0, lastID: String = "", lastDeliveredID: String = "",
        applied: Int64? = nil, whyAppliedUnknown: String = "", sinkAbsent: Bool = false
    ) {
        self.stream = stream
        self.consumer = consumer
        self.host = host
        self.known = known
        self.whyUnknown = whyUnknown
        self.runID = runID
        self.length = length
        self.entriesAdded = entriesAdded
        self.entriesRead = entriesRead
        self.lag = lag
        self.pending = pending
        self.lastID = lastID
        self.lastDeliveredID = lastDeliveredID
        self.applied = applied
        self.whyAppliedUnknown = whyAppliedUnknown
        self.sinkAbsent = sinkAbsent
    }

    /// What two readings at a quiescent cut must have in common.
    package var counts: [String] {
        [
            stream.raw, consumer.raw, host.raw, "\(known)", runID, "\(length)", "\(entriesAdded)", "\(entriesRead ?? -1)", "\(lag ?? -1)", "\(pending)",
            lastID, lastDeliveredID, "\(applied ?? -1)",
        ]
    }
}
