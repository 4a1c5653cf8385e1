package import FleetCore
internal import Glibc

extension HostTopology {
    /// Reads what is below `root` (empty: this machine).
    ///
    /// Some hundreds of small files on a large machine: never on an event loop.
    package static func read(root: String = "") -> HostTopology {
        var tree = HostTree(root: root)
        var topology = HostTopology()
        topology.readCPUs(&tree)
        topology.readNodes(&tree)
        topology.readKernelCPUs(&tree)
        topology.readInterfaces(&tree)
        topology.lastingNotes = tree.notes
        return topology.refreshed(root: root)
    }

    /// Reads again what changes while a machine runs: pools, interrupt lines, CPUs going on and off line.
    package func refreshed(root: String = "") -> HostTopology {
        var tree = HostTree(root: root)
        let online = tree.attempt("CPUs online") { tree throws(LinuxError) in try tree.cpus("/sys/devices/system/cpu/online") }
        // Only at the second reading is there anything to be unlike.
        if let before = self.online, let online, before != online { return .read(root: root) }
        var topology = self
        topology.online = online
        topology.smtControl = tree.attempt("SMT") { tree throws(LinuxError) in try tree.text("/sys/devices/system/cpu/smt/control") }
        for index in topology.nodes.indices {
            Self.readPools(of: &topology.nodes[index], &tree)
        }
        topology.interruptLines = InterruptLines.read(interfaces: topology.interfaces, &tree)
        topology.passingNotes = tree.notes
        return topology
    }

    /// cputopology.rst and cpu-hotplug.rst of the kernel.
    private mutating func readCPUs(_ tree: inout HostTree) {
        let system = "/sys/devices/system/cpu"
        present = tree.attempt("CPUs present") { tree throws(LinuxError) in try tree.cpus("\(system)/present") }
        // A failure is noted by `refreshed`, which reads it again.
        var probe = HostTree(root: tree.root)
        guard let numbers = probe.attempt("", { tree throws(LinuxError) in try tree.cpus("\(system)/online") }) else { return }
        for number in numbers.cpus {
            let directory = "\(system)/cpu\(number)/topology"
            var cpu = CPU(number: number)
            // -1: the platform doesn't say.
            cpu.socket = tree.attempt("sockets") { tree throws(LinuxError) in try tree.number("\(directory)/physical_package_id") as Int }
            cpu.core = tree.attempt("cores") { tree throws(LinuxError) in try tree.number("\(directory)/core_id") as Int }
            cpu.siblings = tree.attempt("SMT siblings") { tree throws(LinuxError) in
                let siblings = try tree.cpus("\(directory)/thread_siblings_list")
                guard siblings.contains(number) else { throw tree.misunderstood("\(directory)/thread_siblings_list") }
                return siblings
            }
            if cpu.socket == -1 { cpu.socket = nil }
            if cpu.core == -1 { cpu.core = nil }
            cpus.append(cpu)
        }
    }

    private mutating func readNodes(_ tree: inout HostTree) {
        let system = "/sys/devices/system/node"
        let numbers = tree.attempt("NUMA nodes") { tree throws(LinuxError) in try tree.numbered(system, prefix: "node") } ?? []
        for number in numbers {
            let list = tree.attempt("CPUs of nodes") { tree throws(LinuxError) in try tree.cpus("\(system)/node\(number)/cpulist") }
            guard let list else { continue }
            let memory = tree.attempt("memory of nodes") { tree throws(LinuxError) in try Self.memory("\(system)/node\(number)/meminfo", tree) }
            nodes.append(Node(number: number, cpus: list, memoryBytes: memory))
        }
    }

