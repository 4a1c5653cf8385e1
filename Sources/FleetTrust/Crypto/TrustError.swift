import Glibc

/// Why something about certificates could not be done: operation, object, cause, and what to do next.
package struct TrustError: Error, Equatable, Sendable, CustomStringConvertible {
    package let operation: String
    package let object: String
    package let cause: String
    /// What the operator does next; empty when the cause says it.
    package let advice: String

    package init(_ operation: String, _ object: String, _ cause: String, advice: String = "") {
        self.operation = operation
        self.object = object
        self.cause = cause
        self.advice = advice
    }

    /// With the words of `errno` as the cause.
    init(_ operation: String, _ object: String, errno code: CInt, advice: String = "") {
        self.init(operation, object, String(cString: strerror(code)), advice: advice)
    }

    /// With libcrypto's queued errors as the cause; empties the queue.
    static func libcrypto(_ operation: String, _ object: String, advice: String = "") -> TrustError {
        let words = LibCrypto.drainErrors()
        return TrustError(operation, object, words.isEmpty ? "libcrypto gave no reason" : words, advice: advice)
    }

    /// As in: cannot read /etc/trading/ca.pem: No such file or directory.
    package var description: String {
        "cannot \(operation) \(object): \(cause)" + (advice.isEmpty ? "" : "; \(advice)")
    }
}
