internal import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Tells receivers: an alert is recorded, then posted, at most three times within a minute, and its end recorded.
///
/// A receiver is told once or it is unknown (law 3): what was recorded and not ended when the coordinator ended is never sent
/// again. The id in the body is the same in every attempt.
///
/// `@unchecked Sendable`: every `var` is touched on `home` only.
final class AlertDesk: @unchecked Sendable {
    struct Pace: Equatable, Sendable {
        var attemptWithin: Duration = .seconds(10)
        /// After the first failed attempt, after the second: with three attempts that hang, 55 s.
        var pauses: [Duration] = [.seconds(5), .seconds(20)]
        /// How often silence is looked at.
        var tick: Duration = .seconds(1)
    }

    private struct Delivery {
        let id: String
        let receiver: AlertSpec
        let alert: AlertWatch.Alert
        let unixMicroseconds: UInt64
        var attempts = 0
    }

    /// Deliveries that may be under way; what comes on top fails at once, and says so.
    static let underWayMax = 256
    /// Shown in the status.
    static let shownMax = 20

    let pace: Pace
    private let fleet: FleetName
    private let coordinator: CoordinatorName
    private let instance: String
    private let receivers: [AlertSpec]
    private let zone: FleetZone
    private let pages: [ServiceName: String]
    private let journal: Journal
    private let home: any EventLoop
    private let log: Logger
    private let sender: AlertSender
    private var watch: AlertWatch
    private var underWay: [String: Delivery] = [:]
    /// Newest last.
    private var shown: [AlertFold.Told]
    /// The last word of each receiver on each subject; as many as the inventory has of both.
    private var outcomes: [AlertWatch.Key: [String: AlertFold.Told]] = [:]
    /// Of the last attempt, while another is to come.
    private var problems: [String: String] = [:]
    private var nextID: UInt64 = 0
    private var ticking: RepeatedTask?
    private(set) var closed = false
    /// Why a host is silent, in the coordinator's words.
    private var whySilent: (HostName) -> String = { _ in "" }

    /// nil: nobody is declared who could be told, or this is a relay, beside which a coordinator tells.
    init?(
        inventory: Inventory, coordinator: CoordinatorName, instance: String, journal: Journal?, past: AlertFold, home: any EventLoop, log: Logger,
        pace: Pace = Pace(), bounds: AlertWatch.Bounds = AlertWatch.Bounds()
    ) {
        guard let journal, !inventory.alerts.isEmpty else { return nil }
        // Not before: a client that is dropped without its shutdown traps, and where nobody is told there is nobody to shut it down.
        sender = AlertSender()
        fleet = inventory.fleet
        self.coordinator = coordinator
        self.instance = instance
        receivers = inventory.alerts
        zone = FleetZone(named: inventory.timezone)
        pages = Dictionary(inventory.services.compactMap { service in service.holdPage.map { (service.name, $0) } }, uniquingKeysWith: { first, _ in first })
        self.journal = journal
        self.home = home
        self.log = log
        self.pace = pace
        watch = AlertWatch(
            hosts: inventory.hosts.map(\.name), past: past.past(unixMicroseconds: Clock.unixMicroseconds()), now: Clock.boottime(), bounds: bounds)
        let known = past.told.map { told in
            var told = told
            if told.outcome == .open { told.outcome = .failed(Self.unknown) }
            return told
        }
        shown = Array(known.suffix(Self.shownMax))
        for told in known where told.key.event != .unprovenStop { outcomes[told.key, default: [:]][told.receiver] = told }
    }

    private static let unknown = "unknown: the coordinator ended before its end was recorded; not sent again"

    /// What the process before left without an end, to be recorded with this one's start.
    static func unfinished(_ past: AlertFold) -> [AuditRecord] {
        past.told.filter { $0.outcome == .open }.map {
            AuditRecord(.alertFailed, fields: [("id", $0.id), ("receiver", $0.receiver), ("outcome", "unknown"), ("why", unknown)])
        }
    }

    /// From here on silence is told; `why` is called on `home`.
    func begin(why: @escaping @Sendable (HostName) -> String) {
        home.execute { [self] in
            whySilent = why
            guard !closed else { return }
            let tick = TimeAmount.nanoseconds(pace.tick.nanoseconds)
            ticking = home.scheduleRepeatedTask(initialDelay: tick, delay: tick) { [weak self] _ in
                guard let self else { return }
                tell(watch.timeReached(Clock.boottime(), why: whySilent))
            }
        }
    }

    /// Attempts under way are given up; they end unknown, in the next process's record. Done when no connection is left.
    @discardableResult
    func close() -> EventLoopFuture<Void> {
        home.flatSubmit { [self] in
            guard !closed else { return home.makeSucceededVoidFuture() }
            closed = true
            ticking?.cancel()
            return sender.close().hop(to: home)
        }
    }

    // MARK: What happened

    func expires(_ subject: String, _ what: String, _ expiry: Expiry, then: String) {
        tell(watch.expires(subject, what, expiry, then: then, now: Clock.boottime()))
    }

    func contested(_ host: HostName, _ how: String) { tell(watch.contested(host, how: how, now: Clock.boottime())) }

