import Glibc
import LinuxHost
import Testing

struct AccountLookupTests {
    @Test("a name that is asked for with a bound is the same as without one; a number without a name has none")
    func names() {
        #expect(Account.name(of: geteuid(), within: .seconds(10)) == Account.name(of: geteuid()))
        #expect(Account.name(of: 4_000_000_001, within: .seconds(10)) == nil)
        // One after the other, more than may be under way at a time.
        for _ in 0..<50 { #expect(Account.name(of: 0, within: .seconds(10)) == "root") }
    }
}
