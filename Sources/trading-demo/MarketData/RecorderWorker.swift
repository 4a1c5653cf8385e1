import FleetCore
import FleetProbes

/// The loop of `redis-to-questdb`: read a batch, store it, acknowledge it; in this order, always.
///
/// Nothing is kept in memory over a failure: whatever fails, the reader is dropped, and the next one begins with this
/// consumer's own unacknowledged entries. Storing twice is harmless, the entry id is the sink's key.
final class RecorderWorker {
    /// After SIGTERM: how long a batch that is stored but not acknowledged, or not stored, is tried again.
    static let settleLimit = Duration.seconds(3)

    private let inbox: SignalInbox
    private let notifier = Notifier()
    private let linger: Duration
    private let connect: () throws(ProbeError) -> GroupReader
    private let openSink: () throws(SinkError) -> any TickSink
    private var sink: (any TickSink)?
    private var reader: GroupReader?
    private var backoff = Backoff()
    private var isReady = false
    private var applied = 0
    private var lost = 0
    /// Delivered to us and not known to be acknowledged.
    private var unsettled = 0
    private var sinkFailed = false
    private var lastFailure = ""
    private var stopDeadline: Deadline?

    init(
        inbox: SignalInbox, linger: Duration, connect: @escaping () throws(ProbeError) -> GroupReader,
        openSink: @escaping () throws(SinkError) -> any TickSink
    ) {
        self.inbox = inbox
        self.linger = linger
        self.connect = connect
        self.openSink = openSink
    }

    func run() -> WorkerExit {
        while true {
            if stopDeadline == nil, !inbox.take().isEmpty { stopDeadline = Deadline(in: Self.settleLimit) }
            if let stopDeadline, unsettled == 0 || stopDeadline.isPast { return finish() }
            let began = Deadline.now
            step()
            report()
            pause(since: began)
        }
    }

    /// One batch, or one attempt to get back to where batches can be read.
    private func step() {
        do {
            let sink = try ensureSink()
            guard let reader = try ensureReader(storingTo: sink), stopDeadline == nil else { return }
            try settle(try reader.next(), reader: reader, sink: sink)
            if !isReady {
                isReady = true
                notifier.ready("recording")
            }
        } catch {
            reader = nil
            sinkFailed = error is SinkError
            backoff.failed()
            let words = "\(error)"
            if words != lastFailure { WorkerLog.line(words) }
            lastFailure = words
        }
    }

    private func ensureSink() throws(SinkError) -> any TickSink {
        if let sink { return sink }
        let opened = try openSink()
        sink = opened
        return opened
    }

    /// A reader whose own pending entries are settled; nil while it is too early to try again.
    private func ensureReader(storingTo sink: any TickSink) throws -> GroupReader? {
        if let reader { return reader }
        guard backoff.mayTry else { return nil }
        let fresh = try connect()
        var cursor = "0"
        var found = 0
        while true {
            let entries = try fresh.ownPending(after: cursor)
            guard let last = entries.last else { break }
            cursor = last.id
            found += entries.count
            try settle(entries, reader: fresh, sink: sink)
        }
        if found > 0 {
            WorkerLog.line("\(found) entries that were not acknowledged before are now stored and acknowledged")
        }
        unsettled = 0
        sinkFailed = false
        lastFailure = ""
        backoff.succeeded()
        reader = fresh
        return fresh
    }

    private func settle(_ entries: [StreamEntry], reader: GroupReader, sink: any TickSink) throws {
        guard !entries.isEmpty else { return }
        unsettled = max(unsettled, entries.count)
        for entry in entries where entry.fields == nil {
            // Trimmed or deleted while it was pending: gone, unless an earlier attempt has stored it.
            if try sink.holds(entry.id) != true {
                lost += 1
                WorkerLog.line("entry \(entry.id) was deleted from the stream before it could be stored")
            }
        }
        let whole = entries.filter { $0.fields != nil }
        if !whole.isEmpty { applied += try sink.store(whole) ?? whole.count }
        try reader.acknowledge(entries)
        unsettled = 0
    }

    private func report() {
        count()
        if !lastFailure.isEmpty {
            notifier.status = "waiting: \(lastFailure)"
        } else {
            notifier.status = "\(applied) entries stored"
        }
        notifier.tell()
    }

    private func count() {
        notifier.set("X_APPLIED", applied)
        notifier.set("X_INFLIGHT", unsettled)
        if lost > 0 { notifier.set("X_LOST", lost) }
    }

    /// Lets a batch gather, or a retry wait; ends at once when a signal comes.
    private func pause(since began: UInt64) {
        var until = backoff.notBefore
        if reader != nil { until = Deadline(nanoseconds: began + UInt64(linger.nanoseconds)) }
        guard let stopDeadline else {
            until = min(until, notifier.due)
            inbox.wait(until: until)
            return
        }
        // A second signal changes nothing: not waiting on the inbox keeps it from ending every pause.
        until = min(until, stopDeadline)
        if unsettled > 0 { Pause.wait(until: until) }
    }

    private func finish() -> WorkerExit {
        count()
        // Closed before the last word: when it is said, the file is complete.
        sink = nil
        guard unsettled > 0 else {
            notifier.final("stopped after \(applied) entries")
            return .fine
        }
        if sinkFailed {
            notifier.final("\(unsettled) entries are not stored, they stay pending in the group: \(lastFailure)")
            return .notWritten
        }
        notifier.final("UNRESOLVED: \(unsettled) entries may be stored but are not acknowledged: \(lastFailure)")
        return .unresolved
    }
}
