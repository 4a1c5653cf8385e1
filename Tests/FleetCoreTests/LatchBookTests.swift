import FleetCore
import Testing

struct LatchBookTests {
    private func latch(_ id: String, at unix: UInt64 = 1, _ scope: LatchScope = LatchScope(), released: Latch.Release? = nil) -> Latch {
        Latch(id: id, by: "ops-1", reason: "test", unixMicroseconds: unix, scope: scope, release: released)
    }

    private let release = Latch.Release(by: "eng-1", reason: "over", unixMicroseconds: 9)

    @Test("two books merge to the union, and what is new is told once")
    func union() {
        var a = LatchBook([latch("a")])
        #expect(a.merge([latch("b", at: 2), latch("a")]).map(\.id) == ["b"])
        #expect(a.merge([latch("b", at: 2)]).isEmpty)
        #expect(a.inForce.map(\.id) == ["a", "b"])
    }

    @Test("a release wins over a side that has not heard of it, and a released latch never comes back")
    func releaseWins() {
        var a = LatchBook([latch("a")])
        #expect(a.release("a", release).map(\.id) == ["a"])
        #expect(a.merge([latch("a")]).isEmpty)
        #expect(a.inForce.isEmpty && a.all.count == 1)
        var b = LatchBook([latch("a")])
        #expect(b.merge(a.all).map(\.id) == ["a"])
        #expect(b.inForce.isEmpty)
        #expect(b.release("a", release).isEmpty && b.release("unknown", release).isEmpty)
    }

    @Test("a release without an id releases everything in force")
    func releaseAll() {
        var book = LatchBook([latch("a"), latch("b", at: 2), latch("c", released: release)])
        #expect(book.release(nil, release).map(\.id) == ["a", "b"])
        #expect(book.inForce.isEmpty)
    }

    @Test("merging is commutative, associative and idempotent, whatever each side knows")
    func lattice() {
        for seed in seeds(300, of: "latch books") {
            var random = SplitMix64(seed: seed)
            let books = (0..<3).map { _ in LatchBook(Self.latches(&random)) }
            func merged(_ order: [Int]) -> LatchBook {
                var book = LatchBook()
                for index in order { _ = book.merge(books[index].all) }
                return book
            }
            let one = merged([0, 1, 2])
            #expect(one == merged([2, 1, 0]) && one == merged([1, 0, 2, 1, 0]), "\(howToRepeat(seed, "LatchBookTests"))")
            var pair = books[1]
            _ = pair.merge(books[2].all)
            var nested = books[0]
            _ = nested.merge(pair.all)
            #expect(nested == one, "\(howToRepeat(seed, "LatchBookTests"))")
            var again = one
            #expect(again.merge(one.all).isEmpty && again == one, "\(howToRepeat(seed, "LatchBookTests"))")
            for book in books {
                for latch in book.all where latch.release != nil {
                    #expect(!one.inForce.contains { $0.id == latch.id }, "\(howToRepeat(seed, "LatchBookTests"))")
                }
            }
        }
    }

    private static func latches(_ random: inout SplitMix64) -> [Latch] {
        (0..<random.below(6)).map { _ in
            let number = random.below(5)
            let release = Latch.Release(by: "eng-\(random.below(3))", reason: "r\(random.below(2))", unixMicroseconds: UInt64(random.below(3)))
            return Latch(
                id: "l\(number)", by: "ops", reason: "r", unixMicroseconds: UInt64(number), scope: LatchScope(everything: number == 1),
                release: random.chance(40) ? release : nil)
        }
    }

    @Test(
        "tiers and hosts narrow what the inventory kills; only a service named outright or everything goes past what it spares",
        arguments: [
            // scope, killed by the inventory, covered
            (LatchScope(), true, true), (LatchScope(), false, false), (LatchScope(everything: true), false, true),
            (LatchScope(tiers: ["execution"]), true, true), (LatchScope(tiers: ["execution"]), false, false),
            (LatchScope(everything: true, tiers: ["execution"]), false, true), (LatchScope(tiers: ["strategies"]), true, false),
            (LatchScope(services: ["gateway"]), false, true), (LatchScope(services: ["strategy"]), true, false),
            (LatchScope(tiers: ["strategies"], services: ["gateway"]), false, true),
            (LatchScope(hosts: ["ex-1"]), true, true), (LatchScope(hosts: ["ex-1"]), false, false), (LatchScope(hosts: ["ex-2"]), true, false),
            (LatchScope(everything: true, hosts: ["ex-2"]), true, false), (LatchScope(hosts: ["ex-2"], services: ["gateway"]), true, false),
            (LatchScope(everything: true, tiers: ["strategies"]), true, false),
        ])
    func scope(scope: LatchScope, killed: Bool, covered: Bool) {
        #expect(scope.covers(service: "gateway", tier: "execution", host: "ex-1", emergencyKilled: killed) == covered)
    }

    @Test("the oldest latch in force that covers a worker is the one that forbids it")
    func forbidding() {
        let book = LatchBook([
            latch("new", at: 5), latch("old", at: 2), latch("older", at: 1, released: release), latch("elsewhere", at: 1, LatchScope(hosts: ["md-1"])),
        ])
        #expect(book.forbidding(service: "gateway", tier: "execution", host: "ex-1", emergencyKilled: true)?.id == "old")
        #expect(book.forbidding(service: "drop-copy", tier: "execution", host: "ex-1", emergencyKilled: false) == nil)
    }
}
