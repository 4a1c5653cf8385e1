internal import Glibc
internal import Synchronization

/// Where a process may be told to end at once, as by `kill -9`, so that a test finds out what its successor makes of it.
///
/// Debug builds only: `TRADING_FAILPOINT=KIND:NAME` in the process's environment ends it when it passes that place, `KIND:NAME@N` when it passes
/// it for the Nth time. A release build has no such place.
package enum Failpoint: String, CaseIterable, Sendable {
    /// A record is about to be handed to the journal's thread. The name is the record's event: `WORKER_SIGNAL`.
    case beforeRecord = "before-record"
    /// The record is durable; nothing has been done for it yet.
    case afterRecord = "after-record"
    /// Done, and nobody has heard what came of it. At an agent the name is the effect (`launch`, `signal`, `kill`, …), at a coordinator the command
    /// that was handed to a session (`stop`, `verify`, …).
    case afterEffect = "after-effect"
    /// What came of it is known and has been told to nobody. At an agent the name is the outcome of a command (`done`, `refused`, …), at a
    /// coordinator the kind of the run that has ended (`stop`, `start`, …).
    case beforeSend = "before-send"
    /// That was handed to everybody who listens; what of it reaches them is open.
    case afterSend = "after-send"

    #if DEBUG
        private struct Armed: Sendable {
            let kind: Failpoint
            let name: String
            let count: Int
        }

        /// What the environment asks for; nil: nothing, or nothing that can be understood.
        private static let armed: Armed? = {
            guard let text = getenv("TRADING_FAILPOINT").map({ String(cString: $0) }), let colon = text.firstIndex(of: ":"),
                let kind = Failpoint(rawValue: String(text[..<colon]))
            else { return nil }
            let parts = text[text.index(after: colon)...].split(separator: "@", maxSplits: 1)
            guard let name = parts.first, let count = parts.count == 2 ? Int(parts[1]) : 1 else { return nil }
            return Armed(kind: kind, name: String(name), count: count)
        }()
        private static let passes = Atomic(0)
    #endif

    /// The same, named after an enum's case without what it carries.
    package func pass(caseOf value: @autoclosure () -> some Any) { pass(String("\(value())".prefix { $0 != "(" })) }

    /// Says that the process is at this place; where the environment asks for it, nothing after this call happens.
    package func pass(_ name: @autoclosure () -> String) {
        #if DEBUG
            guard let armed = Self.armed, armed.kind == self, armed.name == name(),
                Self.passes.add(1, ordering: .relaxed).newValue == armed.count
            else { return }
            kill(getpid(), SIGKILL)
            while true { pause() }
        #endif
    }
}
