/// The parts of a service's declaration that decide about its life.
package struct WorkerPolicy: Equatable, Sendable {
    package var ready: ReadySpec
    package var stop: StopSpec
    package var quiesce: ActionSpec?
    package var resume: ActionSpec?
    package var restart: RestartSpec
    package var release: ReleaseSpec
    package var health: [HealthSpec]
    /// How long it may be silent; for words only: its shim keeps the time.
    package var watchdog: Duration?

    package init(
        ready: ReadySpec = .delay(.zero), stop: StopSpec = StopSpec(), quiesce: ActionSpec? = nil, resume: ActionSpec? = nil,
        restart: RestartSpec = RestartSpec(), release: ReleaseSpec = ReleaseSpec(), health: [HealthSpec] = [], watchdog: Duration? = nil
    ) {
        self.ready = ready
        self.stop = stop
        self.quiesce = quiesce
        self.resume = resume
        self.restart = restart
        self.release = release
        self.health = health
        self.watchdog = watchdog
    }

    var readyWithin: Duration {
        switch ready {
        case .notify(let within): within
        case .delay(let delay): delay
        }
    }
}

/// One launch of a worker: 16 lower-case hex digits, random.
package struct LaunchID: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

/// Who asked a worker for what, and with which knowledge of it.
package struct Order: Equatable, Sendable {
    /// Unique per operation: a repeat of the same id is the same order.
    package var operation: String
    package var verb: Verb
    package var by: String
    package var reason: String
    /// The run it belongs to; nil: none.
    package var run: UInt64?
    /// nil: any.
    package var expectedGeneration: UInt64?
    /// A lock does not refuse it: the host goes down, and its workers with it.
    package var throughLock: Bool

    package init(
        operation: String, verb: Verb, by: String, reason: String, run: UInt64? = nil, expectedGeneration: UInt64? = nil, throughLock: Bool = false
    ) {
        self.operation = operation
        self.verb = verb
        self.by = by
        self.reason = reason
        self.run = run
        self.expectedGeneration = expectedGeneration
        self.throughLock = throughLock
    }
}

/// How a launch ended, as its shim kept it.
package struct WorkerExit: Equatable, Sendable {
    package enum How: Equatable, Sendable {
        case exited(Int32)
        case signalled(Int32, core: Bool)
        /// The shim was lost before it could keep it.
        case unknown
    }

    package var how: How
    package var killedByLatch: String?
    /// The last value of each X_ key and of ERRNO.
    package var notified: [String: String]
    /// STOPPING=1 was said.
    package var saidStopping: Bool
    /// The worker's last STATUS.
    package var status: String
    /// Nil: not known, its shim is from before protocol 3 or was lost.
    package var tree: TreeEnd?
    /// Its shim was lost and it had no cgroup of its own: a process that had left the tree by then was seen by nobody.
    package var isTreeInDoubt = false
    package var at: BootTime

    package init(
        how: How, killedByLatch: String? = nil, notified: [String: String] = [:], saidStopping: Bool = false, status: String = "",
        tree: TreeEnd? = nil, at: BootTime
    ) {
        self.how = how
        self.killedByLatch = killedByLatch
        self.notified = notified
        self.saidStopping = saidStopping
        self.status = status
        self.tree = tree
        self.at = at
    }

    package static let doubtField = "tree_in_doubt"

    package var isClean: Bool { how == .exited(0) }

    /// Whether what a worker said under this key outlives it.
    package static func keeps(_ key: String) -> Bool { key.hasPrefix("X_") || key == "ERRNO" }

    package var words: String {
        switch how {
        case .exited(let code): "exit \(code)"
        case .signalled(let signal, let core): "signal \(signal)\(core ? ", core dumped" : "")"
        case .unknown: "exit status unknown"
        }
    }

    /// For the audit.
    package var fields: [WorkerMachine.Field] {
        var fields = [WorkerMachine.Field("exit", words)]
        if !status.isEmpty { fields.append(WorkerMachine.Field("status", status)) }
        if let tree { fields += tree.fields }
        if isTreeInDoubt { fields.append(WorkerMachine.Field(Self.doubtField, true)) }
        if let killedByLatch { fields.append(WorkerMachine.Field("latch", killedByLatch)) }
        for (key, value) in notified.sorted(by: { $0.key < $1.key }) { fields.append(WorkerMachine.Field(key, value)) }
        return fields
    }
}
