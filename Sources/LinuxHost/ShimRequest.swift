/// One line that a shim takes (protocol: trading-shim/shim.h).
///
/// Ids are 1 to 64 printable characters, chosen by the asker and executed once.
package enum ShimRequest: Equatable, Sendable {
    case hello
    case go(id: String)
    /// To the main process alone.
    case signal(id: String, number: Int32)
    /// SIGKILL to the whole tree; `latch` is kept in the exit record.
    case kill(id: String, latch: String?)

    /// Without the newline that ends it.
    package var line: String {
        switch self {
        case .hello: "hello 1"
        case .go(let id): "go \(id)"
        case .signal(let id, let number): "signal \(id) \(number)"
        case .kill(let id, let latch): latch.map { "kill \(id) \($0)" } ?? "kill \(id)"
        }
    }

    /// With the newline.
    package var bytes: [UInt8] { Array(line.utf8) + [10] }
}
