import FleetCore
import Testing

@testable import FleetAgent

struct ConditionAgesTests {
    @Test("a condition's age counts from when it was first seen without a break, and the first second says nothing")
    func ages() {
        var ages = ConditionAges()
        let began = BootTime(nanoseconds: 1_000)
        ages.note(["halted", "gate feed/open"], at: began)
        #expect(ages.words("halted", at: began + .milliseconds(999)).isEmpty && ages.words("removed", at: began + .seconds(9)).isEmpty)
        ages.note(["halted"], at: began + .seconds(5))
        #expect(ages.words("halted", at: began + .seconds(60)) == " for \(Duration.seconds(60).words)")
        ages.note([], at: began + .seconds(61))
        ages.note(["halted", "gate feed/open"], at: began + .seconds(62))
        #expect(ages.words("halted", at: began + .seconds(65)) == " for \(Duration.seconds(3).words)")
    }
}
