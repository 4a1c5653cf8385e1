/// One thing of a host that isn't as its inventory says.
package struct LayoutDrift: Hashable, Sendable, CustomStringConvertible {
    package enum Slug: String, Sendable {
        case threadAffinity = "thread-affinity"
        case irqAffinity = "irq-affinity"
        case hugepages
        case irqbalance
        case governor
        case sysctl
        case cmdline
        case smt
        case transparentHugepages = "transparent-hugepages"
        case time
        case driver
        case onload
    }

    package var slug: Slug
    /// `IRQ 143 (ens1f0-rx-2)`; the same as long as it drifts, whatever is found.
    package var subject: String
    package var wanted: String
    package var found: String
    /// Whom it disturbs; nil: nobody in particular.
    package var service: ServiceName?

    package init(_ slug: Slug, _ subject: String, wanted: String, found: String, service: ServiceName? = nil) {
        self.slug = slug
        self.subject = subject
        self.wanted = wanted
        self.found = found
        self.service = service
    }

    /// Tells one drift from another while what is found moves.
    package var key: String { "\(slug.rawValue)\n\(subject)\n\(service?.raw ?? "")" }

    /// `IRQ 143 (ens1f0-rx-2) allowed on CPU 4, used by feed-xlon`
    package var description: String {
        switch slug {
        case .irqAffinity: "\(subject) \(found)\(service.map { ", used by \($0)" } ?? ", wanted on \(wanted)")"
        case .threadAffinity: "\(subject) runs on \(found), wanted on \(wanted)"
        default: "\(subject): \(found), wanted \(wanted)"
        }
    }
}

package struct LayoutVerification: Equatable, Sendable {
    package var drift: [LayoutDrift] = []
    /// What could not be compared, and why.
    package var notes: [String] = []

    package init() {}
}

/// Compares a host with what its inventory says of it. What could not be read is a note: neither drift nor silence.
package enum LayoutVerifier {
    package static func verify(
        _ demand: LayoutDemand, topology: HostTopology, observation: LayoutObservation
    ) -> LayoutVerification {
        var comparison = LayoutComparison(demand: demand, topology: topology, observation: observation)
        comparison.compareThreads()
        comparison.compareInterrupts()
        comparison.compareHugepages()
        comparison.compareKernel()
        comparison.compareTime()
        comparison.compareDrivers()
        // Once each: what one reading could not tell may be asked for twice.
        var seen: Set<String> = []
        comparison.result.notes = (topology.notes + observation.notes + comparison.result.notes).filter { seen.insert($0).inserted }
        return comparison.result
    }
}

struct LayoutComparison {
    let demand: LayoutDemand
    let topology: HostTopology
    let observation: LayoutObservation
    var result = LayoutVerification()

    init(demand: LayoutDemand, topology: HostTopology, observation: LayoutObservation) {
        self.demand = demand
        self.topology = topology
        self.observation = observation
    }

    private mutating func drift(_ slug: LayoutDrift.Slug, _ subject: String, wanted: String, found: String, service: ServiceName? = nil) {
        result.drift.append(LayoutDrift(slug, subject, wanted: wanted, found: found, service: service))
    }

    private mutating func note(_ text: String) { result.notes.append(text) }

    // MARK: threads

    /// So many thread names of one process are told apart; the rest are one line.
    static let threadNamesMax = 8

    mutating func compareThreads() {
        for worker in demand.workers {
            guard let pid = worker.pid else { continue }
            compare(pid, of: worker)
        }
        guard let housekeeping = demand.housekeeping else { return }
        for resident in demand.residents {
            guard let threads = observation.threads[resident.pid] else {
                note("\(resident.name): where its threads may run can't be read")
                continue
            }
            let outside = threads.compactMap(\.cpus).filter { !$0.isSubset(of: housekeeping) }
            guard !outside.isEmpty else { continue }
            drift(.threadAffinity, resident.name, wanted: LayoutText.cpus(housekeeping), found: Self.places(outside))
        }
    }

