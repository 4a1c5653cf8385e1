import Testing

@testable import FleetAgent

struct QueryItemsTests {
    @Test("keys may repeat, values may be empty or missing, and the first one counts")
    func items() {
        let items = QueryItems("service=a&service=b&lines=10&follow&x=&=y&&a=b=c")
        #expect(items.all("service") == ["a", "b"] && items.first("service") == "a" && items.first("lines") == "10")
        #expect(items.first("follow") == "" && items.first("x") == "" && items.first("") == "y" && items.first("a") == "b=c")
        #expect(items.first("none") == nil && items.all("none").isEmpty && QueryItems("").first("a") == nil)
    }

    @Test(
        "escapes are undone, and what is none stays",
        arguments: [
            ("a%40b", "a@b"), ("a+b", "a b"), ("%C3%A9", "é"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), ("%2B+", "+ "), ("%ff", "\u{FFFD}"),
            ("%+1", "% 1"), ("%-1", "%-1"),
        ])
    func escapes(text: String, value: String) {
        #expect(QueryItems("k=\(text)").first("k") == value)
    }
}
