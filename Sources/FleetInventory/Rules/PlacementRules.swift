import FleetCore

/// What one host can't hold all at once: CPUs claimed twice, threads outside their worker's CPUs, more pages than there are.
struct PlacementRules {
    private let faults: Faults
    /// What runs on each host, in the order of declaration: looked up once, not for every host anew.
    private let placements: [HostName: [Placement]]

    private typealias Placement = (service: LocatedService, placed: LocatedPlacement)

    init(faults: Faults, services: [LocatedService]) {
        self.faults = faults
        var placements: [HostName: [Placement]] = [:]
        for service in services {
            for (host, placed) in service.placed { placements[host, default: []].append((service, placed)) }
        }
        self.placements = placements
    }

    func check(_ host: LocatedHost) {
        let placements = placements[host.spec.name] ?? []
        checkPools(of: host)
        checkCPUs(of: host, placements)
        for (service, placed) in placements { checkThreads(of: service, placed) }
        checkHugepages(of: host, placements)
    }

    // MARK: CPUs

    private func checkPools(of host: LocatedHost) {
        guard let shared = host.spec.shared, let housekeeping = host.spec.housekeeping else { return }
        let both = shared.intersection(housekeeping)
        if both.isEmpty { return }
        faults.add(
            host.place("shared"), "CPU \(both) of \(host.spec.name) is both in shared and in housekeeping (line \(host.place("housekeeping").line))",
            "write CPUs that are not \(both)")
    }

    private func checkCPUs(of host: LocatedHost, _ placements: [Placement]) {
        let name = host.spec.name
        var claims: [(cpus: CPUList, who: String, line: Int)] = []
        if let housekeeping = host.spec.housekeeping { claims.append((housekeeping, "its housekeeping", host.place("housekeeping").line)) }
        if let shared = host.spec.shared { claims.append((shared, "its shared pool", host.place("shared").line)) }
        // A service whose CPUs are its own comes before one that inherited them, so that the fault stands where the cure is.
        for (service, placed) in placements {
            if placed.spec.cpus.helpers, host.spec.shared == nil, let position = placed.place("cpus", "helpers") {
                faults.add(position, "helpers: shared, but \(name) has no shared pool", "write shared: 2-3 in the host \(name) (line \(host.position.line))")
            }
            guard let cpus = placed.spec.cpus.exclusive, let position = placed.place("cpus", "exclusive") else { continue }
            let place =
                placements.contains { other in
                    other.service.spec.name != service.spec.name && other.placed.place("cpus", "exclusive") == position
                } && position < service.position ? service.position : position
            for claim in claims {
                let both = cpus.intersection(claim.cpus)
                guard !both.isEmpty else { continue }
                faults.add(
                    place, "CPU \(both) of \(name) is claimed by \(service.spec.name) and by \(claim.who) (line \(claim.line))",
                    "write CPUs for \(service.spec.name) that are not \(both)")
            }
            claims.append((cpus, service.spec.name.raw, position.line))
        }
    }

    /// A worker may only put its threads where it was put itself.
    private func checkThreads(of service: LocatedService, _ placed: LocatedPlacement) {
        let name = service.spec.name
        for (thread, placement) in placed.spec.cpus.threads.sorted(by: { $0.key < $1.key }) {
            guard let position = placed.place("threads", thread) else { continue }
            switch placement {
            case .helpers:
                if placed.spec.cpus.helpers { continue }
                let line = placed.place("cpus").map { " (line \($0.line))" } ?? ""
                faults.add(
                    position, "the thread \(thread) of \(name) runs on helpers, which its cpus\(line) don't have", "write cpus: {helpers: shared}")
            case .cpus(let cpus):
                guard let exclusive = placed.spec.cpus.exclusive, let line = placed.place("cpus", "exclusive")?.line else {
                    faults.add(
                        position, "the thread \(thread) of \(name) runs on CPU \(cpus), and \(name) has no CPUs of its own", "write cpus: {exclusive: \(cpus)}")
                    continue
                }
                let outside = CPUList(cpus.cpus.filter { !exclusive.contains($0) })
                if outside.isEmpty { continue }
                faults.add(
                    position, "the thread \(thread) of \(name) runs on CPU \(outside), which is not in its cpus.exclusive \(exclusive) (line \(line))",
                    "write CPUs of \(exclusive), or helpers")
            }
        }
    }

    // MARK: Hugepages

    /// The pages of all workers of a host, by node and size, must be in what the host reserves.
    private func checkHugepages(of host: LocatedHost, _ placements: [Placement]) {
        let name = host.spec.name
        struct Pool: Hashable {
            var node: Int
            var pageBytes: UInt64
        }
        var wanted: [Pool: [(who: String, count: UInt64, position: SourcePosition)]] = [:]
        for (service, placed) in placements {
            for pages in placed.spec.release.hugepages {
                let size = SchemaReader.text(ofBytes: pages.pageBytes)
                let position = placed.place("hugepages", "node\(pages.node)", size) ?? service.position
                wanted[Pool(node: pages.node, pageBytes: pages.pageBytes), default: []].append((service.spec.name.raw, pages.count, position))
            }
        }
        for (pool, wishes) in wanted {
            let there = host.spec.hugepages.first { $0.node == pool.node && $0.pageBytes == pool.pageBytes }?.count ?? 0
            let sum = wishes.map(\.count).reduce(0, +)
            guard sum > there, let last = wishes.last else { continue }
            let size = SchemaReader.text(ofBytes: pool.pageBytes)
            let others = wishes.dropLast().map { "\($0.who)'s \($0.count) (line \($0.position.line))" }.joined(separator: " and ")
            let together = others.isEmpty ? "" : ", with \(others) that is \(sum)"
            let declared =
                host.spec.hugepages.isEmpty
                ? "\(name) (line \(host.position.line)) reserves none" : "\(name) (line \(host.place("hugepages").line)) reserves \(there)"
            faults.add(
                last.position, "\(last.who) wants \(last.count) pages of \(size) on node \(pool.node)\(together), and \(declared)",
                "write hugepages: {node\(pool.node): {\(size): \(sum)}} in the host \(name), or fewer here")
        }
    }
}
