/// Names in the order of their declaration, with a membership test that does not grow with them: a fleet of thousands refers to them as
/// often.
struct NameList: RandomAccessCollection {
    private let names: [String]
    private let set: Set<String>

    init(_ names: [String]) {
        self.names = names
        set = Set(names)
    }

    var startIndex: Int { names.startIndex }
    var endIndex: Int { names.endIndex }
    subscript(index: Int) -> String { names[index] }

    func contains(_ name: String) -> Bool { set.contains(name) }
}