    func reported(_ host: HostName, _ report: WireHostReport) {
        let workers = report.workers.map { worker -> AlertWatch.WorkerWord in
            let name = WorkerName(ServiceName(worker.service), on: host)
            let now = Clock.unixMicroseconds()
            var word = AlertWatch.WorkerWord(worker: name)
            if worker.hasLock {
                let lock = worker.lock
                word.lock = AlertWatch.Lock(
                    by: lock.by, person: lock.person, words: "by \(lock.person) \(zone.moment(lock.unixUs, now: now)): \"\(lock.text)\"")
            }
            word.mark = worker.launch.isEmpty ? "\(worker.lastExit.atBoottimeNs)" : worker.launch
            switch worker.state {
            case .held:
                word.need = .hold
                word.page = pages[name.service]
                let says = worker.status.isEmpty ? "" : ", \"\(worker.status)\""
                word.text = "\(name) still runs after its grace and is held\(says)\(worker.note.isEmpty ? "" : ". \(worker.note)")"
            // What an emergency stop ended was a person's order.
            case .failed where !worker.latched:
                word.need = .failed
                word.text = "\(name) failed\(worker.note.isEmpty ? "" : ": \(worker.note)")"
            case .stopped where worker.endedUnwanted:
                word.need = .failed
                word.text = "\(name) has ended by itself and nobody wanted that: last started by \(worker.wanted.by)"
            default: break
            }
            return word
        }
        let drift = report.drift.map { drift in
            AlertWatch.DriftWord(
                key: "\(drift.slug)/\(drift.subject)/\(drift.service)",
                text: "\(drift.subject) is \(drift.found), declared is \(drift.wanted)\(drift.service.isEmpty ? "" : "; it disturbs \(drift.service)")",
                sinceUnixMicroseconds: drift.sinceUnixUs)
        }
        tell(watch.reported(host, workers: workers, drift: drift, now: Clock.boottime()))
    }

    func stopEnded(_ kind: String, _ certificate: APICertificate) {
        tell(
            watch.stopEnded(
                run: certificate.run, kind: kind, reason: certificate.reason, verdict: certificate.verdict, because: certificate.because,
                now: Clock.boottime()))
    }

    /// Before the order goes out: the report that shows it may come before the order's answer.
    func unlocks(_ worker: WorkerName, by caller: String, reason: String) {
        var who = WireMark()
        who.by = caller
        watch.unlocks(worker, AlertWatch.Unlocking(by: caller, person: who.person, reason: reason))
    }

    /// The order came to nothing: whoever takes the lock off later is somebody else.
    func unlockRefused(_ worker: WorkerName) { watch.unlocks(worker, nil) }

    // MARK: Telling

    private func tell(_ alerts: [AlertWatch.Alert]) {
        for alert in alerts {
            nextID += 1
            let id = "\(instance)/alert-\(nextID)"
            let wanting = receivers.filter { $0.takes(alert.key.event, page: alert.page) }
            for receiver in wanting { deliver(Delivery(id: id, receiver: receiver, alert: alert, unixMicroseconds: Clock.unixMicroseconds())) }
            log.notice("alert", metadata: ["event": "\(alert.key.event.rawValue)", "subject": "\(alert.key.subject)", "receivers": "\(wanting.count)"])
        }
    }

    private func deliver(_ delivery: Delivery) {
        show(delivery, .open)
        guard underWay.count < Self.underWayMax, !closed else {
            return end(delivery, .failed("not sent: \(Self.underWayMax) alerts were under way already"))
        }
        underWay[key(delivery)] = delivery
        var fields = self.fields(delivery)
        fields += [
            ("event", delivery.alert.key.event.rawValue), ("subject", delivery.alert.key.subject), ("text", delivery.alert.text),
            ("mark", delivery.alert.mark), ("url", delivery.receiver.webhook),
        ]
        journal.append([AuditRecord(.alertSent, fields: fields)]) { [self] result in
            home.execute { [self] in
                switch result {
                case .success: attempt(delivery)
                case .failure(let error):
                    // Nothing goes out that is not on record.
                    log.error("cannot record an alert: it is not sent", metadata: ["subject": "\(delivery.alert.key.subject)", "why": "\(error)"])
                    end(delivery, .failed("not sent: the audit can't be written: \(error)"))
                }
            }
        }
    }

    private func attempt(_ last: Delivery) {
        guard !closed else { return }
        var delivery = last
        delivery.attempts += 1
        underWay[key(delivery)] = delivery
        let tried = delivery
        sender.post(delivery.receiver.webhook, body(delivery), within: pace.attemptWithin).hop(to: home).whenComplete { [self] result in
            switch result {
            case .success(let status) where (200...299).contains(status): end(tried, .delivered(unixMicroseconds: Clock.unixMicroseconds()))
            case .success(let status): failed(tried, "HTTP \(status)")
            case .failure(let error): failed(tried, "\(error)")
            }
        }
    }

