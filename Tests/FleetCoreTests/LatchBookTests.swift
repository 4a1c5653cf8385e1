import FleetCore
import TestSupport
import Testing

struct LatchBookTests {
    private func latch(_ id: String, at unix: UInt64 = 1, _ scope: LatchScope = LatchScope(), released: Latch.Release? = nil) -> Latch {
        Latch(id: id, by: "ops-1", reason: "test", unixMicroseconds: unix, scope: scope, release: released)
    }

    private let release = Latch.Release(by: "eng-1", reason: "over", unixMicroseconds: 9)

    @Test("two books merge to the union, and what is new is told once")
    func union() {
        var a = LatchBook([latch("a")])
        #expect(a.merge([latch("b", at: 2), latch("a")]).changed.map(\.id) == ["b"])
        #expect(a.merge([latch("b", at: 2)]).changed.isEmpty)
        #expect(a.inForce.map(\.id) == ["a", "b"])
    }

    @Test("a release wins over a side that has not heard of it, and a released latch never comes back")
    func releaseWins() {
        var a = LatchBook([latch("a")])
        #expect(a.release("a", release).map(\.id) == ["a"])
        #expect(a.merge([latch("a")]).changed.isEmpty)
        #expect(a.inForce.isEmpty && a.all.count == 1)
        var b = LatchBook([latch("a")])
        #expect(b.merge(a.all).changed.map(\.id) == ["a"])
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
            #expect(again.merge(one.all).changed.isEmpty && again == one, "\(howToRepeat(seed, "LatchBookTests"))")
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

    // MARK: Bounds

    @Test("what relays have in force is bounded for each and for all of them together")
    func relays() {
        var book = LatchBook()
        var unkept = 0
        for relay in 0..<8 {
            for number in 0..<20 {
                var one = latch("r\(relay)-\(number)")
                one.word = .relay("r\(relay)")
                unkept += book.order(one).unkept.count
            }
        }
        #expect(book.inForce.count == LatchWord.relaysInForceMax && unkept == 8 * 20 - LatchWord.relaysInForceMax)
        var signed = latch("signed")
        signed.word = .signed
        #expect(book.order(signed).unkept.isEmpty)
    }

    @Test("latches dated ahead, released and forgotten, don't make what is set today look forgotten")
    func datedAhead() {
        var book = LatchBook(releasedMax: 4)
        for number in 0..<10 { _ = book.merge([latch("ahead-\(number)", at: 1_000_000 + UInt64(number), released: release)]) }
        #expect(book.forgottenThrough <= release.unixMicroseconds)
        #expect(book.merge([latch("today", at: 50)]).changed.map(\.id) == ["today"])
    }

    @Test("past the bound the release of the latch that was set first is forgotten, and that latch is not honoured again as state")
    func forgets() {
        var book = LatchBook(releasedMax: 4)
        for number in 1...10 {
            _ = book.order(latch("l\(number)", at: UInt64(number)))
            _ = book.release("l\(number)", release)
        }
        #expect(book.all.map(\.id) == ["l7", "l8", "l9", "l10"] && book.forgottenThrough == 6)
        // A host that was away brings what it still holds.
        #expect(book.merge([latch("l3", at: 3), latch("l6", at: 6)]).changed.isEmpty && book.inForce.isEmpty)
        // What is younger is news, and a fresh order is honoured however its author's clock stands.
        #expect(book.merge([latch("new", at: 7)]).changed.map(\.id) == ["new"])
        #expect(book.order(latch("slow-clock", at: 2)).changed.map(\.id) == ["slow-clock"])
    }

    @Test("each kind of word has room of its own: whoever fills one takes nothing of another's")
    func room() {
        var book = LatchBook()
        func from(_ word: LatchWord, _ id: String) -> Latch {
            var latch = latch(id)
            latch.word = word
            return latch
        }
        for number in 0..<100 {
            let merge = book.order(from(.relay("r"), "relay-\(number)"))
            #expect(merge.changed.isEmpty == (number >= LatchWord.relay("").inForceMax) && merge.unkept.isEmpty == !merge.changed.isEmpty)
        }
        #expect(book.inForce.count == LatchWord.relay("").inForceMax)
        #expect(book.order(from(.signed, "operator")).changed.map(\.id) == ["operator"])
        _ = book.release("relay-0", release)
        #expect(book.order(from(.relay("r"), "relay-again")).changed.map(\.id) == ["relay-again"])
    }

    @Test("a latch out of bounds is not kept")
    func outOfBounds() {
        var long = latch("long")
        long.reason = String(repeating: "x", count: LatchBounds.reasonBytesMax + 1)
        var named = latch("named")
        named.scope.services = (0...LatchBounds.namesMax).map { ServiceName("s\($0)") }
        var odd = latch("odd")
        odd.scope.hosts = ["ex-1\u{1b}[2J"]
        for bad in [latch(""), latch("a b"), latch(String(repeating: "i", count: 65)), long, named, odd] {
            var book = LatchBook()
            #expect(LatchBounds.fault(in: bad) != nil && book.order(bad).unkept == [bad] && book.all.isEmpty)
        }
        #expect(LatchBounds.reason(long.reason).utf8.count <= LatchBounds.reasonBytesMax && LatchBounds.reason(long.reason).hasSuffix("…"))
    }

    @Test("what was judged is its word from then on, and a forgotten release is only one that was released")
    func judged() {
        var book = LatchBook([latch("a"), latch("b")])
        book.judged("a", signature: "c2ln", word: .signed)
        #expect(book.latches["a"]?.word == .signed && book.latches["a"]?.signature == "c2ln")
        _ = book.release("a", release)
        book.shorten(["a", "b"])
        #expect(book.inForce.map(\.id) == ["b"] && book.latches["a"]?.reason == "" && book.latches["a"]?.signature == "")
        // Whoever kept its words, and the signature that still holds, brings it again in vain.
        var again = latch("a")
        again.signature = "c2ln"
        again.word = .signed
        #expect(book.merge([again]).changed.isEmpty && book.order(again).changed.isEmpty && book.inForce.map(\.id) == ["b"])
    }

    @Test("an order sets and never releases; each relay has room of its own")
    func orders() {
        var book = LatchBook([latch("a")])
        var released = latch("a")
        released.release = release
        #expect(book.order(released).changed.isEmpty && book.inForce.map(\.id) == ["a"])
        released.id = "b"
        #expect(book.order(released).changed.map(\.release) == [nil])
        func ofRelay(_ name: String, _ number: Int) -> Latch {
            var one = latch("\(name)-\(number)")
            one.word = .relay(name)
            return one
        }
        for number in 0..<20 { _ = book.order(ofRelay("stolen", number)) }
        #expect(book.order(ofRelay("stolen", 20)).unkept.count == 1 && book.order(ofRelay("honest", 0)).unkept.isEmpty)
    }
}
