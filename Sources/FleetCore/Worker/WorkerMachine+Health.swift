/// Whether a ready worker is well, and what follows when it is not: its own stop sequence, without an order in the slot.
extension WorkerMachine {
    struct Health: Equatable, Sendable {
        struct Reading: Equatable, Sendable {
            var failures = 0
            var successes = 0
            /// What the last failure was, until it is healthy again.
            var problem = ""
            var since: BootTime?
        }

        /// By the check's place in the policy.
        var readings: [Int: Reading] = [:]
        var watchdogLate: String?
        var watchdogLateAt: BootTime?
        /// Recorded as unhealthy in this launch, and not healthy since.
        var isRecorded = false
        var recordedAt: BootTime?
        /// An earlier launch was unhealthy: its record of being healthy again is owed.
        var isOwed = false
        /// A person has left it running: nothing is done before it was healthy once.
        var isPardoned = false

        mutating func begin() {
            let owed = isOwed || isRecorded
            self = Health()
            isOwed = owed
        }
    }

    /// How often an unhealthy worker that is left alone is recorded at most.
    static let unhealthyRecordEvery: Duration = .seconds(10)
    private static let problemMax = 200

    // MARK: Events

    mutating func watchdogLate(_ why: String?, _ now: BootTime) -> [Effect] {
        guard case .running = phase, !saidStopping, checks.watchdogLate == nil else { return [] }
        checks.watchdogLate = why ?? "no WATCHDOG=1 \(policy.watchdog.map { "within \($0.words)" } ?? "in time")"
        checks.watchdogLateAt = now
        return judge(now)
    }

    mutating func watchdogBack(_ now: BootTime) -> [Effect] {
        guard checks.watchdogLate != nil else { return [] }
        checks.watchdogLate = nil
        checks.watchdogLateAt = nil
        return judge(now)
    }

    mutating func healthRead(_ index: Int, _ problem: String?, _ now: BootTime) -> [Effect] {
        guard case .running = phase, !saidStopping, policy.health.indices.contains(index) else { return [] }
        var reading = checks.readings[index] ?? Health.Reading()
        if let problem {
            reading.failures = min(reading.failures + 1, 1_000_000)
            reading.successes = 0
            reading.problem = String((problem.isEmpty ? "it failed" : problem).prefix(Self.problemMax))
            reading.since = reading.since ?? now
        } else {
            reading.failures = 0
            reading.successes = min(reading.successes + 1, 1_000_000)
            if reading.successes >= max(1, policy.health[index].successes) {
                reading.problem = ""
                reading.since = nil
            }
        }
        checks.readings[index] = reading
        return judge(now)
    }

    /// Acts on what is known: after every reading, and when a lock is taken off.
    mutating func judge(_ now: BootTime) -> [Effect] {
        guard case .running(let launch, let pid) = phase, !saidStopping else { return [] }
        guard let why = unhealthy else { return isHealthy ? healthy() : [] }
        let isLeft = lock != nil || checks.isPardoned
        var effects: [Effect] = []
        let isDue = checks.recordedAt.map { now - $0 >= Self.unhealthyRecordEvery } ?? true
        if !checks.isRecorded, isDue || !isLeft {
            checks.isRecorded = true
            checks.recordedAt = now
            var fields = [Field("why", why), Field("level", "warning")]
            if isLeft { fields.append(Field("left_alone", lock == nil ? "released from its hold" : "locked")) }
            effects.append(.record(.workerUnhealthy, order: nil, fields: fields))
        }
        guard !isLeft, latch == nil else { return effects }
        ownStop = why
        actionBy = nil
        if let order = slot {
            effects += finish(.failed(slug: "unhealthy", text: "\(order.verb) of \(worker) failed: it is unhealthy and being stopped: \(why)"))
        }
        return effects + beginStop(launch, pid, now)
    }

    private mutating func healthy() -> [Effect] {
        checks.isPardoned = false
        guard checks.isRecorded || checks.isOwed else { return [] }
        checks.isRecorded = false
        checks.isOwed = false
        return [.record(.workerHealthy, order: nil, fields: [])]
    }

    // MARK: Queries

    /// Why it is unhealthy now.
    private var unhealthy: String? {
        if let late = checks.watchdogLate { return late }
        for (index, spec) in policy.health.enumerated() {
            guard let reading = checks.readings[index], reading.failures >= max(1, spec.failures) else { continue }
            return "\(spec.words) failed \(reading.failures) times: \(reading.problem)"
        }
        return nil
    }

    private var isHealthy: Bool {
        checks.watchdogLate == nil
            && policy.health.enumerated().allSatisfy { index, spec in
                checks.readings[index].map { $0.problem.isEmpty && $0.successes >= max(1, spec.successes) } ?? false
            }
    }

    /// `policy.health` is to be read, each check as often as it says.
    package var wantsHealthReads: Bool {
        guard case .running = phase else { return false }
        return !saidStopping && !policy.health.isEmpty
    }

    /// In words: `ok`, or what fails and for how long; empty where nothing is checked or nothing runs.
    package func health(now: BootTime) -> String {
        if let ownStop, launch != nil { return "unhealthy: \(ownStop)" }
        if case .starting = phase, lateSaid, !readyByDelay { return "NOT READY in time" }
        guard case .running = phase, policy.watchdog != nil || !policy.health.isEmpty || checks.watchdogLate != nil else { return "" }
        if saidStopping { return "" }
        func lasts(_ since: BootTime?) -> String { since.map { ", for \(max(.zero, now - $0).words)" } ?? "" }
        var words: [String] = []
        if let late = checks.watchdogLate { words.append("watchdog late: \(late)\(lasts(checks.watchdogLateAt))") }
        for (index, spec) in policy.health.enumerated() {
            guard let reading = checks.readings[index] else {
                words.append("\(spec.words) not read yet")
                continue
            }
            guard !reading.problem.isEmpty else { continue }
            words.append("\(spec.words) \(min(reading.failures, spec.failures)) of \(max(1, spec.failures)): \(reading.problem)\(lasts(reading.since))")
        }
        return words.isEmpty ? "ok" : words.joined(separator: "; ")
    }
}

extension HealthSpec {
    /// `http http://127.0.0.1:8081/health`
    fileprivate var words: String {
        switch how {
        case .http(let probe): "http \(probe.url)"
        case .exec(let argv): "exec \(argv.first ?? "")"
        case .tcp(let address): "tcp \(address)"
        }
    }
}
