/// What a machine is made of, how its hugepage pools stand and where the interrupts of its network interfaces may go.
///
/// nil is unknown, and `notes` says why; an empty list was read and is empty.
package struct HostTopology: Equatable, Sendable {
    package struct CPU: Equatable, Sendable {
        package var number: Int
        package var socket: Int?
        /// Numbered within its socket.
        package var core: Int?
        /// The hardware threads of its core, itself included.
        package var siblings: CPUList?

        package init(number: Int, socket: Int? = nil, core: Int? = nil, siblings: CPUList? = nil) {
            self.number = number
            self.socket = socket
            self.core = core
            self.siblings = siblings
        }
    }

    package struct Pool: Equatable, Sendable {
        package var pageBytes: UInt64
        /// In pages.
        package var total: UInt64
        package var free: UInt64?

        package init(pageBytes: UInt64, total: UInt64, free: UInt64? = nil) {
            self.pageBytes = pageBytes
            self.total = total
            self.free = free
        }

        package var used: UInt64? { free.map { total > $0 ? total - $0 : 0 } }
    }

    package struct Node: Equatable, Sendable {
        package var number: Int
        package var cpus: CPUList
        /// 0: a node without memory.
        package var memoryBytes: UInt64?
        /// By size, smallest first.
        package var pools: [Pool]
        /// Sizes that the kernel offers and whose pool could not be read; nil: which it offers could not be.
        package var unreadPools: Set<UInt64>? = []

        /// Whether a pool that isn't among `pools` may be there all the same.
        func mayHave(_ pageBytes: UInt64) -> Bool { unreadPools?.contains(pageBytes) ?? true }

        package init(number: Int, cpus: CPUList, memoryBytes: UInt64? = nil, pools: [Pool] = []) {
            self.number = number
            self.cpus = cpus
            self.memoryBytes = memoryBytes
            self.pools = pools
        }
    }

    package struct InterruptLine: Equatable, Sendable {
        package var number: Int
        /// As /proc/interrupts calls it: `ens1f0-rx-2`.
        package var name: String
        package var interface: String
        /// Where it may be delivered.
        package var cpus: CPUList?
        /// Where it is delivered.
        package var effective: CPUList?
        /// Of the device.
        package var node: Int?

        package init(
            number: Int, name: String, interface: String, cpus: CPUList? = nil, effective: CPUList? = nil, node: Int? = nil
        ) {
            self.number = number
            self.name = name
            self.interface = interface
            self.cpus = cpus
            self.effective = effective
            self.node = node
        }

        /// `IRQ 143 (ens1f0-rx-2)`
        package var subject: String { name.isEmpty ? "IRQ \(number) (of \(interface))" : "IRQ \(number) (\(name))" }
    }

    package struct Interface: Equatable, Sendable {
        package var name: String
        package var driver: String?
        package var node: Int?

        package init(name: String, driver: String? = nil, node: Int? = nil) {
            self.name = name
            self.driver = driver
            self.node = node
        }
    }

    /// By number; those that are online (what an offline CPU belongs to, the kernel doesn't say).
    package var cpus: [CPU] = []
    package var nodes: [Node] = []
    package var present: CPUList?
    package var online: CPUList?
    /// Left out of the kernel's load balancing: isolcpus= or an isolated cpuset partition.
    package var isolated: CPUList?
    /// Without the timer tick while one task runs.
    package var nohzFull: CPUList?
    package var rcuNoCallbacks: CPUList?
    /// on, off, forceoff, notsupported, notimplemented
    package var smtControl: String?
    /// Those with hardware behind them.
    package var interfaces: [Interface] = []
    /// By number.
    package var interruptLines: [InterruptLine] = []
    /// What could not be read, and why: of what lasts until a reboot, and of what passes.
    package var lastingNotes: [String] = []
    package var passingNotes: [String] = []

    package var notes: [String] { lastingNotes + passingNotes }

    package init() {}

    package func cpu(_ number: Int) -> CPU? { cpus.first { $0.number == number } }

    package func node(_ number: Int) -> Node? { nodes.first { $0.number == number } }

    /// nil: unknown.
    package func node(of cpu: Int) -> Int? { nodes.first { $0.cpus.contains(cpu) }?.number }

    package func pool(node: Int, pageBytes: UInt64) -> Pool? { self.node(node)?.pools.first { $0.pageBytes == pageBytes } }

    /// The only socket that holds a node's CPUs.
    package func socket(ofNode number: Int) -> Int? {
        guard let node = node(number) else { return nil }
        let sockets = Set(cpus.filter { node.cpus.contains($0.number) }.map(\.socket))
        return sockets.count == 1 ? sockets.first ?? nil : nil
    }
}
