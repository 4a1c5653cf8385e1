internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import Logging
internal import NIOCore

/// The agent's side of its journal: hands records to the journal's own thread and brings the outcome back to the loop.
///
/// A record that can't be written is counted; what depended on it and may not go ahead without a record (a launch) is
/// refused by the caller, all else goes ahead (law 7). The journal itself records the gap when it can write again.
///
/// `@unchecked Sendable`: everything mutable is touched on `loop` only.
final class AgentJournal: @unchecked Sendable {
    let journal: Journal
    private let loop: any EventLoop
    private let host: String
    private let log: Logger
    /// Why the last append failed; nil while records are written.
    private(set) var problem: String?
    private(set) var lost = 0

    init(_ journal: Journal, host: String, loop: any EventLoop, log: Logger) {
        self.journal = journal
        self.loop = loop
        self.host = host
        self.log = log
    }

    /// What is to be recorded; time, sequence and hash come from the journal.
    struct Draft: Sendable {
        /// `AuditEvent`'s raw value, or `orderExpired`.
        var event: String
        var worker = ""
        var by = ""
        var reason = ""
        var run: UInt64?
        var fields: [WorkerMachine.Field] = []
    }

    /// An accepted order ran out while its record was being written: what the records before it announce was not done.
    static let orderExpired = AuditEvent.orderExpired.rawValue

    struct Refused: Error, CustomStringConvertible {
        let description: String
    }

    var head: WireJournalHead { WireJournalHead(journal.head) }

    /// Calls back on the loop once the records are durable or refused.
    func append(_ drafts: [Draft], then: @escaping @Sendable (Result<[WireRecordCitation], Refused>) -> Void) {
        let records = drafts.map { draft in
            AuditRecord(
                draft.event, host: host, worker: draft.worker.isEmpty ? nil : draft.worker, by: draft.by.isEmpty ? nil : draft.by,
                reason: draft.reason.isEmpty ? nil : draft.reason, run: draft.run, fields: draft.fields.map { ($0.key, $0.value) })
        }
        let events = drafts.map(\.event)
        journal.append(records) { [loop, self] result in
            loop.execute {
                switch result {
                case .success(let appended):
                    if self.problem != nil {
                        self.log.notice("the journal can be written again", metadata: ["lost": "\(self.lost)"])
                        self.problem = nil
                    }
                    then(
                        .success(
                            zip(appended, events).map { appended, event in
                                var citation = WireRecordCitation()
                                citation.sequence = appended.sequence
                                citation.hash = appended.hash
                                citation.event = event
                                citation.unixUs = appended.unixMicroseconds
                                return citation
                            }))
                case .failure(let error):
                    if self.problem == nil {
                        self.log.error("the journal can't be written: starts are refused, stops and kills go ahead unrecorded", metadata: ["error": "\(error)"])
                    }
                    self.problem = "\(error)"
                    self.lost += events.count
                    then(.failure(Refused(description: "\(error)")))
                }
            }
        }
    }

    /// For records that nothing waits for.
    func note(_ event: AuditEvent, by: String = "", reason: String = "", run: UInt64? = nil, _ fields: [WorkerMachine.Field] = []) {
        append([Draft(event: event.rawValue, by: by, reason: reason, run: run, fields: fields)]) { _ in }
    }

    func close() { journal.close() }
}

extension WireJournalHead {
    init(_ head: JournalHead) {
        self.init()
        sequence = head.sequence
        hash = head.hash
    }
}
