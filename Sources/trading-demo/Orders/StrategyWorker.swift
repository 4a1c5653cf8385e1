import FleetCore
import FleetProbes
import Glibc

/// The loop of `strategy`. Duties: 1. read and acknowledge every tick, quiesced or not; 2. send an order for every Nth
/// fresh one unless quiesced; 3. never have two orders without an answer; 4. say `X_QUIESCED=1` only when none is.
///
/// A tick that is delivered again after a restart is acknowledged and not traded on: it is old, and its order may
/// exist.
final class StrategyWorker {
    /// Between attempts to learn what became of an order, and to reach a gateway that refuses.
    static let retryPause = Duration.milliseconds(200)

    private let inbox: SignalInbox
    private let notifier = Notifier()
    private let sender: OrderSender
    private let owner: String
    private let every: Int
    private let maxAgeMilliseconds: Int64
    private let stopWithin: Duration
    private let connect: () throws(ProbeError) -> GroupReader
    private var reader: GroupReader?
    private var backoff = Backoff()
    private var isReady = false
    private var gatewayReached = false
    private var ticks = 0
    private var acknowledged = 0
    private var sent = 0
    private var refused = 0
    private var quiesceWanted = false
    private var saidQuiesced = false
    /// An order whose fate is unknown.
    private var unanswered: Order?
    private var nextOrderDue = Deadline(nanoseconds: 0)
    private var lastFailure = ""
    private var stopDeadline: Deadline?

    init(
        inbox: SignalInbox, sender: OrderSender, owner: String, every: Int, maxAge: Duration, stopWithin: Duration,
        connect: @escaping () throws(ProbeError) -> GroupReader
    ) {
        self.inbox = inbox
        self.sender = sender
        self.owner = owner
        self.every = every
        maxAgeMilliseconds = maxAge.nanoseconds / 1_000_000
        self.stopWithin = stopWithin
        self.connect = connect
    }

    func run() -> WorkerExit {
        notifier.set("X_QUIESCED", 0)
        while true {
            takeSignals()
            resolveUnanswered()
            sayQuiesced()
            if let stopDeadline, unanswered == nil || stopDeadline.isPast { return finish() }
            if stopDeadline == nil {
                step()
            } else {
                Pause.wait(until: Deadline(in: .milliseconds(50)))
            }
            report()
        }
    }

    private func takeSignals() {
        for number in inbox.take() {
            switch number {
            case SIGUSR1: quiesceWanted = true
            case SIGUSR2: quiesceWanted = false
            default: if stopDeadline == nil { stopDeadline = Deadline(in: stopWithin) }
            }
        }
    }

    private func sayQuiesced() {
        let isQuiesced = quiesceWanted && unanswered == nil
        guard isQuiesced != saidQuiesced else { return }
        saidQuiesced = isQuiesced
        count()
        notifier.set("X_QUIESCED", isQuiesced ? 1 : 0)
        WorkerLog.line(isQuiesced ? "quiesced: no new orders, still reading" : "trading")
        notifier.changed()
    }

    private func step() {
        do throws(ProbeError) {
            guard let reader = try ensureReader() else {
                inbox.wait(until: min(backoff.notBefore, notifier.due))
                return
            }
            if !gatewayReached {
                try sender.reach()
                gatewayReached = true
            }
            if !isReady {
                isReady = true
                count()
                notifier.ready("trading")
            }
            let entries = try reader.next()
            for entry in entries { consider(entry) }
            try reader.acknowledge(entries)
            acknowledged += entries.count
            lastFailure = ""
            backoff.succeeded()
        } catch {
            reader = nil
            backoff.failed()
            if lastFailure != error.description { WorkerLog.line(error.description) }
            lastFailure = error.description
        }
    }

    private func ensureReader() throws(ProbeError) -> GroupReader? {
        if let reader { return reader }
        guard backoff.mayTry else { return nil }
        let fresh = try connect()
        var cursor = "0"
        while true {
            let entries = try fresh.ownPending(after: cursor)
            guard let last = entries.last else { break }
            cursor = last.id
            try fresh.acknowledge(entries)
            acknowledged += entries.count
        }
        reader = fresh
        return fresh
    }

    private func consider(_ entry: StreamEntry) {
        ticks += 1
        guard ticks % every == 0 else { return }
        // A quiesce must not wait for the rest of the batch.
        takeSignals()
        guard !quiesceWanted, stopDeadline == nil, unanswered == nil, nextOrderDue.isPast else { return }
        guard let fields = entry.fields, let price = fields["px"].flatMap({ Int64($0) }) else { return }
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        // Both clocks are wall clocks, of this host and of Redis's: good enough to tell a backlog from a market.
        guard Int64(now.tv_sec) * 1_000 - entry.unixMilliseconds <= maxAgeMilliseconds else { return }
        send(Order(id: "\(owner)/\(entry.id)", owner: owner, symbol: fields["sym"] ?? "", price: price, quantity: 1))
    }

    private func resolveUnanswered() {
        guard let order = unanswered, nextOrderDue.isPast else { return }
        send(order)
    }

    private func send(_ order: Order) {
        let wasUnanswered = unanswered != nil
        switch sender.send(order) {
        case .accepted:
            sent += 1
            unanswered = nil
        case .refused(let status, let seconds):
            refused += 1
            unanswered = nil
            nextOrderDue = Deadline(in: .seconds(min(seconds ?? 1, 10)))
            if status != 503 { WorkerLog.line("the gateway refused order \(order.id) with HTTP \(status)") }
        case .notSent(let why):
            // A tick whose order can't leave is not traded on later: the market has moved. It says nothing about an
            // earlier attempt, though: that one stays open.
            nextOrderDue = Deadline(in: Self.retryPause)
            note(why)
        case .unanswered(let why):
            unanswered = order
            // The first retry at once: most often only an idle connection was closed by the gateway.
            nextOrderDue = wasUnanswered ? Deadline(in: Self.retryPause) : Deadline(nanoseconds: 0)
            note(why)
        }
    }

    private func note(_ why: String) {
        if lastFailure != why { WorkerLog.line(why) }
        lastFailure = why
    }

    private func count() {
        notifier.set("X_SENT", sent)
        notifier.set("X_APPLIED", acknowledged)
        notifier.set("X_INFLIGHT", unanswered == nil ? 0 : 1)
        if refused > 0 { notifier.set("X_REFUSED", refused) }
    }

    private func report() {
        count()
        if let unanswered {
            notifier.status = "order \(unanswered.id) has no answer: \(lastFailure)"
        } else if !lastFailure.isEmpty {
            notifier.status = "waiting: \(lastFailure)"
        } else {
            notifier.status = saidQuiesced ? "quiesced, \(sent) orders sent" : "trading, \(sent) orders sent"
        }
        notifier.tell()
    }

    private func finish() -> WorkerExit {
        count()
        guard let order = unanswered else {
            notifier.final("stopped after \(sent) orders")
            return .fine
        }
        notifier.final("UNRESOLVED: the gateway has not answered for order \(order.id): \(lastFailure)")
        return .unresolved
    }
}
