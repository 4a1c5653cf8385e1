import Glibc

/// Why something could not be measured: what was tried, on what, and why not.
package struct ProbeError: Error, Equatable, Sendable, CustomStringConvertible {
    package enum Cause: Equatable, Sendable {
        /// The kernel refused, with this errno.
        case system(Int32)
        /// No answer within the deadline.
        case timeout
        /// The other side ended the connection.
        case closed
        /// The other side answered with a refusal of its own, in its own words.
        case refused(String)
        /// The answer, the address or the name can't be understood.
        case malformed(String)
        /// More than the bound of this module.
        case tooLarge(String)
        /// What was asked for does not exist there.
        case absent(String)
    }

    /// In the infinitive: "connect to", "read".
    package let operation: String
    package let object: String
    package let cause: Cause

    package init(_ operation: String, _ object: String, _ cause: Cause) {
        self.operation = operation
        self.object = object
        self.cause = cause
    }

    package var description: String { "cannot \(operation) \(object): \(why)" }

    /// Whether asking again later could help without anyone changing anything.
    package var isConnectionLost: Bool {
        switch cause {
        case .system, .timeout, .closed: true
        case .refused, .malformed, .tooLarge, .absent: false
        }
    }

    private var why: String {
        switch cause {
        case .system(let number): String(cString: strerror(number))
        case .timeout: "no answer in time"
        case .closed: "the other side closed the connection"
        case .refused(let text), .malformed(let text), .tooLarge(let text), .absent(let text): text
        }
    }
}
