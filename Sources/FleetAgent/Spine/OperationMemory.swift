internal import FleetWire

/// The last operations, ended or not, by id.
struct OperationMemory {
    /// Enough for a fleet-wide stop and start of 300 workers on one host with a repeat of each.
    static let bound = 1_024

    /// Questions of those who give no orders here, a relay or a coordinator that isn't followed: they take no room from others.
    static let guestsMax = 64

    private var operations: [String: Operation] = [:]
    private var order: [String] = []
    private var guests: [String] = []

    subscript(id: String) -> Operation? { operations[id] }

    /// False when every remembered operation is still going on: the caller refuses the new one.
    mutating func insert(_ operation: Operation, ofGuest isGuest: Bool = false) -> Bool {
        isGuest ? insert(operation, into: \.guests, countMax: Self.guestsMax) : insert(operation, into: \.order, countMax: Self.bound)
    }

    private mutating func insert(_ operation: Operation, into list: WritableKeyPath<Self, [String]>, countMax: Int) -> Bool {
        if self[keyPath: list].count >= countMax {
            guard let index = self[keyPath: list].firstIndex(where: { operations[$0]?.result != nil }) else { return false }
            operations[self[keyPath: list].remove(at: index)] = nil
        }
        operations[operation.id] = operation
        self[keyPath: list].append(operation.id)
        return true
    }

    /// For what was not done and may be offered again under the same id.
    mutating func forget(_ id: String) {
        operations[id] = nil
        order.removeAll { $0 == id }
        guests.removeAll { $0 == id }
    }
}
