internal import Glibc

/// A call to the kernel that failed: what was tried, on what, and why.
package struct LinuxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// An infinitive, as in "cannot lock …".
    package let operation: String
    package let object: String
    package let errno: Int32
    /// More than errno can say; empty otherwise.
    package let detail: String

    package init(_ operation: String, _ object: String, errno: Int32, detail: String = "") {
        self.operation = operation
        self.object = object
        self.errno = errno
        self.detail = detail
    }

    /// Takes errno as the call just made has left it.
    static func last(_ operation: String, _ object: String) -> LinuxError {
        LinuxError(operation, object, errno: Glibc.errno)
    }

    /// As in "cannot lock /run/trading/w/feed/slot: Resource temporarily unavailable".
    package var description: String {
        let reason = detail.isEmpty ? Self.text(errno) : detail
        return object.isEmpty ? "cannot \(operation): \(reason)" : "cannot \(operation) \(object): \(reason)"
    }

    /// strerror_r(3), the GNU form's text.
    package static func text(_ errno: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        // Glibc's Swift module shows the XSI form, which fills the buffer.
        guard strerror_r(errno, &buffer, buffer.count) == 0 else { return "error \(errno)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// Repeats a call that a signal interrupted (EINTR, signal(7)).
func uninterrupted<Result: SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || Glibc.errno != EINTR { return result }
    }
}
