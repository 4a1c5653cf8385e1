/// One tick of the simulated venue.
struct Tick: Equatable, Sendable {
    /// From 1, without gaps, within one life of the feed.
    let sequence: UInt64
    let symbol: String
    /// In hundredths.
    let price: Int64
    let quantity: Int64
    let venueMicroseconds: UInt64
}

/// A simulated venue: symbols whose prices walk at random, the same for the same seed.
struct VenueFeed: Sendable {
    private var random: SplitMix64
    private var prices: [Int64]
    private var sequence: UInt64 = 0

    init(symbols: Int, seed: UInt64) {
        random = SplitMix64(seed: seed)
        prices = (0..<symbols).map { 10_000 + Int64($0) * 500 }
    }

    mutating func next(at unixMicroseconds: UInt64) -> Tick {
        sequence += 1
        let index = Int.random(in: prices.indices, using: &random)
        prices[index] = max(1, prices[index] + Int64.random(in: -3...3, using: &random))
        let name = index < 10 ? "SYM0\(index)" : "SYM\(index)"
        return Tick(
            sequence: sequence, symbol: name, price: prices[index], quantity: Int64.random(in: 1...100, using: &random),
            venueMicroseconds: unixMicroseconds)
    }
}
