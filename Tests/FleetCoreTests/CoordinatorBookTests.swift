import FleetCore
import Testing

struct CoordinatorBookTests {
    private func contact(
        _ name: String = "ctl-1", claims: String? = nil, store: String = "aaaa", key: String = "", epoch: UInt64 = 3, relay: Bool = false,
        claimsRelay: Bool = false
    ) -> CoordinatorBook.Contact {
        CoordinatorBook.Contact(
            isRelayCertificate: relay, certified: name, claimedName: claims ?? name, claimsRelay: claimsRelay, store: store, provenKey: key,
            epoch: epoch)
    }

    private func pinned() -> CoordinatorBook {
        var book = CoordinatorBook()
        _ = book.met(contact(), unixMicroseconds: 1)
        return book
    }

    private func isStranger(_ standing: CoordinatorBook.Standing) -> Bool { if case .stranger = standing { true } else { false } }
    private func slug(_ standing: CoordinatorBook.Standing) -> String? { if case .refused(let slug, _) = standing { slug } else { nil } }

    @Test("the first coordinator is pinned with its store and epoch, and is followed through its restarts")
    func firstContact() {
        var book = CoordinatorBook()
        #expect(book.met(contact(), unixMicroseconds: 7) == .followed(isNew: true))
        #expect(book.pin?.coordinator == "ctl-1" && book.pin?.store == "aaaa" && book.pin?.epoch == 3 && book.pin?.how == .firstContact)
        #expect(book.met(contact(), unixMicroseconds: 8) == .followed(isNew: false))
        #expect(book.met(contact(epoch: 4), unixMicroseconds: 9) == .followed(isNew: true) && book.pin?.epoch == 4)
    }

    @Test("a relay's key is a relay's whatever it says of itself, and pins nothing")
    func relay() {
        var book = CoordinatorBook()
        #expect(book.met(contact(relay: true, claimsRelay: false), unixMicroseconds: 1) == .relay && book.pin == nil)
        // A coordinator's certificate that serves as a relay, for one version more.
        #expect(book.met(contact("ctl-2", relay: false, claimsRelay: true), unixMicroseconds: 1) == .relay && book.pin == nil)
    }

    @Test("another store, or the same store under another name, is a stranger; a name that the certificate does not have is refused")
    func strangers() {
        var book = pinned()
        #expect(isStranger(book.met(contact(store: "bbbb"), unixMicroseconds: 2)))
        #expect(isStranger(book.met(contact("ctl-9"), unixMicroseconds: 2)))
        #expect(isStranger(book.met(contact(store: ""), unixMicroseconds: 2)))
        #expect(slug(book.met(contact("ctl-9", claims: "ctl-1"), unixMicroseconds: 2)) == "wrong-name")
        #expect(book == pinned())
    }

    @Test("an older epoch is refused, an absurd one is a stranger's, and neither locks the true coordinator out")
    func epochs() {
        var book = pinned()
        #expect(slug(book.met(contact(epoch: 2), unixMicroseconds: 2)) == "stale-epoch")
        let absurdities: [UInt64] = [.max, .max - 1, 1 << 53, 3 + CoordinatorBook.epochJumpMax + 1]
        for absurd in absurdities {
            #expect(isStranger(book.met(contact(epoch: absurd), unixMicroseconds: 2)))
            var fresh = CoordinatorBook()
            #expect(isStranger(fresh.met(contact(epoch: absurd), unixMicroseconds: 2)) && fresh.pin == nil)
        }
        #expect(book.met(contact(epoch: 4), unixMicroseconds: 3) == .followed(isNew: true))
        #expect(book.met(contact(epoch: 4 + CoordinatorBook.epochJumpMax), unixMicroseconds: 3) == .followed(isNew: true))
    }

    @Test("an upgraded agent follows who sent its part, with a store that it has seen, at no older epoch")
    func upgraded() {
        func book() -> CoordinatorBook { CoordinatorBook(partFrom: "ctl-1", epochsSeen: ["aaaa": 5, "cccc": 9]) }
        var first = book()
        #expect(isStranger(first.met(contact("ctl-9", epoch: 6), unixMicroseconds: 1)))
        #expect(isStranger(first.met(contact(store: "bbbb", epoch: 6), unixMicroseconds: 1)))
        #expect(slug(first.met(contact(epoch: 4), unixMicroseconds: 1)) == "stale-epoch")
        #expect(first.met(contact(epoch: 6), unixMicroseconds: 1) == .followed(isNew: true) && first.pin?.how == .part)
        var unread = CoordinatorBook(unusable: "it can't be read")
        #expect(isStranger(unread.met(contact(), unixMicroseconds: 1)) && unread.pin == nil)
        unread.accepted(store: "aaaa", key: "", coordinator: nil, by: "local:root", reason: "looked", unixMicroseconds: 2)
        #expect(unread.met(contact(), unixMicroseconds: 3) == .followed(isNew: true) && unread.pin?.coordinator == "ctl-1" && unread.pin?.how == .person)
    }

    private func statement(_ store: String = "bbbb", _ coordinator: String = "ctl-1", replaces: [String] = ["aaaa"], at unix: UInt64 = 10)
        -> SuccessionStatement
    {
        SuccessionStatement(
            fleet: "demo", coordinator: coordinator, store: store, replaces: replaces, by: "operator/alice", reason: "the disk was lost", unixMicroseconds: unix
        )
    }

