internal import FleetCore

/// Since when each of a worker's conditions that need a person holds, as far as this agent has seen it.
struct ConditionAges: Equatable, Sendable {
    private var since: [String: BootTime] = [:]

    /// Takes in the conditions that hold now, by name, and forgets the others. Bounded by what a worker's inventory declares.
    mutating func note(_ holding: Set<String>, at now: BootTime) {
        since = since.filter { holding.contains($0.key) }
        for name in holding where since[name] == nil { since[name] = now }
    }

    /// ` for 3.0 min`; empty in the first second, and of what does not hold.
    func words(_ name: String, at now: BootTime) -> String {
        guard let began = since[name], now - began >= .seconds(1) else { return "" }
        return " for \((now - began).words)"
    }
}
