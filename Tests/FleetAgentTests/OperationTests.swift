import FleetCore
import FleetWire
import Testing

@testable import FleetAgent

struct OperationTests {
    private func result(_ outcome: WireCommandResult.Outcome, _ text: String = "") -> WireCommandResult {
        var result = WireCommandResult()
        result.outcome = outcome
        result.text = text
        return result
    }

    @Test("a repeat is answered with the first outcome, which nothing changes any more")
    func repeated() {
        let operation = Operation(id: "o1", service: "feed")
        var first: [String] = []
        var second: [String] = []
        operation.attach(Operation.Listener(key: "a") { first.append($0.text) })
        operation.publish(result(.progress, "held"))
        operation.publish(result(.done, "gone"))
        operation.publish(result(.failedTo, "late"))
        operation.attach(Operation.Listener(key: "b") { second.append($0.text) })
        #expect(first == ["held", "gone"] && second == ["gone"])
    }

    @Test("a session that asks twice hears once, and dead listeners are bounded")
    func listeners() {
        let operation = Operation(id: "o1", service: "feed")
        var heard = 0
        for index in 0..<100 { operation.attach(Operation.Listener(key: "s\(index)") { _ in heard += 1 }) }
        operation.attach(Operation.Listener(key: "s99") { _ in heard += 1 })
        operation.publish(result(.done))
        #expect(heard == 16)
    }

    @Test("past its bound the memory forgets the oldest that has ended, and refuses when none has")
    func bound() {
        var memory = OperationMemory()
        let operations = (0..<OperationMemory.bound).map { Operation(id: "o\($0)", service: "feed") }
        var isTaken = operations.map { memory.insert($0) }.allSatisfy { $0 }
        #expect(isTaken)
        isTaken = memory.insert(Operation(id: "one more", service: "feed"))
        #expect(!isTaken && memory["one more"] == nil)
        operations[7].publish(result(.done))
        isTaken = memory.insert(Operation(id: "one more", service: "feed"))
        #expect(isTaken && memory["o7"] == nil && memory["o0"] != nil && memory["one more"] != nil)
    }

    @Test("who gives no orders here takes no room from who does: a few places, and no remembered outcome of another's")
    func guests() {
        var memory = OperationMemory()
        let own = Operation(id: "own", service: "feed")
        var isTaken = memory.insert(own)
        own.publish(result(.done))
        for number in 0..<OperationMemory.guestsMax { isTaken = memory.insert(Operation(id: "g\(number)", service: "feed"), ofGuest: true) && isTaken }
        #expect(isTaken)
        isTaken = memory.insert(Operation(id: "too many", service: "feed"), ofGuest: true)
        #expect(!isTaken)
        memory["g3"]?.publish(result(.done))
        isTaken = memory.insert(Operation(id: "next", service: "feed"), ofGuest: true)
        #expect(isTaken && memory["g3"] == nil && memory["own"] === own)
        isTaken = (0..<OperationMemory.bound - 1).allSatisfy { memory.insert(Operation(id: "o\($0)", service: "feed")) }
        #expect(isTaken)
    }

    @Test("what was forgotten may come again")
    func forgotten() {
        var memory = OperationMemory()
        let first = Operation(id: "o1", service: "feed")
        var isTaken = memory.insert(first)
        #expect(isTaken)
        memory.forget("o1")
        #expect(memory["o1"] == nil)
        isTaken = memory.insert(Operation(id: "o1", service: "feed"))
        #expect(isTaken && memory["o1"] !== first)
    }

    @Test("an order is late past its limit, not at it, and never without one")
    func late() {
        let at = BootTime(nanoseconds: 1_000_000_000)
        let operation = Operation(id: "o1", service: "feed", notAfter: at)
        #expect(operation.lateness(at: at) == nil)
        #expect(operation.lateness(at: at + .seconds(2))?.contains("2") == true)
        #expect(Operation(id: "o2", service: "feed").lateness(at: at + .seconds(2)) == nil)
    }
}