    @Test("a succession is taken once: it must replace the store that is followed, and be newer than the last one")
    func succession() {
        var book = pinned()
        #expect(book.succeeded(statement(replaces: ["dddd"]), now: 2) != nil)
        #expect(book.succeeded(statement(), now: 2) == nil)
        #expect(book.pin?.store == "bbbb" && book.pin?.how == .succession && book.pin?.by == "operator/alice")
        #expect(isStranger(book.met(contact(), unixMicroseconds: 3)))
        #expect(book.met(contact(store: "bbbb", epoch: 1), unixMicroseconds: 3) == .followed(isNew: true))
        // Back by another word; the first statement, kept by whoever holds the relay, moves nobody again.
        #expect(book.succeeded(statement("aaaa", replaces: ["bbbb"], at: 11), now: 4) == nil)
        #expect(book.succeeded(statement(), now: 5) != nil && book.pin?.store == "aaaa")
        var fresh = CoordinatorBook()
        #expect(fresh.succeeded(statement(), now: 2) != nil && fresh.pin == nil)
    }

    @Test("a store whose key is pinned is followed by proof alone; a key is taken once, from whoever proves it first, and another only by a statement")
    func proof() {
        var book = CoordinatorBook()
        #expect(book.met(contact(key: "k1"), unixMicroseconds: 1) == .followed(isNew: true) && book.pin?.key == "k1")
        #expect(book.met(contact(key: "k1"), unixMicroseconds: 2) == .followed(isNew: false))
        for key in ["", "k2"] { #expect(isStranger(book.met(contact(key: key, epoch: 4), unixMicroseconds: 3)) && book.pin?.epoch == 3) }
        // A relay's word on a store is no word; a restored coordinator with a lost key follows by an operator's word alone.
        #expect(book.met(contact("ctl-2", key: "k2", relay: true), unixMicroseconds: 3) == .relay && book.pin?.key == "k1")
        var newKey = statement("aaaa")
        #expect(book.succeeded(newKey, now: 4) != nil, "nothing of it is new")
        newKey.storeKey = "k2"
        #expect(book.succeeded(newKey, now: 4) == nil && book.pin?.key == "k2")
        #expect(isStranger(book.met(contact(key: "k1"), unixMicroseconds: 5)))
        #expect(book.met(contact(key: "k2", epoch: 1), unixMicroseconds: 5) == .followed(isNew: true))
        // Pinned by an agent from before keys.
        var older = pinned()
        #expect(older.pin?.key == "" && older.met(contact(), unixMicroseconds: 2) == .followed(isNew: false))
        #expect(older.met(contact(key: "k1"), unixMicroseconds: 3) == .followed(isNew: true) && older.pin?.key == "k1")
        #expect(isStranger(older.met(contact(), unixMicroseconds: 4)))
        // A statement from before a person's decision undoes none of it.
        var decided = pinned()
        decided.accepted(store: "aaaa", key: "k3", coordinator: "ctl-1", by: "local:root", reason: "looked", unixMicroseconds: 20)
        #expect(decided.succeeded(newKey, now: 21) != nil && decided.pin?.key == "k3")
        // Whom it follows is no relay, whatever it says.
        #expect(isStranger(decided.met(contact(key: "k9", claimsRelay: true), unixMicroseconds: 22)))
        #expect(decided.met(contact("ctl-2", key: "k9", claimsRelay: true), unixMicroseconds: 22) == .relay)
        var person = pinned()
        person.accepted(store: "bbbb", key: "k3", coordinator: "ctl-1", by: "local:root", reason: "looked", unixMicroseconds: 2)
        #expect(isStranger(person.met(contact(store: "bbbb", key: "k4"), unixMicroseconds: 3)))
    }

    @Test("a statement of a succession comes back from its document, and nothing else does")
    func document() {
        #expect(SuccessionStatement(document: statement().document) == statement())
        for text in ["", "{}", "null", statement().document + " x", statement().document.replacing("coordinator-succession", with: "emergency-stop")] {
            #expect(SuccessionStatement(document: text) == nil)
        }
        #expect(SuccessionStatement(document: statement(replaces: (0...64).map { "s\($0)" }).document) == nil)
        #expect(SuccessionStatement(document: statement("b b").document) == nil)
        var keyed = statement()
        keyed.storeKey = "MFkw"
        #expect(SuccessionStatement(document: keyed.document) == keyed)
        #expect(keyed.names(coordinator: "ctl-1", store: "bbbb", key: "MFkw") && !keyed.names(coordinator: "ctl-1", store: "bbbb", key: "MFkx"))
        #expect(!keyed.names(coordinator: "ctl-1", store: "aaaa", key: "MFkw") && statement().names(coordinator: "ctl-1", store: "bbbb", key: "any"))
        #expect(SuccessionStatement(document: statement().document.replacing(",\"key\":\"\"", with: "")) == statement(), "an older program's")
        keyed.storeKey = String(repeating: "k", count: StoreChallenge.keyBytesMax + 1)
        #expect(SuccessionStatement(document: keyed.document) == nil)
    }
}
