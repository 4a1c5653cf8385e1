/// The generator of every random test: the same seed gives the same run (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014).
package struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    package mutating func chance(_ percent: Int) -> Bool { Int(next() % 100) < percent }

    package mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

    /// One of them; there must be one.
    package mutating func pick<Element>(_ items: [Element]) -> Element {
        precondition(!items.isEmpty, "nothing to pick from")
        return items[below(items.count)]
    }

    package mutating func pickAny<Element>(_ items: [Element]) -> Element? { items.isEmpty ? nil : items[below(items.count)] }

    package mutating func some<Element>(_ items: [Element], percent: Int) -> [Element] { items.filter { _ in chance(percent) } }
}
