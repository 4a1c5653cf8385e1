internal import FleetCore
internal import FleetJournal

/// What the journal tells of alerts: which were told, to whom, and what became of each.
package struct AlertFold: Equatable, Sendable {
    struct Told: Equatable, Sendable {
        enum Outcome: Equatable, Sendable {
            /// Recorded, and no word of how it ended.
            case open
            case delivered(unixMicroseconds: UInt64)
            case failed(String)
        }

        var id: String
        var receiver: String
        var key: AlertWatch.Key
        var text: String
        var unixMicroseconds: UInt64
        var outcome = Outcome.open
    }

    struct Mark: Equatable, Sendable {
        var mark: String
        var unixMicroseconds: UInt64
    }

    /// Ended ones past this many are forgotten; more than 256 are never open at once.
    private static let toldMax = 512

    private(set) var told: [Told] = []
    private(set) var marks: [AlertWatch.Key: Mark] = [:]

    package init() {}

    mutating func take(_ event: AuditEvent, _ record: AuditRecord) {
        guard let id = record["id"], let receiver = record["receiver"] else { return }
        switch event {
        case .alertSent:
            guard let kind = record["event"].flatMap({ AlertSpec.Event(rawValue: $0) }) else { return }
            let key = AlertWatch.Key(event: kind, subject: record["subject"] ?? "")
            if kind != .unprovenStop { marks[key] = Mark(mark: record["mark"] ?? "", unixMicroseconds: record.unixMicroseconds) }
            told.append(Told(id: id, receiver: receiver, key: key, text: record["text"] ?? "", unixMicroseconds: record.unixMicroseconds))
            if told.count > Self.toldMax { told.removeFirst(told.count - Self.toldMax) }
        case .alertDelivered: end(id, receiver, .delivered(unixMicroseconds: record.unixMicroseconds))
        case .alertFailed: end(id, receiver, .failed(record["why"] ?? "unknown"))
        default: return
        }
    }

    private mutating func end(_ id: String, _ receiver: String, _ outcome: Told.Outcome) {
        guard let index = told.lastIndex(where: { $0.id == id && $0.receiver == receiver }) else { return }
        told[index].outcome = outcome
    }

    /// As the watch wants them.
    func past(unixMicroseconds now: UInt64) -> [AlertWatch.Key: AlertWatch.Past] {
        marks.mapValues { mark in
            let age = now > mark.unixMicroseconds ? now - mark.unixMicroseconds : 0
            return AlertWatch.Past(mark: mark.mark, age: .microseconds(Int64(clamping: age)))
        }
    }
}
