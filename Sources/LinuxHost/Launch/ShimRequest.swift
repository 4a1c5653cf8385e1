package import FleetCore

/// One line that a shim takes (protocol: trading-shim/shim.h).
///
/// Ids are 1 to 64 printable characters, chosen by the asker and executed once.
package enum ShimRequest: Equatable, Sendable {
    /// The newest version of the protocol that this program speaks.
    package static let version = 3

    /// For all events up to that version of the protocol.
    ///
    /// A shim that does not speak it answers with an error of the slug `version`; a lower one may follow on the same
    /// connection.
    case hello(version: Int)
    case go(id: String)
    /// To the main process alone.
    case signal(id: String, number: Int32)
    /// To the main process, and once that has ended to what it leaves of its tree, which the shim then kills only when asked.
    ///
    /// Version 3. Never SIGKILL. Number 0 calls it off: the end is then its own, as without a stop.
    case stop(id: String, number: Int32)
    /// SIGKILL to the whole tree; `latch` is kept in the exit record.
    case kill(id: String, latch: String?)
    /// Arms the fence or extends it: at `soft` the shim sends `signal` by itself, at `hard` all of the launch is killed
    /// whatever the shim does.
    ///
    /// Version 2, with `LaunchConfiguration.fence`. Never an earlier deadline, another epoch, more than the first time
    /// that it was given, nor anything once a deadline has passed.
    case fence(id: String, epoch: UInt64, soft: BootTime, hard: BootTime, signal: Int32)

    /// Without the newline that ends it.
    package var line: String {
        switch self {
        case .hello(let version): "hello \(version)"
        case .go(let id): "go \(id)"
        case .signal(let id, let number): "signal \(id) \(number)"
        case .stop(let id, let number): "stop \(id) \(number)"
        case .kill(let id, let latch): latch.map { "kill \(id) \($0)" } ?? "kill \(id)"
        case .fence(let id, let epoch, let soft, let hard, let signal):
            "fence \(id) \(epoch) \(soft.nanoseconds) \(hard.nanoseconds) \(signal)"
        }
    }

    /// With the newline.
    package var bytes: [UInt8] { Array(line.utf8) + [10] }
}
