import FleetCore
import LinuxHost
import Logging
import NIOConcurrencyHelpers

/// Logs what peers cause, a bounded number of lines for each peer or kind of refusal; the others are counted and told with the next
/// line.
final class PeerLog: Sendable {
    private let bounds = NIOLockedValueBox<[String: RateBound]>([:])

    /// A whole fleet whose list is stale says so once a minute and host; one peer needs no more lines.
    static let linesMax = 60
    static let window: Duration = .seconds(60)
    /// Subjects that have a bound of their own; all beyond share one.
    private static let subjectsMax = 4_096

    /// `subject`: whom or what the bound is for, an identity or, where none is known, the kind of refusal.
    func log(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata, about subject: String, to log: Logger) {
        // What nobody would see takes nothing from what somebody does.
        guard level >= log.logLevel else { return }
        let now = Clock.boottime()
        let verdict = bounds.withLockedValue { bounds in
            let key = bounds[subject] == nil && bounds.count >= Self.subjectsMax ? "" : subject
            return bounds[key, default: RateBound(Self.linesMax, in: Self.window)].take(at: now)
        }
        switch verdict {
        case .admitted(let missed):
            var metadata = metadata
            if missed > 0 { metadata["not-logged-before"] = "\(missed)" }
            log.log(level: level, message, metadata: metadata)
        case .reached:
            log.warning("more lines than are logged; the rest of this minute is counted", metadata: ["about": "\(subject)", "logged": "\(Self.linesMax)"])
        case .beyond: break
        }
    }
}
