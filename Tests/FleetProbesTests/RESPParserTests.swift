import FleetProbes
import Testing

@Suite("RESP parser")
struct RESPParserTests {
    static let document = "*4\r\n+OK\r\n:-12\r\n*2\r\n$5\r\na\r\nbc\r\n$-1\r\n*0\r\n-ERR no\r\n*-1\r\n"
    static let values: [RESPValue] = [
        .array([.simple("OK"), .integer(-12), .array([.bulk(Array("a\r\nbc".utf8)), .null]), .array([])]),
        .error("ERR no"), .null,
    ]

    @Test("values are the same however the bytes are cut", arguments: [1, 2, 3, 7, 1_000])
    func pieces(size: Int) throws {
        var parser = RESPParser()
        var found: [RESPValue] = []
        var rest = Array(Self.document.utf8)
        while !rest.isEmpty {
            parser.append(Array(rest.prefix(size)))
            rest.removeFirst(min(size, rest.count))
            while let value = try parser.next() { found.append(value) }
        }
        #expect(found == Self.values)
        #expect(parser.buffered == 0)
    }

    @Test(
        "what is not RESP is refused",
        arguments: [
            "HTTP/1.1 400 Bad Request\r\n", "$-2\r\n", "$99999999999\r\n", "*9999999999\r\n", ":x\r\n", "$1\r\nabc\r\n",
            "\r\n",
        ])
    func malformed(text: String) {
        var parser = RESPParser()
        parser.append(Array(text.utf8))
        #expect(throws: ProbeError.self) { while try parser.next() != nil {} }
    }

    @Test("nesting is bounded")
    func nesting() {
        var parser = RESPParser()
        parser.append(Array(String(repeating: "*1\r\n", count: RESPParser.depthLimit + 1).utf8))
        #expect(throws: ProbeError.self) { _ = try parser.next() }
    }

    @Test("a line without an end is refused once it is too long")
    func endlessLine() {
        var parser = RESPParser()
        parser.append([UInt8](repeating: UInt8(ascii: "+"), count: RESPParser.lineLimit + 1))
        #expect(throws: ProbeError.self) { _ = try parser.next() }
    }
}
