package import FleetCore

/// One line that a shim takes (protocol: trading-shim/shim.h).
///
/// Ids are 1 to 64 printable characters, chosen by the asker and executed once.
package enum ShimRequest: Equatable, Sendable {
    /// For all events of version 2.
    ///
    /// A shim of version 1 answers with an error of the slug `version`; then `helloVersion1` follows on the same
    /// connection.
    case hello
    /// For the events of version 1 alone, which every shim has.
    case helloVersion1
    case go(id: String)
    /// To the main process alone.
    case signal(id: String, number: Int32)
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
        case .hello: "hello 2"
        case .helloVersion1: "hello 1"
        case .go(let id): "go \(id)"
        case .signal(let id, let number): "signal \(id) \(number)"
        case .kill(let id, let latch): latch.map { "kill \(id) \($0)" } ?? "kill \(id)"
        case .fence(let id, let epoch, let soft, let hard, let signal):
            "fence \(id) \(epoch) \(soft.nanoseconds) \(hard.nanoseconds) \(signal)"
        }
    }

    /// With the newline.
    package var bytes: [UInt8] { Array(line.utf8) + [10] }
}
