/// What a person has put on a worker: a lock's or a note's text, with who and when.
package struct Mark: Equatable, Sendable {
    package var by: String
    package var text: String
    package var unixMicroseconds: UInt64

    package init(by: String, text: String, unixMicroseconds: UInt64) {
        self.by = by
        self.text = text
        self.unixMicroseconds = unixMicroseconds
    }
}
