package struct HostSpec: Equatable, Sendable {
    package var name: HostName
    /// For people only: agents dial out.
    package var address: String?
    /// Where agent, shims and everything without CPUs of its own run.
    package var housekeeping: CPUList?
    /// The helper pool that workers share.
    package var shared: CPUList?
    /// What `layout apply` reserves.
    package var hugepages: [HugepageCount] = []
    package var expect = ExpectationSpec()
    /// Directory -> bytes that must be free there.
    package var diskFreeMin: [String: UInt64] = [:]

    package init(name: HostName, address: String? = nil, housekeeping: CPUList? = nil, shared: CPUList? = nil) {
        self.name = name
        self.address = address
        self.housekeeping = housekeeping
        self.shared = shared
    }
}

/// A number of hugepages of one size on one NUMA node.
package struct HugepageCount: Hashable, Sendable {
    package var node: Int
    package var pageBytes: UInt64
    package var count: UInt64

    package init(node: Int, pageBytes: UInt64, count: UInt64) {
        self.node = node
        self.pageBytes = pageBytes
        self.count = count
    }
}

/// How a host must be set up for its workers; compared, never changed by a check. nil or empty: not declared.
package struct ExpectationSpec: Equatable, Sendable {
    package struct Time: Equatable, Sendable {
        package var source: String?
        package var offsetMax: Duration?
        /// `chronyc:PATH` of its socket; nil: the kernel's own word.
        package var via: String?
        package var hardwareClock: String?

        package init(source: String? = nil, offsetMax: Duration? = nil, via: String? = nil, hardwareClock: String? = nil) {
            self.source = source
            self.offsetMax = offsetMax
            self.via = via
            self.hardwareClock = hardwareClock
        }
    }

    package struct Interface: Equatable, Sendable {
        package var driver: String?
        package var irqCPUs: CPUList?

        package init(driver: String? = nil, irqCPUs: CPUList? = nil) {
            self.driver = driver
            self.irqCPUs = irqCPUs
        }
    }

    /// Words that the kernel command line must hold.
    package var cmdline: [String] = []
    /// Dotted name -> value.
    package var sysctl: [String: String] = [:]
    package var governor: String?
    package var irqbalanceEnabled: Bool?
    package var smtEnabled: Bool?
    /// always, madvise, never
    package var transparentHugepages: String?
    package var time: Time?
    package var interfaces: [String: Interface] = [:]
    package var onloadVersion: String?

    package init() {}
}
