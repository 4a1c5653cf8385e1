/// Says how many ticks are due, by absolute time: a late wake-up is made up for, so the rate does not drift.
struct Pacer: Equatable, Sendable {
    /// A feed that could not be taken for this long has moved on: what is older is skipped, as a venue would.
    static let backlogLimitNanoseconds: UInt64 = 1_000_000_000
    /// Ticks are sent in bursts this far apart; 200 wake-ups a second whatever the rate.
    static let burstNanoseconds: UInt64 = 5_000_000

    private let rate: UInt64
    private var start: UInt64
    private var taken: UInt64 = 0
    /// Ticks that passed untaken.
    private(set) var skipped: UInt64 = 0

    init(rate: Int, now: UInt64) {
        self.rate = UInt64(rate)
        start = now
    }

    /// Ticks that are due and not taken.
    mutating func due(at now: UInt64) -> Int {
        let elapsed = now > start ? now - start : 0
        let whole = elapsed / 1_000_000_000 * rate + elapsed % 1_000_000_000 * rate / 1_000_000_000
        let waiting = whole - min(whole, taken)
        let most = max(1, rate * Self.backlogLimitNanoseconds / 1_000_000_000)
        guard waiting > most else { return Int(waiting) }
        skipped += waiting - most
        taken += waiting - most
        return Int(most)
    }

    mutating func take() { taken += 1 }
}
