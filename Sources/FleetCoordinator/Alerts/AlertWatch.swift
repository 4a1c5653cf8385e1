internal import FleetCore

/// Decides what is worth an alert: from what is reported, what stays silent and how stops end.
///
/// One alert per transition, never per report. The same event of the same subject is told at most once in `window`; what
/// comes on top is counted and told when the window is over.
struct AlertWatch: Equatable, Sendable {
    struct Bounds: Equatable, Sendable {
        /// A host is called unknown to people once its silence has lasted this long: the session's bound, and once more for an
        /// agent that is being restarted.
        var unknownAfter: Duration = .seconds(10)
        /// What hosts have to dial in after this coordinator's start.
        var startGrace: Duration = .seconds(30)
        var window: Duration = .seconds(60)
    }

    struct Key: Hashable, Sendable {
        var event: AlertSpec.Event
        /// `service@host`, a host, `run 311`
        var subject: String
    }

    struct Alert: Equatable, Sendable {
        var key: Key
        var text: String
        /// What to type.
        var then: String
        /// Tells one transition from the next of the same subject, across a restart of the coordinator.
        var mark = ""
        /// A receiver that is told whatever events it wants; nil: none.
        var page: String?
    }

    /// What a report says of one worker, as far as it matters here.
    struct WorkerWord: Equatable, Sendable {
        var worker: WorkerName
        /// failed or hold; nil: nobody is needed.
        var need: AlertSpec.Event?
        var text = ""
        var mark = ""
        var page: String?
        /// nil: it is not locked.
        var lock: Lock?
    }

    /// Who keeps others away from a worker.
    struct Lock: Equatable, Sendable {
        /// As the agent has it: `operator/ops-1`.
        var by: String
        /// Without the kind of identity, as a receiver may be called: `ops-1`.
        var person: String
        /// `by ops-1 14:02: "bad param file"`
        var words: String
    }

    /// Who is taking a lock off through this coordinator, and why.
    struct Unlocking: Equatable, Sendable {
        var by: String
        var person: String
        var reason: String
    }

    struct DriftWord: Equatable, Sendable {
        /// What drifts; how far may move.
        var key: String
        var text: String
        /// First seen by its agent.
        var sinceUnixMicroseconds: UInt64
    }

    /// What an earlier coordinator process has told.
    struct Past: Equatable, Sendable {
        var mark: String
        var age: Duration
    }

    private struct Window: Equatable, Sendable {
        var openedAt: BootTime
        /// Not told in it, the last one in full.
        var more = 0
        var last: Alert?
    }

    let bounds: Bounds
    let hosts: [HostName]
    private let startedAt: BootTime
    private let past: [Key: Past]
    private var needs: [WorkerName: AlertSpec.Event] = [:]
    private var met: Set<WorkerName> = []
    private var locks: [WorkerName: Lock?] = [:]
    private var unlocking: [WorkerName: Unlocking] = [:]
    private var drifting: [HostName: Set<String>] = [:]
    private var lastWord: [HostName: BootTime] = [:]
    private var toldSilent: Set<HostName> = []
    /// How far each certificate and list was told of, by whose it is and what.
    private var expiring: [String: Int] = [:]
    private var windows: [Key: Window] = [:]

    init(hosts: [HostName], past: [Key: Past] = [:], now: BootTime, bounds: Bounds = Bounds()) {
        self.hosts = hosts
        self.past = past
        self.bounds = bounds
        startedAt = now
        for (key, past) in past where past.age < bounds.window {
            windows[key] = Window(openedAt: now + (.zero - past.age))
        }
    }

    // MARK: Events

    mutating func reported(_ host: HostName, workers: [WorkerWord], drift: [DriftWord], now: BootTime) -> [Alert] {
        lastWord[host] = now
        toldSilent.remove(host)
        var alerts: [Alert] = []
        for word in workers {
            let before = needs[word.worker]
            needs[word.worker] = word.need
            if let alert = unlocked(word, from: locks.updateValue(word.lock, forKey: word.worker) ?? nil) { alerts.append(alert) }
            let isFirst = met.insert(word.worker).inserted
            guard let need = word.need, need != before else { continue }
            let key = Key(event: need, subject: word.worker.description)
            // Told by the process before, or recorded as unknown: not again.
            if isFirst, let past = past[key], past.mark == word.mark { continue }
            let then =
                need == .hold
                ? "trading hold wait \(word.worker) --for 60s, or trading hold release \(word.worker) --kill --reason …"
                : "trading logs \(word.worker.service), then trading start \(word.worker) --reason …"
            alerts.append(Alert(key: key, text: word.text, then: then, mark: word.mark, page: word.page))
        }
        if let alert = drifted(host, drift) { alerts.append(alert) }
        return alerts.compactMap { admit($0, now) }
    }

    /// A lock is about to be taken off by an order of this coordinator's; on the host itself it can be too, and then nobody says who it was.
    ///
    /// nil: it was refused.
    mutating func unlocks(_ worker: WorkerName, _ unlocking: Unlocking?) { self.unlocking[worker] = unlocking }