    private func failed(_ delivery: Delivery, _ why: String) {
        guard !closed else { return }
        log.warning(
            "an alert was not taken",
            metadata: ["receiver": "\(delivery.receiver.name)", "attempt": "\(delivery.attempts)", "why": "\(why)"])
        guard delivery.attempts <= pace.pauses.count else {
            return end(delivery, .failed("\(why), \(delivery.attempts) attempts"))
        }
        show(delivery, .open, problem: why)
        let pause = pace.pauses[delivery.attempts - 1]
        home.scheduleTask(in: .nanoseconds(pause.nanoseconds)) { [self] in attempt(delivery) }
    }

    private func end(_ delivery: Delivery, _ outcome: AlertFold.Told.Outcome) {
        guard !closed else { return }
        underWay[key(delivery)] = nil
        show(delivery, outcome)
        let attempts = ("attempts", "\(delivery.attempts)")
        switch outcome {
        case .open: return
        case .delivered: record(AuditRecord(.alertDelivered, fields: fields(delivery) + [attempts]))
        case .failed(let why): record(AuditRecord(.alertFailed, fields: fields(delivery) + [attempts, ("why", why)]))
        }
    }

    private func record(_ record: AuditRecord) {
        journal.append([record]) { [log] result in
            if case .failure(let error) = result { log.error("cannot record what became of an alert", metadata: ["why": "\(error)"]) }
        }
    }

    private func key(_ delivery: Delivery) -> String { "\(delivery.id) \(delivery.receiver.name)" }

    private func fields(_ delivery: Delivery) -> [(String, String)] { [("id", delivery.id), ("receiver", delivery.receiver.name)] }

    private func body(_ delivery: Delivery) -> String {
        JSON.object([
            .init("id", .string(delivery.id)), .init("event", .string(delivery.alert.key.event.rawValue)),
            .init("subject", .string(delivery.alert.key.subject)), .init("text", .string(delivery.alert.text)),
            .init("then", .string(delivery.alert.then)), .init("fleet", .string(fleet.raw)), .init("coordinator", .string(coordinator.raw)),
            .init("receiver", .string(delivery.receiver.name)), .init("unix_us", .int(delivery.unixMicroseconds)),
        ]).text
    }

    // MARK: Showing

    private func show(_ delivery: Delivery, _ outcome: AlertFold.Told.Outcome, problem: String = "") {
        let told = AlertFold.Told(
            id: delivery.id, receiver: delivery.receiver.name, key: delivery.alert.key, text: delivery.alert.text,
            unixMicroseconds: delivery.unixMicroseconds, outcome: outcome)
        problems[key(delivery)] = outcome == .open && !problem.isEmpty ? problem : nil
        // A run is told of once: only what lasts is looked up again.
        if told.key.event != .unprovenStop { outcomes[told.key, default: [:]][told.receiver] = told }
        if let index = shown.lastIndex(where: { $0.id == told.id && $0.receiver == told.receiver }) {
            shown[index] = told
        } else {
            shown.append(told)
            if shown.count > Self.shownMax { shown.removeFirst() }
        }
    }

    func status() -> [APIAlertStatus] {
        shown.map { told in
            var status = APIAlertStatus()
            status.event = told.key.event.rawValue
            status.subject = told.key.subject
            status.text = told.text
            status.unixUs = told.unixMicroseconds
            status.receiver = told.receiver
            switch told.outcome {
            case .open: status.problem = problems["\(told.id) \(told.receiver)"] ?? ""
            case .delivered(let at): status.deliveredUnixUs = at
            case .failed(let why): status.problem = why
            }
            return status
        }
    }

    /// Who knows of it: " · Paged: desk 11:02:19 London", " · NOT paged: desk (HTTP 500, 3 attempts)"; empty: nothing was to be told.
    func paged(_ event: AlertSpec.Event, _ subject: String) -> String {
        guard let told = outcomes[AlertWatch.Key(event: event, subject: subject)]?.values.sorted(by: { $0.receiver < $1.receiver }) else {
            return receivers.contains { $0.events.contains(event) } || event == .hold ? "" : " · NOT paged: no receiver takes \(event.rawValue)"
        }
        var parts: [String] = []
        let delivered = told.compactMap { told -> String? in
            guard case .delivered(let at) = told.outcome else { return nil }
            return "\(told.receiver) \(timeOfDay(at))"
        }
        if !delivered.isEmpty { parts.append("Paged: \(delivered.joined(separator: ", "))") }
        let waiting = told.filter { $0.outcome == .open }.map(\.receiver)
        if !waiting.isEmpty { parts.append("Paging: \(waiting.joined(separator: ", "))") }
        let failed = told.compactMap { told -> String? in
            guard case .failed(let why) = told.outcome else { return nil }
            return "\(told.receiver) (\(why))"
        }
        if !failed.isEmpty { parts.append("NOT paged: \(failed.joined(separator: ", "))") }
        return " · " + parts.joined(separator: " · ")
    }

    /// `11:02:19 London`, with its day where that is not today's.
    private func timeOfDay(_ unixMicroseconds: UInt64) -> String {
        let day = zone.date(unixMicroseconds)
        return "\(day == zone.date(Clock.unixMicroseconds()) ? "" : "\(day) ")\(zone.time(unixMicroseconds)) \(zone.city)"
    }
}