    /// `Node 0 MemTotal:       24684020 kB`
    private static func memory(_ path: String, _ tree: HostTree) throws(LinuxError) -> UInt64 {
        for line in try tree.text(path).split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count >= 4, words[2] == "MemTotal:", let kilobytes = UInt64(words[3]), kilobytes < 1 << 50 { return kilobytes * 1024 }
        }
        throw tree.misunderstood(path)
    }

    /// admin-guide/mm/hugetlbpage.rst.
    private static func readPools(of node: inout Node, _ tree: inout HostTree) {
        let directory = "/sys/devices/system/node/node\(node.number)/hugepages"
        node.pools = []
        node.unreadPools = nil
        // A kernel without hugepages has no such directory.
        let listed = tree.attempt("hugepage pools") { tree throws(LinuxError) in
            try Files.listIfPresent(tree.root + directory)
        }
        guard let listed else { return }
        node.unreadPools = []
        for name in listed {
            guard name.hasPrefix("hugepages-"), name.hasSuffix("kB"), let kilobytes = UInt64(name.dropFirst(10).dropLast(2)),
                kilobytes < 1 << 50
            else { continue }
            let total = tree.attempt("hugepage pools") { tree throws(LinuxError) in try tree.number("\(directory)/\(name)/nr_hugepages") as UInt64 }
            guard let total else {
                node.unreadPools?.insert(kilobytes * 1024)
                continue
            }
            let free = tree.attempt("free hugepages") { tree throws(LinuxError) in try tree.number("\(directory)/\(name)/free_hugepages") as UInt64 }
            node.pools.append(Pool(pageBytes: kilobytes * 1024, total: total, free: free))
        }
        node.pools.sort { $0.pageBytes < $1.pageBytes }
    }

    /// Whom the kernel leaves in peace.
    private mutating func readKernelCPUs(_ tree: inout HostTree) {
        isolated = tree.attempt("isolated CPUs") { tree throws(LinuxError) in
            var cpus = try tree.cpus("/sys/devices/system/cpu/isolated")
            // By cpuset partitions (cgroup-v2.rst): the file is the root cgroup's alone.
            if tree.exists("/sys/fs/cgroup/cpuset.cpus.isolated") { cpus = cpus.union(try tree.cpus("/sys/fs/cgroup/cpuset.cpus.isolated")) }
            return cpus
        }
        let words = tree.attempt("kernel command line") { tree throws(LinuxError) in try KernelCommandLine.read(tree) }
        let last = present?.cpus.last
        if tree.exists("/sys/devices/system/cpu/nohz_full") {
            nohzFull = tree.attempt("nohz_full CPUs") { tree throws(LinuxError) in try tree.cpus("/sys/devices/system/cpu/nohz_full") }
        } else if words != nil {
            // A kernel built without it ignores the word.
            nohzFull = CPUList.none
        }
        guard let words else { return }
        guard let list = KernelCommandLine.value(of: "rcu_nocbs", in: words) else {
            // nohz_full= brings its own.
            rcuNoCallbacks = nohzFull
            return
        }
        rcuNoCallbacks = KernelCommandLine.cpus(list, last: last)
        if rcuNoCallbacks == nil { tree.note("rcu_nocbs", "the kernel command line says rcu_nocbs=\(list), which is not understood") }
    }

    private mutating func readInterfaces(_ tree: inout HostTree) {
        let names = tree.attempt("network interfaces") { tree throws(LinuxError) in try Files.list("\(tree.root)/sys/class/net") } ?? []
        for name in names {
            let device = "/sys/class/net/\(name)/device"
            // Without one it is a bridge, a VLAN, lo: whatever has no interrupts of its own.
            guard tree.exists(device) else { continue }
            var interface = Interface(name: name)
            interface.driver = tree.attempt("drivers") { tree throws(LinuxError) in
                let target = try tree.link("\(device)/driver")
                return String(target[(target.lastIndex(of: "/").map { target.index(after: $0) } ?? target.startIndex)...])
            }
            for path in ["\(device)/numa_node", "\(device)/../numa_node"] where interface.node == nil && tree.exists(path) {
                let node = tree.attempt("nodes of interfaces") { tree throws(LinuxError) in try tree.number(path) as Int }
                interface.node = node.flatMap { $0 >= 0 ? $0 : nil }
            }
            interfaces.append(interface)
        }
    }
}
