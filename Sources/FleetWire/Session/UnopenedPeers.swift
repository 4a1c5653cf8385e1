import NIOConcurrencyHelpers

/// Counts, by identity, the verified peers of one listener that have no session yet.
///
/// A session replaces the one before it, so that one key has one; without this count it could hold any number of connections that
/// never say hello, each with memory for one.
final class UnopenedPeers: Sendable {
    /// An agent dials one connection for each address, and may begin the next before the end of the last is noticed here.
    static let perPeerMax = 4

    private let counts = NIOLockedValueBox<[String: Int]>([:])

    /// False: this identity has as many as it may; nothing was counted.
    func enter(_ identity: String) -> Bool {
        counts.withLockedValue { counts in
            guard counts[identity, default: 0] < Self.perPeerMax else { return false }
            counts[identity, default: 0] += 1
            return true
        }
    }

    func leave(_ identity: String) {
        counts.withLockedValue { counts in
            guard let count = counts[identity] else { return }
            counts[identity] = count > 1 ? count - 1 : nil
        }
    }
}
