internal import FleetCore
internal import Glibc
internal import LinuxHost
internal import Logging

/// What the agent tells the service manager that started it (sd_notify(3)); nothing where there is none.
///
/// No child of the agent can speak for it: shims and commands get environments of their own.
final class AgentNotify: Sendable {
    private let manager: ServiceManager?
    private let log: Logger
    /// Half of what the manager allows (sd_watchdog_enabled(3)); nil: it watches nothing.
    let watchdogEvery: Duration?

    init(log: Logger) {
        self.log = log
        func taken(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        let socket = taken("NOTIFY_SOCKET")
        let (microseconds, pid) = (taken("WATCHDOG_USEC"), taken("WATCHDOG_PID"))
        var found: ServiceManager?
        if let socket {
            do { found = try ServiceManager(socket: socket) } catch {
                log.warning("the service manager can't be told anything", metadata: ["error": "\(error)"])
            }
        }
        manager = found
        let isMeant = pid.map { $0 == "\(getpid())" } ?? true
        watchdogEvery =
            found == nil || !isMeant ? nil : microseconds.flatMap { Int64($0) }.flatMap { $0 > 1 ? .microseconds($0 / 2) : nil }
    }

    /// Lines of `NAME=VALUE`; never blocks.
    func say(_ lines: String) {
        do { try manager?.say(lines) } catch { log.debug("the service manager was not told", metadata: ["error": "\(error)"]) }
    }
}
