package import FleetCore
internal import Glibc

/// What a host is made of and how full it is.
///
/// What could not be read is nil and named in `unreadable`: never zero.
package struct HostFacts: Equatable, Sendable {
    package struct HugepagePool: Equatable, Sendable {
        /// nil: the whole host.
        package let node: Int?
        package let pageBytes: UInt64
        /// In pages.
        package let total: UInt64
        package let free: UInt64
        /// Promised but not yet touched; the kernel tells it for the whole host only.
        package let reserved: UInt64?
    }

    /// Bytes.
    package var memoryTotal: UInt64?
    package var memoryAvailable: UInt64?
    /// The whole host's pools first, then per node.
    package var hugepages: [HugepagePool] = []
    /// 1, 5 and 15 minutes; empty: unknown.
    package var load: [Double] = []
    /// Bytes an unprivileged user may still write on the filesystem asked about.
    package var diskFree: UInt64?
    package var kernel: String?
    package var cpusOnline: CPUList?
    package var uptime: Duration?
    /// The kernel's.
    package var commandLine: String?
    /// The kernel's word; what chrony or another says of it is read elsewhere.
    package var time: TimeReading?
    package var unreadable: [LinuxError] = []

    package init() {}

    /// Reads below `root` (empty: the real one; a fixture tree in tests) and the filesystem that holds `disk`.
    package static func read(root: String = "", disk: String? = nil) -> HostFacts {
        var facts = HostFacts()
        func attempt(_ step: (String, inout HostFacts) throws(LinuxError) -> Void) {
            do { try step(root, &facts) } catch { facts.unreadable.append(error) }
        }
        attempt(readMemory)
        attempt(readLoad)
        attempt(readUptime)
        attempt(readKernel)
        attempt(readCPUs)
        attempt(readHugepages)
        attempt { root, facts throws(LinuxError) in facts.commandLine = try text("\(root)/proc/cmdline") }
        // The clock is this machine's, whatever tree is read.
        if root.isEmpty { facts.time = TimeSynchronisation.kernel() }
        if let disk {
            do { facts.diskFree = try Files.freeBytes(disk) } catch { facts.unreadable.append(error) }
        }
        return facts
    }

    /// proc_meminfo(5), in kB there.
    private static func readMemory(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        let path = "\(root)/proc/meminfo"
        for line in try text(path).split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 2, let kilobytes = UInt64(words[1]) else { continue }
            if words[0] == "MemTotal:" { facts.memoryTotal = kilobytes * 1024 }
            if words[0] == "MemAvailable:" { facts.memoryAvailable = kilobytes * 1024 }
        }
        if facts.memoryTotal == nil || facts.memoryAvailable == nil { throw misunderstood(path) }
    }

    private static func readLoad(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        let path = "\(root)/proc/loadavg"
        let numbers = try text(path).split(separator: " ").prefix(3).compactMap { Double(String($0)) }
        guard numbers.count == 3 else { throw misunderstood(path) }
        facts.load = numbers
    }

    private static func readUptime(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        let path = "\(root)/proc/uptime"
        guard let first = try text(path).split(separator: " ").first, let seconds = Double(String(first)) else {
            throw misunderstood(path)
        }
        facts.uptime = .seconds(seconds)
    }

    private static func readKernel(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        facts.kernel = try text("\(root)/proc/sys/kernel/osrelease")
    }

    private static func readCPUs(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        let path = "\(root)/sys/devices/system/cpu/online"
        guard let cpus = CPUList(try text(path)) else { throw misunderstood(path) }
        facts.cpusOnline = cpus
    }

    /// admin-guide/mm/hugetlbpage.rst of the kernel.
    ///
    /// A kernel without hugepages has none of the directories.
    private static func readHugepages(_ root: String, _ facts: inout HostFacts) throws(LinuxError) {
        facts.hugepages = try hugepagePools(root: root)
    }

    /// The whole host's pools first, then per node; at this moment.
    package static func hugepagePools(root: String = "") throws(LinuxError) -> [HugepagePool] {
        var found = try pools(in: "\(root)/sys/kernel/mm/hugepages", node: nil)
        let nodes = "\(root)/sys/devices/system/node"
        let numbers = try Files.listIfPresent(nodes).compactMap { $0.hasPrefix("node") ? Int($0.dropFirst(4)) : nil }
        for node in numbers.sorted() { found += try pools(in: "\(nodes)/node\(node)/hugepages", node: node) }
        return found
    }

    private static func pools(in directory: String, node: Int?) throws(LinuxError) -> [HugepagePool] {
        var found: [HugepagePool] = []
        for name in try Files.listIfPresent(directory) {
            guard name.hasPrefix("hugepages-"), name.hasSuffix("kB"), let kilobytes = UInt64(name.dropFirst(10).dropLast(2)) else {
                continue
            }
            let pool = HugepagePool(
                node: node, pageBytes: kilobytes * 1024, total: try number("\(directory)/\(name)/nr_hugepages"),
                free: try number("\(directory)/\(name)/free_hugepages"),
                reserved: node == nil ? try number("\(directory)/\(name)/resv_hugepages") : nil)
            found.append(pool)
        }
        return found.sorted { $0.pageBytes < $1.pageBytes }
    }

    private static func number(_ path: String) throws(LinuxError) -> UInt64 {
        guard let number = UInt64(try text(path)) else { throw misunderstood(path) }
        return number
    }

    /// Without the newline at its end.
    private static func text(_ path: String) throws(LinuxError) -> String {
        let bytes = try Files.read(path, limit: 64 * 1024)
        return String(decoding: bytes.last == 10 ? bytes.dropLast() : bytes[...], as: UTF8.self)
    }

    private static func misunderstood(_ path: String) -> LinuxError { LinuxError("understand", path, errno: EINVAL) }
}
