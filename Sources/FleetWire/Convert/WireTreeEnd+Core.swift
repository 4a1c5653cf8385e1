package import FleetCore

extension WireTreeEnd {
    package init(_ end: TreeEnd) {
        self.init()
        left = UInt32(clamping: end.left)
        counted = end.killed != nil
        killed = UInt32(clamping: end.killed ?? 0)
        untold = UInt32(clamping: end.untold ?? 0)
        declared = end.isDeclared
    }
}

extension TreeEnd {
    package init(_ wire: WireTreeEnd) {
        func bounded(_ count: UInt32) -> Int { Self.bounded(UInt64(count)) }
        self.init(
            left: bounded(wire.left), killed: wire.counted ? bounded(wire.killed) : nil, untold: wire.counted ? bounded(wire.untold) : nil,
            isDeclared: wire.declared)
    }
}
