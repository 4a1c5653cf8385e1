/// What a latch may hold, so that hello, report and latch set stay below the frame limit, and an emergency stop is one TLS
/// record (16 KiB).
package enum LatchBounds {
    /// Letters, digits, `-` and `_`: it becomes a file's name and a word of the shim's protocol.
    package static let idBytesMax = 64
    /// Of a reason, in UTF-8; a longer one is cut, for no emergency stop is refused over words.
    package static let reasonBytesMax = 512
    /// Of who set or released it: a role, a name of 63 bytes, and room for a local user's name.
    package static let byBytesMax = 160
    /// Tiers, hosts and services that one scope may name, together.
    package static let namesMax = 64
    /// Base64: a signer's certificate with two intermediate ones.
    package static let signatureBytesMax = 6 << 10

    /// Whether it is from a day that has not come, by the clock of this side (microseconds since 1970): kept as it is it would make
    /// whatever is older look forgotten.
    package static func isAhead(_ latch: Latch, of now: UInt64) -> Bool { latch.unixMicroseconds > now + 86_400_000_000 }

    /// What of `latch` is out of bounds; nil: nothing.
    package static func fault(in latch: Latch) -> String? {
        if !isValid(id: latch.id) { return "a latch's id is 1 to \(idBytesMax) letters, digits, - or _" }
        if let fault = fault(in: latch.scope) { return fault }
        let release = latch.release ?? Latch.Release(by: "", reason: "", unixMicroseconds: 0)
        for (what, text, most) in [
            ("reason", latch.reason, reasonBytesMax), ("reason", release.reason, reasonBytesMax), ("author", latch.by, byBytesMax),
            ("author", release.by, byBytesMax), ("signature", latch.signature, signatureBytesMax), ("signature", release.signature, signatureBytesMax),
        ] where text.utf8.count > most {
            return "the \(what) of latch \(latch.id) has \(text.utf8.count) bytes; at most \(most) are kept"
        }
        return nil
    }

    package static func fault(in scope: LatchScope) -> String? {
        let names = scope.tiers.map(\.raw) + scope.hosts.map(\.raw) + scope.services.map(\.raw)
        guard names.count <= namesMax else { return "it names \(names.count) tiers, hosts and services; at most \(namesMax): name tiers or hosts" }
        return names.first { !isValidName($0) }.map { "\"\(Cleaned.text($0, bytesMax: 80))\" can't be a tier, a host or a service" }
    }

    package static func isValid(id: String) -> Bool {
        (1...idBytesMax).contains(id.utf8.count)
            && id.utf8.allSatisfy { (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 45 || $0 == 95 }
    }

    /// `text`, cut at a character to the bound of a reason.
    package static func reason(_ text: String) -> String { Cleaned.cut(text, bytesMax: reasonBytesMax) }

    /// `text`, cut at a character to the bound of an author.
    package static func author(_ text: String) -> String { Cleaned.cut(text, bytesMax: byBytesMax) }
}
