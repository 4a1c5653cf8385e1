internal import FleetAPI
package import FleetCore
package import FleetJournal
package import FleetWire

/// The coordinator's state as its journal tells it: a fold, never a second file.
package struct CoordinatorFold: Equatable, Sendable {
    package var storeID = ""
    /// The public key of that store at the last start; empty: an older program had none.
    package var storeKey = ""
    /// Of the last start; the next one is higher.
    package var epoch: UInt64 = 0
    package var lastRun: UInt64 = 0
    package var latches = LatchBook(releasedMax: SessionTable.releasedMax)
    /// The last succession that an operator has signed and this coordinator was given.
    package var succession: WireSignedStatement?
    /// The workers of stops without a verdict yet.
    private var stopping: [UInt64: [WorkerName]] = [:]
    /// A latch is recorded after its kill, and somebody may have released it by then.
    private var releasedEarly: [String: Latch.Release] = [:]
    package var book = LedgerBook()

    /// Fields of a baseline's record: the stream, and the last launch of each worker at its ends.
    static let launchesField = "launches/"
    /// Fields of a verdict's record: stream and consumer, and the cut at which they were settled.
    static let cutField = "cut/"
    /// Field of a verdict's record: hosts of which its certificate says what a person has attested.
    static let settledField = "settled"

    package var runs: [UInt64: Past] = [:]
    package var alerts = AlertFold()
    /// Hosts of which two instances were seen alive, and how they were told apart, until that was settled.
    package var contested: [HostName: InstanceWatch.Contest] = [:]

    /// The instance of each host that was met last, with when that was, in microseconds of Unix time.
    package var met: [HostName: Met] = [:]

    package struct Met: Equatable, Sendable {
        package var bootID: String
        package var machineID: String
        package var journal: String
        package var unixMicroseconds: UInt64
    }

    /// Hosts outside the inventory that have dialled in, until a person settled them.
    package var outsiders: Set<HostName> = []

    /// When that was recorded, in microseconds of Unix time.
    package var contestedAt: [HostName: UInt64] = [:]

    /// What persons have attested of hosts since the last certificate that says so.
    package var settledByPersons: [HostName: String] = [:]

    /// The last run that quiesced, resumed or stopped each worker, or was to.
    package var lastActed: [WorkerName: UInt64] = [:]

    /// What may run on each host by its last word.
    package var openLaunches = OpenLaunches()

    package struct Past: Equatable, Sendable {
        package var id: UInt64
        package var kind: String
        package var by: String
        package var reason: String
        package var began: UInt64
        package var ended: UInt64?
        package var verdict: String
        package var failed: String?
    }

    /// When the coordinator was last seen alive by its own records but for those of a start, in microseconds of Unix time; 0: never.
    package var aliveUnixMicroseconds: UInt64 = 0

    package init(_ records: [AuditRecord]) {
        for record in records {
            take(record)
            if let event = record.known, ![.coordinatorStart, .inventoryLoaded, .runInterrupted].contains(event) {
                aliveUnixMicroseconds = max(aliveUnixMicroseconds, record.unixMicroseconds)
            }
        }
    }

    private mutating func take(_ record: AuditRecord) {
        guard let event = record.known else { return }
        switch event {
        case .coordinatorStart:
            if storeID.isEmpty { storeID = record["store"] ?? "" }
            storeKey = record["key"] ?? storeKey
            epoch = record["epoch"].flatMap { UInt64($0) } ?? epoch
        case .shutdownStart, .startupStart, .quiesceStart, .resumeStart:
            guard let run = record.run else { return }
            lastRun = max(lastRun, run)
            runs[run] = Past(
                id: run, kind: record["kind"] ?? "", by: (record.by ?? ""), reason: record.reason ?? "", began: record.unixMicroseconds, ended: nil,
                verdict: "", failed: nil)
            let kind = record["kind"].flatMap { RunKind(rawValue: $0) }
            if kind == .start || kind == .restart { openLaunches.order(Self.names(record["workers"]).compactMap { WorkerName($0) }) }
            if kind == .stop { stopping[run] = Self.names(record["workers"]).compactMap { WorkerName($0) } }
            if kind != .start {
                let before = Set(Self.names(record["quiesced_before"]))
                for name in Self.names(record["workers"]) where !before.contains(name) {
                    if let worker = WorkerName(name) { lastActed[worker] = run }
                }
            }
        case .shutdownComplete, .startupComplete, .quiesceComplete, .resumeComplete:
            if let run = record.run { runs[run]?.ended = record.unixMicroseconds }
        case .runAborted, .runInterrupted:
            guard let run = record.run else { return }
            runs[run]?.ended = record.unixMicroseconds
            runs[run]?.failed = record["why"] ?? "aborted"
        case .verdict:
            guard let run = record.run else { return }
            runs[run]?.verdict = record["verdict"] ?? ""
            let stopped = stopping.removeValue(forKey: run) ?? []
            if record["verdict"] == Verdict.proven.rawValue { openLaunches.proven(stopped) }
            for host in Self.names(record[Self.settledField]) { settledByPersons[HostName(host)] = nil }
            for field in record.fields where field.key.hasPrefix(Self.cutField) {
                let parts = field.key.dropFirst(Self.cutField.count).split(separator: "/", maxSplits: 1).map(String.init)
                if parts.count == 2 { book.settle(StreamName(parts[0]), ServiceName(parts[1]), run: run, cut: field.value) }
            }
        case .baseline:
            // An older program kept no launches: what its streams' workers count by themselves is then unknown until the next rest.
            var opened: [StreamName: LedgerBook.Opening] = [:]
            for field in record.fields {
                if field.key.hasPrefix(Self.launchesField) {
                    let marks = Self.names(field.value).compactMap { text -> (WorkerName, LaunchMark)? in
                        let parts = text.split(separator: "=", maxSplits: 1)
                        guard parts.count == 2, let worker = WorkerName(String(parts[0])), let mark = LaunchMark(text: parts[1]) else { return nil }
                        return (worker, mark)
                    }
                    opened[StreamName(String(field.key.dropFirst(Self.launchesField.count))), default: LedgerBook.Opening()].marks =
                        Dictionary(marks) { $1 }
                } else if let reading = StreamReading(journaled: field.value) {
                    opened[reading.stream, default: LedgerBook.Opening()].readings.append(reading)
                }
            }
            for (stream, opening) in opened { book.keep(opening, of: stream) }
        case .latchSet:
            guard let id = record["latch"] else { return }
            // Records of older programs have neither word nor signature.
            let word = record["word"].flatMap { LatchWord($0) } ?? .coordinator("")
            // A host's own is told again by the host.
            if case .host = word { return }
            _ = latches.order(
                Latch(
                    id: id, by: LatchBounds.author(record.by ?? ""), reason: LatchBounds.reason(record.reason ?? ""),
                    unixMicroseconds: record["unix_us"].flatMap { UInt64($0) } ?? record.unixMicroseconds,
                    scope: LatchScope(
                        everything: record["everything"] == "true", tiers: Self.names(record["tiers"]).map(TierName.init),
                        hosts: Self.names(record["hosts"]).map(HostName.init), services: Self.names(record["services"]).map(ServiceName.init)),
                    signature: record["signature"] ?? "", word: word))
            if let release = releasedEarly.removeValue(forKey: id) { _ = latches.release(id, release) }
        case .latchReleased:
            guard let id = record["latch"] else { return }
            // A host's own word releases its own latch, never one of that id that is the fleet's.
            if case .host? = record["word"].flatMap({ LatchWord($0) }) { return }
            let release = Latch.Release(
                by: LatchBounds.author(record.by ?? ""), reason: LatchBounds.reason(record.reason ?? ""),
                unixMicroseconds: record["unix_us"].flatMap { UInt64($0) } ?? record.unixMicroseconds, signature: record["signature"] ?? "")
            if latches.latches[id] == nil { releasedEarly[id] = release } else { _ = latches.release(id, release) }
        case .coordinatorSucceeded:
            guard let document = record["document"], let signature = record["signature"] else { return }
            var statement = WireSignedStatement()
            statement.document = document
            statement.signature = signature
            succession = statement
        case .hostContested:
            contestedAt[HostName(record["host"] ?? "")] = record.unixMicroseconds
            contested[HostName(record["host"] ?? "")] = InstanceWatch.Contest(how: record["how"] ?? "", instances: Self.names(record["instances"]))
        case .hostSettled:
            contested[HostName(record["host"] ?? "")] = nil
            met[HostName(record["host"] ?? "")] = nil
            outsiders.remove(HostName(record["host"] ?? ""))
            if let how = record["how"], how.hasPrefix(InstanceWatch.settledByPerson) { settledByPersons[HostName(record["host"] ?? "")] = how }
        case .hostInstance:
            met[HostName(record["host"] ?? "")] = Met(
                bootID: record["boot"] ?? "", machineID: record["machine"] ?? "", journal: record["journal"] ?? "",
                unixMicroseconds: record.unixMicroseconds)
        case .hostOutside: outsiders.insert(HostName(record["host"] ?? ""))
        case .hostWorkers:
            if let how = record["how"] { settledByPersons[HostName(record["host"] ?? "")] = how }
            openLaunches.apply(
                OpenLaunches.Change(
                    host: HostName(record["host"] ?? ""), begun: Self.names(record["begun"]).map(ServiceName.init),
                    ended: Self.names(record["ended"]).map(ServiceName.init), isAttested: record["how"] != nil),
                journal: met[HostName(record["host"] ?? "")]?.journal ?? "")
        case .alertSent, .alertDelivered, .alertFailed: alerts.take(event, record)
        default: return
        }
    }

    private static func names(_ text: String?) -> [String] { (text ?? "").split(separator: " ").map(String.init) }

    /// Runs that were under way when the coordinator ended.
    package var unfinished: [Past] { runs.values.filter { $0.ended == nil }.sorted { $0.id < $1.id } }
}

extension CoordinatorFold.Met {
    /// As an instance without a session, of which nothing is known but that something may run. `unixNow` and `bootNow` are one instant.
    ///
    /// `heard`: when its host may have been heard last, in microseconds of Unix time. What was up by then is no later boot of it.
    func instance(bootNow: BootTime, unixNow: UInt64, heard: UInt64) -> InstanceWatch.Instance {
        let last = max(unixMicroseconds, heard)
        let ago = Duration.microseconds(Int64(clamping: unixNow > last ? unixNow - last : 0))
        return InstanceWatch.Instance(
            id: "", bootID: bootID, machineID: machineID, journal: journal, address: "an earlier session", session: "", up: .zero, now: bootNow + (.zero - ago))
    }
}
