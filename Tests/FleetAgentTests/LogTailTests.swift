import Testing

@testable import FleetAgent

struct LogTailTests {
    private func texts(_ lines: [LogLine]) -> [String] { lines.map { String(decoding: $0.text, as: UTF8.self) } }

    @Test("the last lines are told, then what is added, whole lines only")
    func follow() throws {
        let scratch = try Scratch()
        try scratch.append("log", "one\ntwo\nthree\nfo")
        var tail = LogTail(service: "feed", path: scratch.path + "/log", isError: true)
        #expect(texts(tail.last(2)) == ["two", "three"])
        #expect(tail.growth().isEmpty)
        try scratch.append("log", "ur\nfive\n")
        let growth = tail.growth()
        #expect(texts(growth) == ["four", "five"] && growth.allSatisfy { $0.isError && $0.service == "feed" })
        #expect(tail.growth().isEmpty)
    }

    @Test("a file that isn't there yet has no lines, and then all of them")
    func later() throws {
        let scratch = try Scratch()
        var tail = LogTail(service: "feed", path: scratch.path + "/log", isError: false)
        #expect(tail.last(10).isEmpty && tail.growth().isEmpty)
        try scratch.append("log", "one\n\ntwo\n")
        #expect(texts(tail.growth()) == ["one", "", "two"])
    }

    @Test("a file cut or replaced by a shorter one is read from its start, without the old one's half line")
    func cut() throws {
        let scratch = try Scratch()
        try scratch.append("log", "one\ntwo\nhalf")
        var tail = LogTail(service: "feed", path: scratch.path + "/log", isError: false)
        _ = tail.last(10)
        try scratch.write("log", "new\n")
        #expect(texts(tail.growth()) == ["new"])
    }

    @Test("a line without an end is cut into bounded pieces, and a long file is read from its end")
    func bounds() throws {
        let scratch = try Scratch()
        try scratch.append("log", String(repeating: "x", count: 40_000) + "\nlast\n")
        var tail = LogTail(service: "feed", path: scratch.path + "/log", isError: false)
        #expect(tail.last(10).map(\.text.count) == [16_384, 16_384, 7_232, 4])
        let line = String(repeating: "y", count: 999) + "\n"
        try scratch.append("long", String(repeating: line, count: 2_000))
        var long = LogTail(service: "feed", path: scratch.path + "/long", isError: false)
        let found = long.last(5_000)
        #expect(found.count == 2_000 && found.allSatisfy { $0.text.count == 999 })
    }

    @Test("what is no file is not read", arguments: ["/dev/zero", "/tmp"])
    func noFile(path: String) {
        var tail = LogTail(service: "feed", path: path, isError: false)
        #expect(tail.last(10).isEmpty && tail.growth().isEmpty)
    }
}
