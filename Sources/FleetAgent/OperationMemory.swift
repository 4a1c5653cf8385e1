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
        if isGuest {
            if guests.count >= Self.guestsMax {
                guard let index = guests.firstIndex(where: { operations[$0]?.result != nil }) else { return false }
                operations[guests.remove(at: index)] = nil
            }
            operations[operation.id] = operation
            guests.append(operation.id)
            return true
        }
        if order.count >= Self.bound {
            guard let index = order.firstIndex(where: { operations[$0]?.result != nil }) else { return false }
            operations[order.remove(at: index)] = nil
        }
        operations[operation.id] = operation
        order.append(operation.id)
        return true
    }

    /// For what was not done and may be offered again under the same id.
    mutating func forget(_ id: String) {
        operations[id] = nil
        order.removeAll { $0 == id }
        guests.removeAll { $0 == id }
    }
}
