import FleetCore
import Testing

struct TrustTextTests {
    @Test(
        "text from outside can't move a cursor, end a line, or reorder what is read",
        arguments: [
            ("plain ✓ üñ 漢 🚀", "plain ✓ üñ 漢 🚀"), ("a\u{1B}[2Jb", "a\\x1B[2Jb"), ("a\nb\r\tc", "a\\x0Ab\\x0D\\x09c"), ("\u{7F}\u{9B}31m", "\\x7F\\x9B31m"),
            ("a\u{202E}cod.exe", "a\\u{202E}cod.exe"), ("a\u{2066}b\u{2069}", "a\\u{2066}b\\u{2069}"), ("a\u{2028}b", "a\\u{2028}b"),
            ("a\u{200B}b", "a\\u{200B}b"),
            ("\u{0}", "\\x00"),
        ])
    func cleaned(text: String, shown: String) {
        #expect(Cleaned.text(text) == shown && Cleaned.text(shown) == shown)
    }

    @Test("a cut text has at most so many bytes, ends at a character, and says that it was cut")
    func cut() {
        for bytes in 3..<20 {
            let cut = Cleaned.cut("äöüäöüäöüäöü", bytesMax: bytes)
            #expect(cut.utf8.count <= bytes && cut.hasSuffix("…"))
        }
        #expect(Cleaned.cut("abc", bytesMax: 3) == "abc")
        #expect(Cleaned.text(String(repeating: "\u{1B}", count: 100), bytesMax: 64).utf8.count <= 64)
    }

    @Test(
        "a number from outside is in its range or unknown, with the reason",
        arguments: [
            "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "9007199254740993", "NaN", "inf", "", "1e3", "0x10", "1 ", "٣", "+",
        ])
    func bounded(text: String) {
        guard case .failure(let fault) = Bounded.count(text) else {
            Issue.record("\(text) was taken for a count")
            return
        }
        #expect(!fault.description.isEmpty)
        let huge = "1" + String(repeating: "0", count: 400)
        guard case .failure(let beyond) = Bounded.count(huge) else { preconditionFailure("10^400 was taken for a count") }
        #expect(beyond.description.contains("beyond") && beyond.description.utf8.count < 120)
    }

    @Test("sums saturate into unknown, never into a wrong number")
    func sums() {
        #expect(Bounded.sum([1, 2, 3]) == 6 && Bounded.sum([]) == 0)
        #expect(Bounded.sum([.max, 1]) == nil && Bounded.sum([.min, -1]) == nil)
        #expect(Bounded.count("9007199254740992") == .success(1 << 53) && Bounded.count("0") == .success(0))
    }

    @Test("the one list: a limited session releases nothing on its own word, starts nothing and sends no part")
    func rights() {
        for limit in SessionLimit.allCases {
            for deed in [Deed.releaseLatch, .start, .restart, .resume, .unlock, .sendPart, .succeed, .intervene, .applyLayout] {
                #expect(SessionRights.refusal(of: deed, under: [limit])?.slug == limit.slug, "\(limit) \(deed)")
            }
            #expect(SessionRights.refusal(of: .setLatch, under: [limit]) == nil && SessionRights.refusal(of: .readStatus, under: [limit]) == nil)
        }
        #expect(SessionRights.refusal(of: .stop, under: [.restricted]) == nil && SessionRights.refusal(of: .stop, under: [.relay]) != nil)
        #expect(SessionRights.refusal(of: .quiesce, under: [.relay]) == nil && SessionRights.refusal(of: .quiesce, under: [.relay, .unlisted]) != nil)
        for deed in Deed.allCases { #expect(SessionRights.refusal(of: deed, under: []) == nil) }
    }
}
