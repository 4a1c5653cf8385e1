import Glibc

/// The generator of every random test: the same seed gives the same run (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func chance(_ percent: Int) -> Bool { Int(next() % 100) < percent }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(1, limit))) }

    /// One of them; there must be one.
    mutating func pick<Element>(_ items: [Element]) -> Element {
        precondition(!items.isEmpty, "nothing to pick from")
        return items[below(items.count)]
    }

    mutating func pickAny<Element>(_ items: [Element]) -> Element? { items.isEmpty ? nil : items[below(items.count)] }

    mutating func some<Element>(_ items: [Element], percent: Int) -> [Element] { items.filter { _ in chance(percent) } }
}

/// The seeds of a property test: `count` new ones, or the one that FLEET_SEED names.
func seeds(_ count: Int, of what: String) -> [UInt64] {
    if let text = getenv("FLEET_SEED").map({ String(cString: $0) }), let seed = UInt64(text) { return [seed] }
    let first = UInt64.random(in: 1...1_000_000_000)
    print("\(what): seeds \(first) to \(first + UInt64(count) - 1)")
    return (0..<UInt64(count)).map { first + $0 }
}

/// What a failure prints.
func howToRepeat(_ seed: UInt64, _ test: String) -> String { "seed \(seed); again: FLEET_SEED=\(seed) swift test --filter \(test)" }
