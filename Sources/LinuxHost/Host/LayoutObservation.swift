package import FleetCore
internal import Glibc

extension LayoutObservation {
    /// Reads what `demand` expects anything of; threads, clock and chrony are this machine's whatever the root.
    ///
    /// Never on an event loop: it lists /proc, and runs chronyc where the inventory declares it.
    package static func read(
        _ demand: LayoutDemand, topology: HostTopology, root: String = "", timeWithin: Duration = .seconds(2)
    ) -> LayoutObservation {
        var tree = HostTree(root: root)
        var seen = LayoutObservation()
        let expect = demand.expect
        seen.commandLine = tree.attempt("kernel command line") { tree throws(LinuxError) in try KernelCommandLine.read(tree) }
        seen.transparentHugepages = tree.attempt("transparent hugepages") { tree throws(LinuxError) in
            try chosen("/sys/kernel/mm/transparent_hugepage/enabled", tree)
        }
        for name in expect.sysctl.keys.sorted() {
            seen.sysctl[name] = tree.attempt("sysctl \(name)") { tree throws(LinuxError) in try sysctl(name, tree) }
        }
        if expect.governor != nil { seen.governors = governors(topology.online ?? .none, &tree) }
        if expect.irqbalanceEnabled != nil || !topology.interruptLines.isEmpty {
            seen.irqbalanceRunning = tree.attempt("irqbalance") { tree throws(LinuxError) in try isRunning("irqbalance", tree) }
        }
        if let time = expect.time { seen.time = TimeSynchronisation.read(via: time.via, within: timeWithin) }
        if expect.onloadVersion != nil {
            seen.onloadVersion = tree.attempt("Onload") { tree throws(LinuxError) in try tree.textIfPresent("/sys/module/onload/version") } ?? nil
        }
        for pid in demand.workers.compactMap(\.pid) + demand.residents.map(\.pid) where seen.threads[pid] == nil {
            seen.threads[pid] = tree.attempt("threads") { _ throws(LinuxError) in try ThreadPlacements.read(pid: pid) }
        }
        seen.notes = tree.notes
        return seen
    }

    /// `always [madvise] never`
    private static func chosen(_ path: String, _ tree: HostTree) throws(LinuxError) -> String {
        let words = try tree.text(path).split(separator: " ")
        guard let word = words.first(where: { $0.hasPrefix("[") && $0.hasSuffix("]") }) else { throw tree.misunderstood(path) }
        return String(word.dropFirst().dropLast())
    }

    /// sysctl(8): dots part a name, and slashes where one of its parts has dots itself (net/ipv4/conf/eth0.100/rp_filter).
    static func sysctl(_ name: String, _ tree: HostTree) throws(LinuxError) -> String {
        let parts = name.contains("/") ? name.split(separator: "/") : name.split(separator: ".")
        guard !parts.isEmpty, !parts.contains(".."), !parts.contains("."), !name.utf8.contains(0) else {
            throw LinuxError("read the sysctl", name, errno: EINVAL)
        }
        return try tree.text("/proc/sys/\(parts.joined(separator: "/"))").split { $0 == "\t" || $0 == " " || $0 == "\n" }.joined(separator: " ")
    }

    /// Of those that have one; the frequency itself is not asked for, which would interrupt the CPU.
    private static func governors(_ cpus: CPUList, _ tree: inout HostTree) -> [Int: String] {
        var found: [Int: String] = [:]
        for cpu in cpus.cpus {
            let path = "/sys/devices/system/cpu/cpu\(cpu)/cpufreq/scaling_governor"
            guard tree.exists(path) else { continue }
            found[cpu] = tree.attempt("governors") { tree throws(LinuxError) in try tree.text(path) }
        }
        return found
    }

    /// By the names of processes, which cost nobody a lock; 15 bytes of them count.
    static func isRunning(_ program: String, _ tree: HostTree) throws(LinuxError) -> Bool {
        for pid in try tree.numbered("/proc", prefix: "") {
            do throws(LinuxError) {
                if try tree.text("/proc/\(pid)/comm", limit: 256) == program { return true }
            } catch {
                // It ended meanwhile.
                if error.errno == ENOENT || error.errno == ESRCH { continue }
                throw error
            }
        }
        return false
    }
}
