/// Every latch a side knows of: those in force, and the ids of released ones, which are never honoured again.
///
/// Merging two books is a union in which a release wins, so the order in which sides meet does not matter. Everything of a
/// latch but its release is set once with its id, which is random; should two differ all the same, the one known first stays.
///
/// Bounds: latches in force by `LatchWord.inForceMax` a kind of word; released ones by `releasedMax`. Past it the oldest
/// released one is forgotten, and `forgottenThrough` remembers how young the forgotten ones were: a latch that comes as
/// state, is not known and is no younger may be one of them, and is not honoured. A fresh order always is.
package struct LatchBook: Equatable, Sendable {
    package private(set) var latches: [String: Latch] = [:]
    /// Released latches, the one that was set first in front.
    private var released: [Remembered] = []
    private let releasedMax: Int
    /// The latest setting, in microseconds since 1970, among the released latches that were forgotten by the bound.
    package private(set) var forgottenThrough: UInt64 = 0

    private struct Remembered: Equatable, Comparable, Sendable {
        let unixMicroseconds: UInt64
        let id: String

        static func < (a: Self, b: Self) -> Bool { a.unixMicroseconds == b.unixMicroseconds ? a.id < b.id : a.unixMicroseconds < b.unixMicroseconds }
    }

    /// What a caller is told whose emergency stop has killed and is not kept. `place`: where that is.
    package static func notKept(_ place: String) -> String {
        "as many emergency stops are in force \(place) as can be kept: what was killed may be started again. "
            + "Release some: trading emergency-stop release --reason …"
    }

    /// Enough for every emergency stop of years. An agent's hello names none of them.
    package static let releasedMax = 1_024

    /// Whether a latch that was set then, and is not known here, may be a released one that the bound has made this book forget.
    package func mayBeForgotten(setAt unixMicroseconds: UInt64) -> Bool { forgottenThrough > 0 && unixMicroseconds <= forgottenThrough }

    package struct Merge: Equatable, Sendable {
        /// New here, or newly released here.
        package var changed: [Latch] = []
        /// Not kept, by the bounds: the kill is right, and nothing keeps down what it killed.
        package var unkept: [Latch] = []
    }

    package init(_ latches: [Latch] = [], releasedMax: Int = releasedMax) {
        precondition(releasedMax > 0, "a book that remembers no release would honour a released latch again")
        self.releasedMax = releasedMax
        for latch in latches { _ = merge([latch]) }
    }

    package var all: [Latch] { Self.inOrder(latches.values) }

    package var inForce: [Latch] { Self.inOrder(latches.values.filter { $0.release == nil }) }

    private static func inOrder(_ latches: some Sequence<Latch>) -> [Latch] {
        latches.sorted { $0.unixMicroseconds == $1.unixMicroseconds ? $0.id < $1.id : $0.unixMicroseconds < $1.unixMicroseconds }
    }

    /// Takes in what another side keeps (`merge`), or what somebody orders now (`order`).
    package mutating func merge(_ others: [Latch]) -> Merge { take(others, isOrder: false) }

    /// A fresh order is honoured however old its date says that it is: clocks differ. An order sets and never releases.
    package mutating func order(_ latch: Latch) -> Merge {
        var latch = latch
        latch.release = nil
        return take([latch], isOrder: true)
    }

    /// Releases one latch, or all in force when `id` is nil; returns those it released.
    package mutating func release(_ id: String?, _ release: Latch.Release) -> [Latch] {
        merge(
            inForce.filter { id == nil || $0.id == id }.map { latch in
                var latch = latch
                latch.release = release
                return latch
            }
        ).changed
    }

    /// Every host has let go of them: of a released latch its id and the proof of its release stay, so that it is never honoured
    /// again. Whoever keeps the words of its setting could bring them again, with a signature that still holds.
    package mutating func shorten(_ ids: Set<String>) {
        for id in ids {
            guard var latch = latches[id], let release = latch.release else { continue }
            latch.reason = ""
            latch.signature = ""
            latch.scope = LatchScope()
            latch.release?.reason = release.signature.isEmpty ? "" : release.reason
            latches[id] = latch
        }
    }

    /// Leaves latches out as if they had never been known here: another book has them.
    package mutating func drop(_ ids: Set<String>) {
        for id in ids { latches[id] = nil }
        released.removeAll { ids.contains($0.id) }
    }

    /// The signature of a latch was verified here after it was taken in, or proved to be none.
    package mutating func judged(_ id: String, signature: String, word: LatchWord) {
        guard var latch = latches[id] else { return }
        latch.signature = signature
        // Without room among the others it stays where it is, in force all the same.
        if word.sharesRoom(with: latch.word) || latch.release != nil || inForce(of: word) < word.inForceMax { latch.word = word }
        latches[id] = latch
    }

    /// The oldest latch in force that covers a worker.
    package func forbidding(service: ServiceName, tier: TierName, host: HostName, emergencyKilled: Bool) -> Latch? {
        inForce.first { $0.scope.covers(service: service, tier: tier, host: host, emergencyKilled: emergencyKilled) }
    }

    private mutating func take(_ others: [Latch], isOrder: Bool) -> Merge {
        var merge = Merge()
        for other in others {
            guard LatchBounds.fault(in: other) == nil else {
                merge.unkept.append(other)
                continue
            }
            guard var known = latches[other.id] else {
                insert(other, isOrder: isOrder, &merge)
                continue
            }
            guard let release = other.release else { continue }
            let isNew = known.release == nil
            known.release = known.release.map { Latch.Release.earlier($0, release) } ?? release
            latches[other.id] = known
            guard isNew else { continue }
            merge.changed.append(known)
            remember(known)
        }
        return merge
    }

    private mutating func insert(_ other: Latch, isOrder: Bool, _ merge: inout Merge) {
        if other.release == nil {
            guard isOrder || !mayBeForgotten(setAt: other.unixMicroseconds) else { return }
            guard inForce(of: other.word) < other.word.inForceMax, !other.word.isRelay || relaysInForce < LatchWord.relaysInForceMax else {
                merge.unkept.append(other)
                return
            }
        }
        latches[other.id] = other
        merge.changed.append(other)
        if other.release != nil { remember(other) }
    }

    private var relaysInForce: Int { latches.values.count { $0.release == nil && $0.word.isRelay } }

    private func inForce(of word: LatchWord) -> Int { latches.values.count { $0.release == nil && $0.word.sharesRoom(with: word) } }

    private mutating func remember(_ latch: Latch) {
        let entry = Remembered(unixMicroseconds: latch.unixMicroseconds, id: latch.id)
        // As a rule it is the youngest.
        var place = released.count
        while place > 0, released[place - 1] > entry { place -= 1 }
        released.insert(entry, at: place)
        while released.count > releasedMax {
            let oldest = released.removeFirst()
            let release = latches.removeValue(forKey: oldest.id)?.release
            // Not past its release: one that was dated ahead would make all that is set from now on look forgotten.
            forgottenThrough = max(forgottenThrough, min(oldest.unixMicroseconds, release?.unixMicroseconds ?? oldest.unixMicroseconds))
        }
    }
}
