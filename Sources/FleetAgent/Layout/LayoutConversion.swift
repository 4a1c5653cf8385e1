internal import FleetCore
internal import FleetWire
internal import LinuxHost

// From a layout's values to the wire's words. What is unknown stays empty or 0 there, and a note says why.

extension WireLayoutTopology {
    init(_ table: LayoutTable) {
        self.init()
        sockets = UInt32(clamping: table.sockets ?? 0)
        cores = UInt32(clamping: table.cores ?? 0)
        cpus = UInt32(clamping: table.cpus ?? 0)
        smt = table.smt ?? false
        online = table.online?.description ?? ""
        isolated = table.isolated?.description ?? ""
        nohzFull = table.nohzFull?.description ?? ""
        housekeeping = table.housekeeping?.description ?? ""
        shared = table.shared?.description ?? ""
        nodes = table.nodes.map { node in
            var wire = WireLayoutTopology.Node()
            wire.node = Int32(clamping: node.node)
            wire.cpus = node.cpus.description
            wire.memoryBytes = node.memoryBytes ?? 0
            wire.socket = Int32(clamping: node.socket ?? -1)
            wire.hugepages = node.pools.map { pool in
                var out = WireHugepagePool()
                out.node = Int32(clamping: node.node)
                out.pageBytes = pool.pageBytes
                out.total = pool.total
                out.free = pool.free ?? 0
                return out
            }
            return wire
        }
        irqs = table.interruptLines.map { line in
            var wire = WireLayoutTopology.IRQ()
            wire.number = UInt32(clamping: line.number)
            wire.name = line.name
            wire.interface = line.interface
            wire.cpus = line.cpus?.description ?? ""
            wire.node = Int32(clamping: line.node ?? -1)
            return wire
        }
    }
}

extension WireLayoutPlacement {
    init(_ placement: LayoutPlan.Placement) {
        self.init()
        service = placement.service.raw
        exclusive = placement.exclusive?.description ?? ""
        helpers = placement.helpers?.description ?? ""
        node = placement.node.map { "\($0)" } ?? ""
        threads = placement.threads
        problems = placement.problems
        pid = placement.pid ?? 0
    }
}

extension WireLayoutChange {
    /// Planned, not carried out.
    init(_ change: LayoutChange, refused why: String?) {
        self.init()
        subject = change.subject
        from = change.from
        to = change.to
        workers = change.workers.map(\.raw)
        refused = why ?? ""
    }

    init(_ change: LayoutChange, _ outcome: LayoutOutcome) {
        self.init(change, refused: nil)
        switch outcome {
        case .done(let readBack):
            done = true
            result = readBack
        case .short(_, let text): result = text
        case .failed(let error): refused = error.description
        }
    }
}

extension WireLayoutDrift {
    init(_ drift: LayoutDrift, sinceUnixMicroseconds: UInt64) {
        self.init()
        slug = drift.slug.rawValue
        subject = drift.subject
        wanted = drift.wanted
        found = drift.found
        service = drift.service?.raw ?? ""
        sinceUnixUs = sinceUnixMicroseconds
    }
}

extension WireTimeState {
    init(_ reading: TimeReading, at now: BootTime) {
        self.init()
        known = reading.isKnown
        synchronised = reading.synchronised ?? false
        source = reading.source ?? ""
        if let offset = reading.offset {
            offsetNs = offset.nanoseconds
            offsetKnown = true
        }
        text = reading.text
        atBoottimeNs = now.nanoseconds
    }
}
