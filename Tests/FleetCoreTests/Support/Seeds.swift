import Glibc

/// The seeds of a property test: `count` new ones, or the one that FLEET_SEED names.
func seeds(_ count: Int, of what: String) -> [UInt64] {
    if let text = getenv("FLEET_SEED").map({ String(cString: $0) }), let seed = UInt64(text) { return [seed] }
    let first = UInt64.random(in: 1...1_000_000_000)
    print("\(what): seeds \(first) to \(first + UInt64(count) - 1)")
    return (0..<UInt64(count)).map { first + $0 }
}

/// What a failure prints.
func howToRepeat(_ seed: UInt64, _ test: String) -> String { "seed \(seed); again: FLEET_SEED=\(seed) swift test --filter \(test)" }
