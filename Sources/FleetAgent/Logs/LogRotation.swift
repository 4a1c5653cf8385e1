internal import FleetCore
internal import LinuxHost
internal import Logging
internal import NIOConcurrencyHelpers
internal import NIOCore

/// When the agent's logs are rotated, and what came of it.
///
/// `@unchecked Sendable`: mutable state is touched on the agent's loop only, but for the rotator, which only the pass in hand has.
final class LogRotation: @unchecked Sendable {
    private(set) var warnings: [String] = []
    private var rotator = LogRotator()
    private var dueAt = BootTime.zero
    private(set) var isPassing = false
    private let isEnding = NIOLockedValueBox(false)

    init() { rotator.interrupted = { [isEnding] _ in isEnding.withLockedValue { $0 } } }

    func isDue(_ now: BootTime) -> Bool { !isPassing && now >= dueAt }

    func begin(_ streams: [LogRotator.Stream], on agent: Agent) {
        let accepted = agent.housework.submit(lane: "rotation") { [self, loop = agent.loop, log = agent.log] in
            let outcome = rotator.pass(streams, nowUnixSeconds: Int64(Clock.unixMicroseconds() / 1_000_000), now: Clock.boottime())
            loop.execute { [self] in
                isPassing = false
                dueAt = Clock.boottime() + outcome.next
                for loss in outcome.losses { log.error("log lines were given up", metadata: ["what": "\(loss)"]) }
                for warning in outcome.warnings where !warnings.contains(warning) { log.warning("logs", metadata: ["problem": "\(warning)"]) }
                warnings = outcome.warnings
            }
        }
        isPassing = accepted
    }

    func end() { isEnding.withLockedValue { $0 = true } }
}
