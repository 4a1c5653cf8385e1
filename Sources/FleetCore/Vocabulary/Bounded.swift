/// Ranges of numbers that come from outside, and arithmetic that can't trap on what is within them.
///
/// A number is looked at once, where it enters. Outside its range it is unknown, with the reason; it is never cut to fit.
package enum Bounded {
    /// Counts and values: whole numbers that a JSON reader keeps exact (RFC 8259, section 6). Within it a sum of a thousand of
    /// them fits 64 bits.
    package static let value: ClosedRange<Int64> = -(1 << 53)...(1 << 53)

    /// Times and durations in nanoseconds: 146 years.
    package static let nanosecondsMax: UInt64 = 1 << 62

    /// A whole number in decimal digits, as programs say it; else why it is none.
    package static func count(_ text: some StringProtocol) -> Result<Int64, Fault> {
        guard let number = Int64(text) else {
            let isNumber = !text.isEmpty && text.utf8.drop { $0 == 45 || $0 == 43 }.allSatisfy { (48...57).contains($0) }
            return .failure(Fault("\"\(Cleaned.text(String(text), bytesMax: 40))\" is \(isNumber ? "beyond what can be counted" : "no whole number")"))
        }
        return count(number)
    }

    /// A count as something measured it: 0 to 2^53.
    package static func count(_ number: Int64) -> Result<Int64, Fault> {
        guard number >= 0 else { return .failure(Fault("\(number) is no count: it is below zero")) }
        guard number <= value.upperBound else { return .failure(Fault("\(number) is beyond what can be counted (2^53)")) }
        return .success(number)
    }

    /// The sum, or nil where it is beyond 64 bits.
    package static func sum(_ numbers: some Sequence<Int64>) -> Int64? {
        var total: Int64 = 0
        for number in numbers {
            let (next, overflow) = total.addingReportingOverflow(number)
            if overflow { return nil }
            total = next
        }
        return total
    }

    package struct Fault: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }
}