    private mutating func compare(_ pid: Int32, of worker: LayoutDemand.Worker) {
        let who = worker.service
        guard !worker.threads.isEmpty || demand.allowed(worker) != nil else { return }
        guard let threads = observation.threads[pid] else {
            note("\(who): where its threads may run can't be read")
            return
        }
        // The kernel knows 15 bytes of a name.
        let declared = Dictionary(worker.threads.map { (Self.cut($0.key), $0.value) }, uniquingKeysWith: { first, _ in first })
        var names: [String] = []
        var astray: [String: (wanted: CPUList, found: [CPUList])] = [:]
        for thread in threads {
            guard let cpus = thread.cpus, let wanted = wanted(declared[thread.name] ?? worker.threads["*"], worker), !cpus.isSubset(of: wanted)
            else { continue }
            if astray[thread.name] == nil { names.append(thread.name) }
            astray[thread.name, default: (wanted, [])].found.append(cpus)
        }
        for name in names.prefix(Self.threadNamesMax) {
            guard let (wanted, found) = astray[name] else { continue }
            let several = found.count > 1 ? " (\(found.count) threads)" : ""
            drift(
                .threadAffinity, "thread \(name) of \(who)", wanted: LayoutText.cpus(wanted), found: Self.places(found) + several, service: who)
        }
        let more = names.dropFirst(Self.threadNamesMax)
        if !more.isEmpty {
            let found = more.compactMap { astray[$0]?.found.count }.reduce(0, +)
            drift(.threadAffinity, "other threads of \(who)", wanted: "as declared", found: "\(found) elsewhere", service: who)
        }
        let present = Set(threads.map(\.name))
        let missing = worker.threads.keys.filter { $0 != "*" && !present.contains(Self.cut($0)) }.sorted()
        if !missing.isEmpty {
            note("\(who) (PID \(pid)) has no thread named \(LayoutText.and(missing)): where it would run can't be told")
        }
    }

    private func wanted(_ place: CPUPlacement.ThreadPlacement?, _ worker: LayoutDemand.Worker) -> CPUList? {
        switch place {
        case .cpus(let cpus): cpus
        case .helpers: demand.shared
        case nil: demand.allowed(worker)
        }
    }

    private static func cut(_ name: String) -> String { String(decoding: name.utf8.prefix(15), as: UTF8.self) }

    /// Every CPU of several masks.
    private static func places(_ lists: [CPUList]) -> String { LayoutText.cpus(CPUList(lists.flatMap(\.cpus))) }

    // MARK: interrupts and pages

    mutating func compareInterrupts() {
        for line in topology.interruptLines {
            let declared = demand.expect.interfaces[line.interface]?.irqCPUs
            let disturbed = line.cpus.map { cpus in demand.workers.filter { $0.own.intersects(cpus) } } ?? []
            guard let cpus = line.cpus else {
                if declared != nil || !demand.exclusive.isEmpty { note("where \(line.subject) may be delivered can't be read") }
                continue
            }
            let wanted = declared.map(LayoutText.cpus) ?? "CPUs that no worker claims"
            for worker in disturbed {
                drift(
                    .irqAffinity, line.subject, wanted: wanted, found: "allowed on \(LayoutText.cpus(cpus.intersection(worker.own)))", service: worker.service)
            }
            if disturbed.isEmpty, let declared, !cpus.isSubset(of: declared) {
                drift(.irqAffinity, line.subject, wanted: LayoutText.cpus(declared), found: "allowed on \(LayoutText.cpus(cpus))")
            }
        }
    }

    mutating func compareHugepages() {
        for wanted in demand.hugepages {
            let subject = "node \(wanted.node) \(LayoutText.size(wanted.pageBytes)) pages"
            guard let pool = topology.pool(node: wanted.node, pageBytes: wanted.pageBytes) else {
                guard wanted.count > 0 else { continue }
                if topology.nodes.isEmpty || topology.node(wanted.node)?.mayHave(wanted.pageBytes) == true {
                    note("\(subject): how many there are can't be read")
                } else {
                    let found = topology.node(wanted.node) == nil ? "no such node" : "none of this size"
                    drift(.hugepages, subject, wanted: LayoutText.grouped(wanted.count), found: found)
                }
                continue
            }
            if pool.total < wanted.count {
                drift(.hugepages, subject, wanted: LayoutText.grouped(wanted.count), found: LayoutText.grouped(pool.total))
            }
        }
        // Pages that a stopped worker will ask for and that somebody else holds.
        for worker in demand.workers where worker.pid == nil && !worker.keepsHugepages {
            for need in worker.hugepages where need.count > 0 {
                guard let free = topology.pool(node: need.node, pageBytes: need.pageBytes)?.free else {
                    note("\(worker.service): how many \(LayoutText.size(need.pageBytes)) pages are free on node \(need.node) can't be read")
                    continue
                }
                guard free < need.count else { continue }
                drift(
                    .hugepages, "free \(LayoutText.size(need.pageBytes)) pages of node \(need.node)",
                    wanted: "\(LayoutText.grouped(need.count)) to start \(worker.service)", found: LayoutText.grouped(free), service: worker.service)
            }
        }
    }

    // MARK: settings