    private mutating func unlocked(_ word: WorkerWord, from before: Lock?) -> Alert? {
        guard let before, before.by != word.lock?.by else { return nil }
        let unlocking = unlocking.removeValue(forKey: word.worker)
        // One's own lock.
        if unlocking?.by == before.by { return nil }
        let how = unlocking.map { "by \($0.person): \"\($0.reason)\"" } ?? "on its own host"
        return Alert(
            key: Key(event: .unlocked, subject: word.worker.description),
            text: "\(word.worker), locked \(before.words), was unlocked \(how)\(word.lock.map { ", and is locked \($0.words)" } ?? ""). It can be started.",
            then: "trading audit show --host \(word.worker.host)    to lock it again: trading lock \(word.worker) --reason …", page: before.person)
    }

    private mutating func drifted(_ host: HostName, _ drift: [DriftWord]) -> Alert? {
        let key = Key(event: .drift, subject: host.raw)
        let known = drifting.updateValue(Set(drift.map(\.key)), forKey: host)
        let fresh =
            if let known {
                drift.filter { !known.contains($0.key) }
            } else {
                drift.filter { $0.sinceUnixMicroseconds > past[key].flatMap { UInt64($0.mark) } ?? 0 }
            }
        guard let first = fresh.first else { return nil }
        let more = fresh.count > 1 ? ", and \(fresh.count - 1) more" : ""
        return Alert(
            key: key, text: "\(host) is not set up as declared: \(first.text)\(more)", then: "trading layout verify --host \(host)",
            mark: "\(drift.map(\.sinceUnixMicroseconds).max() ?? 0)")
    }

    /// Alerts when the stage has risen since the last call. The first call after a coordinator's start is compared with what the process
    /// before has told.
    mutating func expires(_ subject: String, _ what: String, _ expiry: Expiry, then: String, now: BootTime) -> [Alert] {
        let key = "\(subject)/\(what)"
        let alert = Key(event: .expiry, subject: key)
        let told = past[alert].flatMap { Int($0.mark) } ?? 0
        let before = expiring.updateValue(expiry.stage, forKey: key) ?? told
        guard expiry.stage > before else { return [] }
        let text = "\(subject): its \(what) \(expiry.sentence)"
        return [admit(Alert(key: alert, text: text, then: then, mark: "\(expiry.stage)"), now)].compactMap(\.self)
    }

    /// Two instances of a host live.
    mutating func contested(_ host: HostName, how: String, now: BootTime) -> [Alert] {
        let alert = Alert(
            key: Key(event: .unknownHost, subject: host.raw), text: "\(host): TWO INSTANCES live: \(how). Nothing is started or proven there.",
            then: "End one of them, then: trading hosts settle \(host) --reason …", mark: "contested")
        return [admit(alert, now)].compactMap(\.self)
    }

    /// A stop or restart has ended with this verdict.
    mutating func stopEnded(run: UInt64, kind: String, reason: String, verdict: String, because: [String], now: BootTime) -> [Alert] {
        guard verdict == "unproven" || verdict == "contradicted" else { return [] }
        let why = because.first.map { " because \($0)" } ?? ""
        let more = because.count > 1 ? " (and \(because.count - 1) more)" : ""
        let alert = Alert(
            key: Key(event: .unprovenStop, subject: "run \(run)"), text: "\(kind) run \(run), \"\(reason)\", ended \(verdict)\(why)\(more)",
            then: "trading runs \(run)", mark: verdict)
        return [admit(alert, now)].compactMap(\.self)
    }

    /// Hosts that have fallen silent, and what gathered in windows that are over.
    mutating func timeReached(_ now: BootTime, why: (HostName) -> String) -> [Alert] {
        var alerts: [Alert] = []
        for host in hosts where !toldSilent.contains(host) {
            let silence = lastWord[host].map { now - $0 } ?? (now - startedAt)
            guard silence > (lastWord[host] == nil ? bounds.startGrace : bounds.unknownAfter) else { continue }
            toldSilent.insert(host)
            let since = lastWord[host] == nil ? "no word since this coordinator started, \(silence.words) ago" : "no word for \(silence.words)"
            let alert = Alert(
                key: Key(event: .unknownHost, subject: host.raw), text: "\(host): \(since) (\(why(host))). Its workers may be running.",
                then: "On \(host) itself: trading --local status", mark: "")
            if let alert = admit(alert, now) { alerts.append(alert) }
        }
        for (key, window) in windows where now - window.openedAt >= bounds.window {
            guard var last = window.last else {
                windows[key] = nil
                continue
            }
            if window.more > 1 { last.text += " (and \(window.more - 1) more of it within \(bounds.window.words))" }
            windows[key] = Window(openedAt: now)
            alerts.append(last)
        }
        return alerts.sorted { $0.key.subject < $1.key.subject }
    }

    /// nil: kept back until the window of its kind is over.
    private mutating func admit(_ alert: Alert, _ now: BootTime) -> Alert? {
        if let window = windows[alert.key], now - window.openedAt < bounds.window {
            windows[alert.key]?.more += 1
            windows[alert.key]?.last = alert
            return nil
        }
        var alert = alert
        if let window = windows[alert.key], window.more > 0 { alert.text += " (and \(window.more) more of it before)" }
        windows[alert.key] = Window(openedAt: now)
        return alert
    }
}
