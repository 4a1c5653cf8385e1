import FleetCore
import LinuxHost
import Logging
import NIOConcurrencyHelpers

/// Logs that a peer was refused, a bounded number of times; the others are counted and told with the next line.
final class RefusalLog: Sendable {
    private let bound = NIOLockedValueBox(RateBound(RefusalLog.linesMax, in: RefusalLog.window))

    /// A fleet whose certificates all expire tells so once a minute and host; a port scan needs no more lines.
    static let linesMax = 60
    static let window: Duration = .seconds(60)

    func refused(_ level: Logger.Level, _ metadata: Logger.Metadata, to log: Logger) {
        switch bound.withLockedValue({ $0.take(at: Clock.boottime()) }) {
        case .admitted(let missed):
            var metadata = metadata
            if missed > 0 { metadata["not-logged-before"] = "\(missed)" }
            log.log(level: level, "peer refused", metadata: metadata)
        case .reached:
            log.warning("more peers are refused than are logged; the rest of this minute is counted", metadata: ["logged": "\(Self.linesMax)"])
        case .beyond: break
        }
    }
}
