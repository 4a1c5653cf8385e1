import FleetCore
import FleetProbes
import Glibc

/// The loop of `exchange-to-redis`. Duties: 1. take what the venue has due; 2. keep the connection pumped and come back
/// after its loss; 3. tell the supervisor; 4. on SIGTERM stop taking, get every outstanding answer, leave the marker.
final class FeedWorker {
    private let publisher: TickPublisher
    private let inbox: SignalInbox
    private let notifier = Notifier()
    private let maxInFlight: Int
    private let flushWithin: Duration
    private let marker: ShutdownMarker
    private let rate: Int
    private var feed: VenueFeed
    private var pacer: Pacer
    private var backoff = Backoff()
    private var isReady = false
    private var markerCleared = false
    private var lastLoss = ""
    /// Set once SIGTERM was taken.
    private var flushDeadline: Deadline?

    init(
        publisher: TickPublisher, inbox: SignalInbox, feed: VenueFeed, rate: Int, maxInFlight: Int,
        flushWithin: Duration,
        marker: ShutdownMarker
    ) {
        self.publisher = publisher
        self.inbox = inbox
        self.feed = feed
        self.rate = rate
        self.maxInFlight = maxInFlight
        self.flushWithin = flushWithin
        self.marker = marker
        pacer = Pacer(rate: rate, now: Deadline.now)
    }

    func run() -> WorkerExit {
        while true {
            if flushDeadline == nil, !inbox.take().isEmpty { flushDeadline = Deadline(in: flushWithin) }
            connectIfNeeded()
            if let deadline = flushDeadline {
                if publisher.outstanding.isEmpty, publisher.isConnected { return finish() }
                if deadline.isPast { return finish() }
            } else {
                takeDueTicks()
            }
            pump()
            report()
            waitForWork()
        }
    }

    private func connectIfNeeded() {
        guard !publisher.isConnected, backoff.mayTry else { return }
        do throws(ProbeError) {
            try publisher.connect()
            if !markerCleared {
                try marker.clear(by: publisher)
                markerCleared = true
                // What the venue sent before there was anywhere to put it is not this launch's.
                pacer = Pacer(rate: rate, now: Deadline.now)
            }
            backoff.succeeded()
        } catch {
            lost(error)
        }
    }

    private func takeDueTicks() {
        guard publisher.isConnected, markerCleared else { return }
        var due = pacer.due(at: Deadline.now)
        guard due > 0 else { return }
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let now = UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
        while due > 0, publisher.outstanding.count < maxInFlight {
            publisher.publish(feed.next(at: now))
            pacer.take()
            due -= 1
        }
    }

    private func pump() {
        do throws(ProbeError) { try publisher.pump() } catch { lost(error) }
    }

    private func lost(_ error: ProbeError) {
        backoff.failed()
        if lastLoss != error.description { WorkerLog.line(error.description) }
        lastLoss = error.description
    }

    private func count() {
        notifier.set("X_PRODUCED", publisher.produced)
        notifier.set("X_INFLIGHT", publisher.outstanding.count)
        if pacer.skipped > 0 { notifier.set("X_SKIPPED", pacer.skipped) }
        if publisher.refused > 0 { notifier.set("X_REFUSED", publisher.refused) }
    }

    private func report() {
        count()
        let open = publisher.outstanding.count
        if flushDeadline != nil {
            notifier.status = "flushing, \(open) ticks without an answer"
        } else if !publisher.isConnected {
            notifier.status = lastLoss.isEmpty ? "connecting to Redis" : "waiting for Redis: \(lastLoss)"
        } else if !publisher.lastRefusal.isEmpty {
            notifier.status = "Redis refused \(publisher.refused) ticks, last: \(publisher.lastRefusal)"
        } else {
            notifier.status = "\(publisher.produced) ticks produced, \(rate)/s"
        }
        if !isReady, publisher.produced > 0 {
            isReady = true
            notifier.ready(notifier.status)
        }
        notifier.tell()
    }

    /// Until the next burst is due, the socket has something, a signal comes, or a retry or a deadline is due.
    private func waitForWork() {
        var until = notifier.due
        if let flushDeadline {
            until = min(until, flushDeadline)
        } else if publisher.isConnected {
            until = min(until, Deadline(nanoseconds: Deadline.now + Pacer.burstNanoseconds))
        }
        if !publisher.isConnected { until = min(until, backoff.notBefore) }
        var entries: [pollfd] = []
        // Once stopping, further signals say nothing new and would make the wait end at once.
        if flushDeadline == nil { entries.append(pollfd(fd: inbox.descriptor, events: Int16(POLLIN), revents: 0)) }
        // While taking ticks the burst's wake-up reads the answers too: reading each by itself would cost a wake-up per
        // tick.
        if let descriptor = publisher.descriptor, flushDeadline != nil || publisher.wantsToWrite {
            let events = POLLIN | (publisher.wantsToWrite ? POLLOUT : 0)
            entries.append(pollfd(fd: descriptor, events: Int16(events), revents: 0))
        }
        poll(&entries, nfds_t(entries.count), until.pollMilliseconds)
    }

    private func finish() -> WorkerExit {
        count()
        guard publisher.outstanding.isEmpty else {
            let open = publisher.outstanding.count
            notifier.set("X_UNRESOLVED", open)
            let bound = flushWithin.words
            notifier.final(
                "UNRESOLVED: Redis has not answered for \(open) ticks within \(bound); X_PRODUCED is a lower bound")
            return .unresolved
        }
        do throws(ProbeError) {
            try marker.write(produced: publisher.produced, lastID: publisher.lastID, by: publisher)
        } catch {
            notifier.final("the shutdown marker is missing: \(error)")
            return .notWritten
        }
        notifier.final("stopped after \(publisher.produced) ticks, last \(publisher.lastID)")
        return .fine
    }
}
