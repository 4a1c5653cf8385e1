/// A place in the inventory file.
///
/// Both count from 1; columns are Unicode scalars, as libyaml counts them.
package struct SourcePosition: Hashable, Comparable, Sendable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    static let start = SourcePosition(line: 1, column: 1)

    package static func < (a: Self, b: Self) -> Bool {
        a.line == b.line ? a.column < b.column : a.line < b.line
    }
}
