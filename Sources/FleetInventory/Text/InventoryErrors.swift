/// One fault of an inventory: where, what is wrong, and what to write instead.
package struct InventoryError: Error, Hashable, Comparable, Sendable, CustomStringConvertible {
    package var file: String
    package var position: SourcePosition
    package var what: String
    package var instead: String

    package init(file: String, position: SourcePosition, what: String, instead: String) {
        self.file = file
        self.position = position
        self.what = what
        self.instead = instead
    }

    package var description: String { "\(file):\(position.line):\(position.column): \(what); \(instead)" }

    package static func < (a: Self, b: Self) -> Bool {
        a.position == b.position ? a.what < b.what : a.position < b.position
    }
}

/// Every fault of one inventory file, in the order of their places; never empty.
package struct InventoryErrors: Error, Equatable, Sendable, CustomStringConvertible {
    package let errors: [InventoryError]

    package init(_ errors: [InventoryError]) { self.errors = errors.sorted() }

    /// A line per fault.
    package var description: String { errors.map(\.description).joined(separator: "\n") }
}
