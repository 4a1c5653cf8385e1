/// A host's topology as `trading layout show` lists it. nil is unknown.
package struct LayoutTable: Equatable, Sendable {
    package struct Node: Equatable, Sendable {
        package let node: Int
        package let cpus: CPUList
        package let memoryBytes: UInt64?
        package let pools: [HostTopology.Pool]
        /// nil also where it spans several.
        package let socket: Int?
    }

    package let sockets: Int?
    package let cores: Int?
    package let cpus: Int?
    /// Whether some core shows more than one hardware thread.
    package let smt: Bool?
    package let online: CPUList?
    package let isolated: CPUList?
    package let nohzFull: CPUList?
    package let housekeeping: CPUList?
    package let shared: CPUList?
    package let nodes: [Node]
    package let interruptLines: [HostTopology.InterruptLine]
}

extension HostTopology {
    package func table(_ demand: LayoutDemand) -> LayoutTable {
        let sockets = cpus.compactMap(\.socket)
        let siblings = cpus.compactMap(\.siblings)
        return LayoutTable(
            sockets: sockets.count == cpus.count && !cpus.isEmpty ? Set(sockets).count : nil,
            // A set of siblings is a core, whatever its number.
            cores: siblings.count == cpus.count && !cpus.isEmpty ? Set(siblings).count : nil,
            cpus: online?.cpus.count ?? (cpus.isEmpty ? nil : cpus.count),
            smt: siblings.isEmpty ? nil : siblings.contains { $0.cpus.count > 1 },
            online: online, isolated: isolated, nohzFull: nohzFull, housekeeping: demand.housekeeping, shared: demand.shared,
            nodes: nodes.map {
                LayoutTable.Node(
                    node: $0.number, cpus: $0.cpus, memoryBytes: $0.memoryBytes, pools: $0.pools, socket: socket(ofNode: $0.number))
            },
            interruptLines: interruptLines)
    }
}
