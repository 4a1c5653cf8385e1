import FleetCore
import TestSupport
import Testing

struct JSONTests {
    @Test(
        "what RFC 8259 allows is read",
        arguments: [
            ("null", JSON.null), (" \t\r\n true ", .bool(true)), ("false", .bool(false)), ("0", .number("0")), ("-0", .number("-0")),
            ("-1.5e+10", .number("-1.5e+10")),
            ("1E9", .number("1E9")), ("\"\"", .string("")), (#""a\"\\\/\b\f\n\r\t""#, .string("a\"\\/\u{8}\u{C}\n\r\t")),
            (#""\u00e9\uD83D\ude00""#, .string("é😀")),
            ("\"é😀\u{7F}\"", .string("é😀\u{7F}")), (#""\u0000""#, .string("\0")), ("[]", .array([])), ("{}", .object([])),
            ("[1,[2,{}]]", .array([.number("1"), .array([.number("2"), .object([])])])),
            (#"{"b":1,"a":{"":[]}}"#, .object([.init("b", .number("1")), .init("a", .object([.init("", .array([]))]))])),
        ])
    func reads(text: String, value: JSON) throws {
        #expect(try JSON.parse(text) == value)
        #expect(try JSON.parse(value.text) == value)
    }

    @Test(
        "what RFC 8259 does not allow is refused with the place",
        arguments: [
            "", " ", "nul", "nullx", "True", "01", "-", "-a", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "NaN", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\n\"", "\"\\ud800\\ud800\"", "\"\\udc00\"", "\"a\nb\"", "'a'", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]",
            "]", "{", "{1:2}",
            "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "{\"a\":1 \"b\":2}", "1 2", "// x\n1", "\u{FEFF}1",
        ])
    func refuses(text: String) {
        let error = #expect(throws: JSON.ParseError.self) { try JSON.parse(text) }
        #expect((error?.offset ?? -1) >= 0 && (error?.offset ?? .max) <= text.utf8.count)
    }

    @Test("strings that are not UTF-8 are refused: overlong, surrogate, cut off")
    func notUTF8() {
        for bytes: [UInt8] in [[0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82], [0xFF], [0xF5, 0x80, 0x80, 0x80]] {
            #expect(throws: JSON.ParseError.self) { try JSON.parse([34] + bytes + [34]) }
        }
    }

    @Test("nesting is read up to its limit and refused beyond, without recursing on")
    func depth() throws {
        let limit = JSON.depthLimit
        _ = try JSON.parse(String(repeating: "[", count: limit) + String(repeating: "]", count: limit))
        #expect(throws: JSON.ParseError.self) { try JSON.parse(String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSON.ParseError.self) { try JSON.parse(String(repeating: "{\"a\":", count: 100_000)) }
    }

    @Test("keys that only Unicode calls equivalent are two keys")
    func keys() throws {
        let value = try JSON.parse("{\"e\u{301}\":1,\"\u{E9}\":2}")
        #expect(value["\u{E9}"] == .number("2") && value["e\u{301}"] == .number("1"))
    }

    @Test("random values survive being written and read")
    func roundTrip() throws {
        for seed in seeds(500, of: "JSON values") {
            var random = SplitMix64(seed: seed)
            let value = Self.value(&random, depth: 0)
            #expect(try JSON.parse(value.text) == value, "\(howToRepeat(seed, "JSONTests"))")
            #expect(value.text.utf8.allSatisfy { $0 >= 32 && $0 != 127 }, "\(howToRepeat(seed, "JSONTests"))")
        }
    }

    @Test("garbage is read or refused, never worse")
    func garbage() {
        for seed in seeds(3_000, of: "JSON garbage") {
            var random = SplitMix64(seed: seed)
            var bytes = Array(Self.value(&random, depth: 0).text.utf8)
            for _ in 0...random.below(4) {
                switch random.below(4) {
                case 0: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count + 1))
                case 1 where !bytes.isEmpty: bytes.remove(at: random.below(bytes.count))
                case 2 where !bytes.isEmpty: bytes[random.below(bytes.count)] = Array("{}[]\",:\\u-+.eE0\u{0}".utf8)[random.below(16)]
                default: bytes = Array(bytes.prefix(random.below(bytes.count + 1)))
                }
            }
            do {
                let value = try JSON.parse(bytes)
                #expect((try? JSON.parse(value.text)) == value, "\(howToRepeat(seed, "JSONTests"))")
            } catch {
                #expect(error.offset <= bytes.count, "\(howToRepeat(seed, "JSONTests"))")
            }
        }
    }

    private static func value(_ random: inout SplitMix64, depth: Int) -> JSON {
        switch random.below(depth > 4 ? 4 : 7) {
        case 0: return .null
        case 1: return .bool(random.chance(50))
        case 2: return .number(random.pick(["0", "-1", "3.25", "1e-7", "-12E+3", "18446744073709551615"]))
        case 3: return .string(text(&random))
        case 4, 5: return .array((0..<random.below(4)).map { _ in value(&random, depth: depth + 1) })
        default: return .object((0..<random.below(4)).map { JSON.Member("\($0)" + text(&random), value(&random, depth: depth + 1)) })
        }
    }

    private static func text(_ random: inout SplitMix64) -> String {
        String(
            (0..<random.below(6)).map { _ in
                Character(random.pick(["a", "\"", "\\", "/", "\n", "\u{1}", "\u{7F}", "é", "😀", "\u{2028}", "~"] as [Unicode.Scalar]))
            })
    }

    @Test("pointers follow RFC 6901")
    func pointers() throws {
        let value = try JSON.parse(#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"~1":9," ":7,"o":{"open":3}}"#)
        #expect(value.at(pointer: "") == value)
        #expect(value.at(pointer: "/foo/0") == .string("bar") && value.at(pointer: "/") == .number("0"))
        #expect(value.at(pointer: "/a~1b") == .number("1") && value.at(pointer: "/m~0n") == .number("8") && value.at(pointer: "/~01") == .number("9"))
        #expect(value.at(pointer: "/ ") == .number("7") && value.at(pointer: "/o/open") == .number("3"))
        for missing in ["foo", "/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/-1", "/nothing", "/o/open/x", "/foo/"] {
            #expect(value.at(pointer: missing) == nil, "\(missing)")
        }
    }

    @Test("numbers are read where they fit, and nothing is rounded")
    func numbers() throws {
        #expect(try JSON.parse("-9223372036854775808").intValue == .min && JSON.parse("18446744073709551615").uintValue == .max)
        #expect(try JSON.parse("9223372036854775808").intValue == nil && JSON.parse("1.0").intValue == nil && JSON.parse("\"1\"").intValue == nil)
        #expect(JSON.int(-5) == .number("-5"))
    }
}