    mutating func compareKernel() {
        let expect = demand.expect
        if !expect.cmdline.isEmpty {
            if let words = observation.commandLine {
                for wanted in expect.cmdline where !words.contains(wanted) {
                    let key = wanted.prefix { $0 != "=" }
                    let found = words.last { $0 == key || $0.hasPrefix("\(key)=") }
                    drift(.cmdline, "kernel command line, \(key)", wanted: wanted, found: found ?? "not there")
                }
            } else {
                note("the kernel command line can't be read")
            }
        }
        for (name, wanted) in expect.sysctl.sorted(by: { $0.key < $1.key }) {
            // One that could not be read has its note already.
            guard let found = observation.sysctl[name] else { continue }
            if Self.words(found) != Self.words(wanted) { drift(.sysctl, name, wanted: wanted, found: found) }
        }
        compareGovernor(expect.governor)
        if let wanted = expect.irqbalanceEnabled {
            if let running = observation.irqbalanceRunning {
                if running != wanted {
                    drift(.irqbalance, "irqbalance", wanted: wanted ? "running" : "not running", found: running ? "running" : "not running")
                }
            } else {
                note("whether irqbalance runs can't be told")
            }
        }
        if let wanted = expect.smtEnabled { compareSMT(wanted) }
        if let wanted = expect.transparentHugepages {
            if let found = observation.transparentHugepages {
                if found != wanted { drift(.transparentHugepages, "transparent hugepages", wanted: wanted, found: found) }
            } else {
                note("the setting of transparent hugepages can't be read")
            }
        }
    }

    private static func words(_ text: String) -> [Substring] { text.split { $0 == " " || $0 == "\t" || $0 == "\n" } }

    private mutating func compareGovernor(_ wanted: String?) {
        guard let wanted else { return }
        guard let governors = observation.governors, !governors.isEmpty else {
            note("no CPU here tells its frequency governor")
            return
        }
        let others = governors.filter { $0.value != wanted }
        guard !others.isEmpty else { return }
        let kinds = Set(others.values).sorted().map { kind in
            "\(kind) on \(LayoutText.cpus(CPUList(others.filter { $0.value == kind }.map(\.key))))"
        }
        drift(.governor, "frequency governor", wanted: wanted, found: kinds.joined(separator: ", "))
    }

    private mutating func compareSMT(_ wanted: Bool) {
        switch topology.smtControl {
        case "on": if !wanted { drift(.smt, "SMT", wanted: "disabled", found: "on") }
        case "off", "forceoff", "notsupported":
            if wanted { drift(.smt, "SMT", wanted: "enabled", found: topology.smtControl == "notsupported" ? "not supported" : "off") }
        default: note("whether SMT is on can't be told (control: \(topology.smtControl ?? "unreadable"))")
        }
    }

    mutating func compareTime() {
        guard let expect = demand.expect.time else { return }
        let time = observation.time
        guard let synchronised = time.synchronised else {
            note("time: \(time.text)")
            return
        }
        if !synchronised {
            drift(.time, "clock", wanted: "synchronised", found: "not synchronised")
        } else if let wanted = expect.source {
            if let source = time.source {
                // A clock that follows itself follows nobody.
                if wanted == "any" ? source == "local" : source != wanted { drift(.time, "clock source", wanted: wanted, found: source) }
            } else if wanted != "any" {
                note("time: the clock's source can't be told (\(time.text)); declare expect.time.via")
            }
        }
        guard let bound = expect.offsetMax else { return }
        guard let offset = time.offset else {
            note("time: the clock's offset can't be told (\(time.text)); declare expect.time.via")
            return
        }
        if offset.nanoseconds.magnitude > bound.nanoseconds.magnitude {
            drift(.time, "clock offset", wanted: "at most \(LayoutText.length(bound))", found: LayoutText.offset(offset))
        }
    }

    mutating func compareDrivers() {
        for (name, wanted) in demand.expect.interfaces.sorted(by: { $0.key < $1.key }) {
            guard let interface = topology.interfaces.first(where: { $0.name == name }) else {
                if topology.interfaces.isEmpty, !topology.notes.isEmpty {
                    note("\(name): whether the interface is there can't be read")
                } else {
                    drift(.driver, name, wanted: wanted.driver ?? "an interface of this name", found: "no such interface")
                }
                continue
            }
            if wanted.irqCPUs != nil, !topology.interruptLines.contains(where: { $0.interface == name }) {
                note("\(name): it shows no interrupt lines (is it up?), so where they may be delivered can't be told")
            }
            guard let driver = wanted.driver else { continue }
            if let found = interface.driver {
                if found != driver { drift(.driver, name, wanted: driver, found: found) }
            } else {
                note("\(name): its driver can't be read")
            }
        }
        guard let wanted = demand.expect.onloadVersion else { return }
        guard let found = observation.onloadVersion else {
            note("the version of Onload can't be told: its kernel module is not loaded, or doesn't say")
            return
        }
        if found != wanted { drift(.onload, "Onload", wanted: wanted, found: found) }
    }
}
