import FleetCore
import Testing

struct RateBoundTests {
    @Test("so many are admitted in a window, the first beyond it is told apart, and the next window says how many were missed, once")
    func bounds() {
        var bound = RateBound(2, in: .seconds(60))
        let start = BootTime.zero + .seconds(1_000)
        func take(_ second: Int) -> RateBound.Verdict { bound.take(at: start + .seconds(second)) }
        #expect(take(0) == .admitted(missed: 0))
        #expect(take(59) == .admitted(missed: 0))
        #expect(take(59) == .reached)
        #expect(take(59) == .beyond)
        #expect(take(60) == .admitted(missed: 2))
        #expect(take(61) == .admitted(missed: 0))
        #expect(take(62) == .reached)
        #expect(take(500) == .admitted(missed: 1))
    }
}
