/// Collects what is wrong with one file while the decoders go on reading it.
///
/// A fault in `defaults` or in what others are `like` is met once for each service that inherits it, and kept once.
final class Faults {
    let file: String
    private var found: Set<InventoryError> = []

    init(file: String) { self.file = file }

    var isEmpty: Bool { found.isEmpty }

    var errors: InventoryErrors { InventoryErrors(Array(found)) }

    func add(_ position: SourcePosition, _ what: String, _ instead: String) {
        found.insert(InventoryError(file: file, position: position, what: what, instead: instead))
    }
}
