package import FleetCore
import LinuxHost

/// One record of the audit: what happened, where, by whose order and why.
package struct AuditRecord: Equatable, Sendable {
    /// Something more to say, in a given order.
    package struct Field: Equatable, Sendable {
        package var key: String
        package var value: String
    }

    /// From 1, without a gap; 0 until the journal has taken the record.
    package var sequence: UInt64
    /// CLOCK_REALTIME, for people; 0 until the journal has taken the record, which then sets it.
    package var unixMicroseconds: UInt64
    /// `SHUTDOWN_START`, …: `AuditEvent`'s raw values, and whatever a later version wrote.
    package var event: String
    package var host: String?
    /// `service@host` or a service.
    package var worker: String?
    /// Whose order it was: an identity, or the part that acted by itself.
    package var by: String?
    package var reason: String?
    package var run: UInt64?
    package private(set) var fields: [Field]

    /// Of repeated keys in `fields` the last value is kept, in the first one's place.
    package init(
        _ event: String, host: String? = nil, worker: String? = nil, by: String? = nil, reason: String? = nil,
        run: UInt64? = nil, fields: [(String, String)] = [], sequence: UInt64 = 0, unixMicroseconds: UInt64 = 0
    ) {
        self.event = event
        self.host = host
        self.worker = worker
        self.by = by
        self.reason = reason
        self.run = run
        self.sequence = sequence
        self.unixMicroseconds = unixMicroseconds
        self.fields = []
        for (key, value) in fields { self[key] = value }
    }

    package init(
        _ event: AuditEvent, host: HostName? = nil, worker: WorkerName? = nil, by: String? = nil, reason: String? = nil,
        run: UInt64? = nil, fields: [(String, String)] = []
    ) {
        self.init(
            event.rawValue, host: (host ?? worker?.host)?.raw, worker: worker?.description, by: by, reason: reason, run: run,
            fields: fields)
    }

    /// nil for an event that this version doesn't know.
    package var known: AuditEvent? { AuditEvent(rawValue: event) }

    /// A field's value.
    package subscript(_ key: String) -> String? {
        get { fields.first { $0.key == key }?.value }
        set {
            let index = fields.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): fields[index].value = value
            case (nil, let value?): fields.append(Field(key: key, value: value))
            case (let index?, nil): fields.remove(at: index)
            case (nil, nil): break
            }
        }
    }
}

extension AuditRecord {
    /// Not an audit record: which member is missing or of the wrong kind.
    package struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// Compact JSON in one line; what is nil is left out.
    ///
    /// The time is RFC 3339 in UTC with microseconds.
    package func json() -> [UInt8] {
        var members: [JSON.Member] = [
            JSON.Member("seq", .int(sequence)),
            JSON.Member("time", .string(Clock.rfc3339(unixMicroseconds: unixMicroseconds))),
            JSON.Member("event", .string(event)),
        ]
        for (key, value) in [("host", host), ("worker", worker), ("by", by), ("reason", reason)] {
            if let value { members.append(JSON.Member(key, .string(value))) }
        }
        if let run { members.append(JSON.Member("run", .int(run))) }
        if !fields.isEmpty {
            members.append(JSON.Member("fields", .object(fields.map { JSON.Member($0.key, .string($0.value)) })))
        }
        var out: [UInt8] = []
        JSON.object(members).write(to: &out)
        return out
    }

    /// Members that this version doesn't know are passed over: the hash covers the bytes, not what was understood.
    package init(json bytes: some Sequence<UInt8>) throws(FormatError) {
        let json: JSON
        do throws(JSON.ParseError) { json = try JSON.parse(bytes) } catch { throw FormatError(description: error.description) }
        guard let sequence = json["seq"]?.uintValue, sequence > 0 else { throw FormatError(description: "seq is not a number above 0") }
        guard let time = json["time"]?.stringValue, let unixMicroseconds = Timestamp.unixMicroseconds(rfc3339: time) else {
            throw FormatError(description: "time is not RFC 3339 in UTC with microseconds")
        }
        guard let event = json["event"]?.stringValue else { throw FormatError(description: "event is not a text") }
        var fields: [(String, String)] = []
        for member in json["fields"]?.members ?? [] {
            guard let value = member.value.stringValue else { throw FormatError(description: "fields.\(member.key) is not a text") }
            fields.append((member.key, value))
        }
        self.init(
            event, host: json["host"]?.stringValue, worker: json["worker"]?.stringValue, by: json["by"]?.stringValue,
            reason: json["reason"]?.stringValue, run: json["run"]?.uintValue, fields: fields, sequence: sequence,
            unixMicroseconds: unixMicroseconds)
    }
}
