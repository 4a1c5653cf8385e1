package import FleetAPI
import FleetCore
import FleetWire

/// The fleet on one page: what needs a person first, then dependencies, workers by tier, streams, hosts, each line with its age.
package enum StatusScreen {
    /// The same word in the header's counts, the exit code and the last line.
    package enum Condition: Int32, Equatable, Sendable {
        case asWanted = 0
        case needsAPerson = 3
        case unknown = 4
    }

    package static func condition(_ status: APIFleetStatus) -> Condition {
        let rows = WorkerRow.all(status)
        let unknown =
            status.hosts.contains { !$0.known } || rows.contains { $0.state == "UNKNOWN" } || status.dependencies.contains { !$0.known }
            || status.streams.contains { $0.balance.hasPrefix("UNKNOWN") }
        if unknown { return .unknown }
        let needs =
            // Two spaces in front: a person should know of it, and nothing waits for them. What a host lacks or has drifted from does.
            status.needsAPerson.contains { !$0.hasPrefix("  ") }
            || status.hosts.contains { !$0.report.drift.isEmpty || !$0.report.warnings.isEmpty } || !status.latches.isEmpty
            || status.activeRuns.contains { $0.state == .blocked }
            || rows.contains { $0.mark == "!" } || status.streams.contains { $0.balance.hasPrefix("SHORT") }
            || status.dependencies.contains { !$0.report.answering }
        return needs ? .needsAPerson : .asWanted
    }

    package static func lines(_ status: APIFleetStatus, zone: FleetZone, style: ScreenStyle) -> [String] {
        let rows = WorkerRow.all(status)
        var lines = header(status, rows, zone)
        section(needs(status, zone, style), &lines)
        section(dependencies(status, style), &lines)
        section(workers(rows, status.tiers, style), &lines)
        section(streams(status, style), &lines)
        section(hosts(status, style), &lines)
        lines.append("exit \(condition(status).rawValue) (0 as wanted · 3 needs a person · 4 something is unknown)")
        return style.apply(lines)
    }

    private static func section(_ part: [String], _ lines: inout [String]) {
        guard !part.isEmpty else { return }
        lines += part + [""]
    }

    // MARK: Header

    private static func header(_ status: APIFleetStatus, _ rows: [WorkerRow], _ zone: FleetZone) -> [String] {
        var first = "\(status.fleet) · \(zone.time(status.unixUs)) \(zone.city)"
        if !status.coordinator.isEmpty { first += " · \(status.coordinator)" }
        if !status.inventoryDigest.isEmpty { first += " · inventory \(ScreenText.digest(status.inventoryDigest))" }
        let known = status.hosts.filter(\.known).count
        let silent = status.hosts.count - known
        var second = "hosts \(known) of \(status.hosts.count) reporting\(silent > 0 ? ", \(silent) UNKNOWN" : "") · workers \(rows.count): "
        var counts: [(String, Int)] = []
        for row in rows {
            let word = row.state == "ACTIVE" ? "running" : row.state
            if let index = counts.firstIndex(where: { $0.0 == word }) { counts[index].1 += 1 } else { counts.append((word, 1)) }
        }
        second += counts.isEmpty ? "none" : counts.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
        return [first, second, ""]
    }

    private static func needs(_ status: APIFleetStatus, _ zone: FleetZone, _ style: ScreenStyle) -> [String] {
        var lines: [String] = []
        // One entry is one statement: a line break inside it is somebody's words, which must not begin a line of ours.
        func add(_ text: String) {
            // Two spaces in front: a person should know of it, and nothing waits for them.
            let isMarked = text.hasPrefix("! ") || text.hasPrefix("  ")
            lines += ScreenText.wrapped((isMarked ? "" : "! ") + Cleaned.text(text), width: style.width, indent: "    ")
        }
        for latch in status.latches where !status.needsAPerson.contains(where: { $0.contains(latch.id) }) {
            add("emergency stop \(latch.id) in force since \(zone.time(latch.unixUs)), by \(latch.by): \"\(latch.reason)\"")
        }
        for run in status.activeRuns {
            if run.state == .blocked, !status.needsAPerson.contains(where: { $0.contains("run \(run.id)") }) {
                BlockText.lines(run.blocked, run: run.id, width: style.width - 2).prefix(1).forEach(add)
            }
        }
        status.needsAPerson.forEach(add)
        var head = lines.isEmpty ? [] : ["NEEDS A PERSON"] + lines
        for run in status.activeRuns where run.state == .active {
            let step = run.steps.first { $0.state == "active" }.map { ", step \($0.number) \($0.label)" } ?? ""
            head.append("  run \(run.id) \(run.kind) goes on since \(zone.time(run.beganUnixUs))\(step), by \(run.origin): \"\(run.reason)\"")
        }
        return head
    }

    // MARK: Dependencies

    private static func dependencies(_ status: APIFleetStatus, _ style: ScreenStyle) -> [String] {
        guard !status.dependencies.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "SERVICES", kept: true, name: true), .init(title: "HOST", kept: true, name: true), .init(title: "PID"), .init(title: "CPUS"),
            .init(title: "(watched, never stopped by us)", kept: true, flexible: true), .init(title: "AGE", right: true, kept: true),
        ])
        for dependency in status.dependencies {
            let report = dependency.report
            let mark = !dependency.known ? "?" : report.answering ? "✓" : "!"
            let word = !dependency.known ? "UNKNOWN" : report.answering ? "" : "NOT ANSWERING"
            table.add([
                "\(mark) \(dependency.name)", dependency.host, report.pid > 0 ? "\(report.pid)" : "-", report.cpus.isEmpty ? "-" : report.cpus,
                [word, report.text].filter { !$0.isEmpty }.joined(separator: " "), ScreenText.age(dependency.ageNs),
            ])
        }
        return table.render(width: style.width)
    }

    // MARK: Workers

    private static func workers(_ rows: [WorkerRow], _ tiers: [String], _ style: ScreenStyle) -> [String] {
        guard !rows.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "WORKERS", kept: true, name: true), .init(title: "HOST", kept: true, name: true), .init(title: "STATE", kept: true),
            .init(title: "PID"), .init(title: "CPUS"), .init(title: "UP", right: true), .init(title: "RST", right: true),
            .init(title: "NOTE", flexible: true), .init(title: "AGE", right: true, kept: true),
        ])
        let order = tiers + Set(rows.map(\.tier)).subtracting(tiers).sorted()
        for tier in order {
            let members = rows.filter { $0.tier == tier }
            if members.isEmpty { continue }
            table.add(heading: tier.isEmpty ? "(tier not known)" : tier)
            for row in members {
                table.add(["\(row.mark) \(row.service)", row.host, row.state, row.pid, row.cpus, row.up, row.restarts, row.note, row.age])
            }
        }
        return table.render(width: style.width)
    }

    // MARK: Streams

    private static func streams(_ status: APIFleetStatus, _ style: ScreenStyle) -> [String] {
        guard !status.streams.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "STREAMS", kept: true, name: true), .init(title: "PRODUCED", right: true), .init(title: "APPLIED", right: true),
            .init(title: "IN FLIGHT", right: true), .init(title: "BUFFERED", right: true), .init(title: "BALANCE", kept: true),
            .init(title: "AGE", right: true, kept: true),
        ])
        var before = ""
        for stream in status.streams {
            let name = stream.stream == before ? String(repeating: " ", count: stream.stream.count) : stream.stream
            before = stream.stream
            table.add([
                "\(name) -> \(stream.consumer)", ScreenText.figure(stream.produced), ScreenText.figure(stream.applied),
                ScreenText.figure(stream.inFlight), ScreenText.figure(stream.buffered), stream.balance, ScreenText.age(stream.ageNs),
            ])
        }
        return table.render(width: style.width) + status.streams.compactMap(why).flatMap { ScreenText.wrapped($0, width: style.width, indent: "    ") }
    }

    /// What a `?` in a stream's line is for; nil: there is none, or nobody has said.
    private static func why(_ stream: APIStreamStatus) -> String? {
        let figures = [stream.produced, stream.applied, stream.inFlight, stream.buffered]
        let why = figures.first { !$0.known && !$0.whyUnknown.isEmpty }?.whyUnknown
        return why.map { "? \(stream.stream) -> \(stream.consumer): \($0)" }
    }

    // MARK: Hosts

    private static func hosts(_ status: APIFleetStatus, _ style: ScreenStyle) -> [String] {
        guard !status.hosts.isEmpty else { return [] }
        var table = ScreenTable([
            .init(title: "HOSTS", kept: true, name: true), .init(title: "AGENT"), .init(title: "WORD", right: true, kept: true),
            .init(title: "LAYOUT", kept: true), .init(title: "HUGEPAGES used/reserved", flexible: true), .init(title: "CLOCK"),
            .init(title: "DISK FREE", right: true), .init(title: "CERT", right: true), .init(title: "BOOT", right: true),
        ])
        for host in status.hosts {
            let facts = host.report.facts
            let age = host.ever ? ScreenText.age(host.ageNs) : "never"
            guard host.known else {
                table.add([host.host, host.report.agentVersion.isEmpty ? "-" : host.report.agentVersion, age, "UNKNOWN", "-", "-", "-", "-", "-"])
                continue
            }
            table.add([
                host.host, host.report.agentVersion, age, layout(host), hugepages(facts), clock(facts.time),
                facts.kernel.isEmpty ? "?" : ScreenText.bytes(facts.diskFree),
                validity(facts), ScreenText.uptime(facts.upNs),
            ])
        }
        return table.render(width: style.width)
    }

    /// The days of what ends first: `211 d`, `list 12 d`, `PAST`; `?` where its agent has not said it.
    static func validity(_ facts: WireHostFacts) -> String {
        guard facts.validityKnown else { return facts.certificateDaysLeft == 0 ? "?" : "\(facts.certificateDaysLeft) d" }
        let list = facts.hasListDaysLeft ? facts.listDaysLeft : facts.certificateDaysLeft
        let left = min(facts.certificateDaysLeft, list)
        let what = list < facts.certificateDaysLeft ? "list " : ""
        return left < 0 ? "\(what)PAST" : "\(what)\(left) d"
    }

    private static func layout(_ host: APIHostStatus) -> String {
        if host.restricted { return "RESTRICTED" }
        return host.report.drift.isEmpty ? "ok" : "DRIFT \(host.report.drift.count)"
    }

    /// `ptp +0.04 us`; `NOT SYNCED` before anything else is said of it.
    static func clock(_ time: WireTimeState) -> String {
        guard time.known else { return "?" }
        let source = time.source.isEmpty ? "kernel" : time.source
        guard time.synchronised else { return "NOT SYNCED" }
        return time.offsetKnown ? "\(source) \(offset(time.offsetNs))" : source
    }

    /// With its sign, in the unit that leaves most of it in front of the point.
    static func offset(_ nanoseconds: Int64) -> String {
        let sign = nanoseconds < 0 ? "-" : "+"
        let size = nanoseconds.magnitude
        let (unit, word): (UInt64, String) = size < 1_000_000 ? (1_000, "us") : size < 1_000_000_000 ? (1_000_000, "ms") : (1_000_000_000, "s")
        let hundredths = (size + unit / 200) / (unit / 100)
        return "\(sign)\(hundredths / 100).\(ScreenText.two(hundredths % 100)) \(word)"
    }

    /// Per page size, all nodes together: `1G 4/8 2M 0/2,048`.
    ///
    /// A whole-host line is used only where there is no node's.
    static func hugepages(_ facts: WireHostFacts) -> String { hugepages(facts.hugepages) }

    /// `placed`: the pools of one node, whatever node they name.
    static func hugepages(_ all: [WireHugepagePool], placed: Bool = false) -> String {
        var parts: [String] = []
        for size in Set(all.map(\.pageBytes)).sorted(by: >) {
            let pools = all.filter { $0.pageBytes == size }
            let nodes = pools.filter { $0.node >= 0 }
            let counted = nodes.isEmpty ? pools : nodes
            let total = counted.reduce(0) { $0 + $1.total }
            let free = counted.reduce(0) { $0 + $1.free }
            if total == 0 { continue }
            let name = size >= 1 << 30 ? "\(size >> 30)G" : size >= 1 << 20 ? "\(size >> 20)M" : "\(size >> 10)K"
            parts.append("\(name) \(ScreenText.number(total - min(free, total)))/\(ScreenText.number(total))")
        }
        return parts.isEmpty ? "none" : parts.joined(separator: " ")
    }
}
