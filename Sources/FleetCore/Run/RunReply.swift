/// Two clocks of the coordinator at one moment: one to decide by, one to show.
package struct Moment: Equatable, Sendable {
    package var boot: BootTime
    package var unixMicroseconds: UInt64

    package init(boot: BootTime, unixMicroseconds: UInt64) {
        self.boot = boot
        self.unixMicroseconds = unixMicroseconds
    }
}

/// The id of one command of a run, the same for every repeat of it.
package struct CommandID: Name {
    package let raw: String
    package init(_ raw: String) { self.raw = raw }
}

/// What an agent answered to a command of a run.
package enum RunReply: Equatable, Sendable {
    case done(Done)
    /// It has not ended; what a person should see meanwhile.
    case progress(slug: String, text: String)
    case refused(slug: String, text: String)
    case failed(slug: String, text: String)
    /// It has stopped, and something of it is still there.
    case leftBehind(Done)

    package struct Done: Equatable, Sendable {
        package var streams: [StreamReading]
        package var gateHolds: Bool
        package var gateValue: String
        package var killed: Bool
        package var treeEmpty: Bool
        package var exit: WorkerExit?
        package var status: String
        package var signalledUnixMicroseconds: UInt64
        package var goneUnixMicroseconds: UInt64
        /// `host:sequence:hash` of the agent's records.
        package var citations: [String]
        /// Read while the worker lived, or said by it last.
        package var counters: [String: Int64]
        package var text: String
        /// What was looked at after the worker's end.
        package var checks: [Verification.Check]
        /// Of the worker; nil: not asked for, or its agent is older.
        package var launches: LaunchHistory?
        /// Path to digest, or `unreadable: …`.
        package var stateFiles: [String: String]

        package init(
            streams: [StreamReading] = [], gateHolds: Bool = false, gateValue: String = "", killed: Bool = false, treeEmpty: Bool = false,
            exit: WorkerExit? = nil, status: String = "", signalledUnixMicroseconds: UInt64 = 0, goneUnixMicroseconds: UInt64 = 0,
            citations: [String] = [], counters: [String: Int64] = [:], text: String = "",
            checks: [Verification.Check] = [], launches: LaunchHistory? = nil, stateFiles: [String: String] = [:]
        ) {
            self.streams = streams
            self.gateHolds = gateHolds
            self.gateValue = gateValue
            self.killed = killed
            self.treeEmpty = treeEmpty
            self.exit = exit
            self.status = status
            self.signalledUnixMicroseconds = signalledUnixMicroseconds
            self.goneUnixMicroseconds = goneUnixMicroseconds
            self.citations = citations
            self.counters = counters
            self.text = text
            self.checks = checks
            self.launches = launches
            self.stateFiles = stateFiles
        }

        /// Why it can't be told whether something of its tree lives, though nothing of it is found; nil: it can.
        package var treeDoubt: String? { checks.first { $0.what == .tree && $0.state == .unknown }?.text }

        /// What is left, in a sentence; nil: nothing is.
        package var leftBehind: String? {
            let left = checks.filter { $0.state == .left && $0.what != .tree }
            return left.isEmpty ? nil : left.map { $0.text.isEmpty ? "\($0.what.rawValue) left" : $0.text }.joined(separator: "; ")
        }
    }
}

/// What an operator decided about a run, by name and with a reason.
package struct RunOverride: Equatable, Sendable {
    package enum What: Equatable, Sendable {
        case gate(String)
        case stream(StreamName)
        /// A person says that the host is powered off.
        case hostOff(HostName)
    }

    package var what: What
    package var by: String
    package var reason: String

    package init(what: What, by: String, reason: String) {
        self.what = what
        self.by = by
        self.reason = reason
    }

    package var words: String {
        switch what {
        case .gate(let name): "gate \(name) overridden by \(by): \(reason)"
        case .stream(let name): "drain of \(name) overridden by \(by): \(reason)"
        case .hostOff(let host): "\(host) attested powered off by \(by): \(reason)"
        }
    }
}
