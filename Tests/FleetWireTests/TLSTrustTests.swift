import Testing

@testable import FleetWire

@Suite struct TLSTrustTests {
    @Test("sessions begin anew where the certificate that peers met had ended, or may have by their clocks, and the new one is better")
    func revived() {
        let now: Int64 = 1_000_000
        let hour: Int64 = 3_600
        for before in [0, now - 1, now, now + hour - 1] {
            #expect(TLSTrust.isRevived(notAfter: before, by: now + 9_000, now: now), "\(before)")
            #expect(!TLSTrust.isRevived(notAfter: before, by: before, now: now) && !TLSTrust.isRevived(notAfter: before, by: now, now: now), "\(before)")
        }
        // In time: nobody restricts it yet.
        for before in [now + hour, now + 9_000] { #expect(!TLSTrust.isRevived(notAfter: before, by: before + 9_000, now: now), "\(before)") }
    }
}
