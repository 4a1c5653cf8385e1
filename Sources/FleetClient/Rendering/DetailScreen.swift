package import FleetAPI
import FleetWire

/// Everything that is known of one host, or of one service on its hosts.
package enum DetailScreen {
    /// `subject`: a host, a service, or `service@host`.
    ///
    /// Nil when there is nothing of that name.
    package static func lines(_ subject: String, _ status: APIFleetStatus, zone: FleetZone, style: ScreenStyle) -> [String]? {
        let rows = WorkerRow.all(status)
        if let host = status.hosts.first(where: { $0.host == subject }) {
            let lines = hostLines(host, status) + rows.filter { $0.host == subject }.flatMap { workerLines($0, host) }
            return style.apply(lines.flatMap { ScreenText.wrapped($0, width: style.width, indent: "             ") })
        }
        let matching = rows.filter { $0.service == subject || "\($0.service)@\($0.host)" == subject }
        guard !matching.isEmpty else { return nil }
        let lines = matching.flatMap { row in
            status.hosts.filter { $0.host == row.host }.flatMap { workerLines(row, $0) }
        }
        return style.apply(lines.flatMap { ScreenText.wrapped($0, width: style.width, indent: "             ") })
    }

    private static func hostLines(_ host: APIHostStatus, _ status: APIFleetStatus) -> [String] {
        let facts = host.report.facts
        var lines = ["\(host.host)  \(host.known ? "reporting" : "UNKNOWN"), last word \(host.ever ? ScreenText.age(host.ageNs) : "never")"]
        if !host.whyUnknown.isEmpty { lines.append("  why        \(host.whyUnknown)") }
        if host.restricted { lines.append("  session    RESTRICTED: its certificate or the revocation list is out of date") }
        guard host.ever else { return lines }
        lines.append("  agent      \(host.report.agentVersion), journal at \(ScreenText.number(host.report.journalHead.sequence))")
        lines.append("  kernel     \(facts.kernel), \(facts.cpusOnline) CPUs, up \(ScreenText.uptime(facts.upNs))")
        lines.append("  memory     \(ScreenText.bytes(facts.memoryAvailable)) free of \(ScreenText.bytes(facts.memoryTotal))")
        for pool in facts.hugepages where pool.total > 0 {
            let place = pool.node < 0 ? "host" : "node \(pool.node)"
            lines.append(
                "  hugepages  \(place) \(ScreenText.bytes(pool.pageBytes)): \(ScreenText.number(pool.total - min(pool.free, pool.total))) used of "
                    + "\(ScreenText.number(pool.total)), \(ScreenText.number(pool.reserved)) reserved")
        }
        lines.append("  disk       \(ScreenText.bytes(facts.diskFree)) free · certificate \(facts.certificateDaysLeft) d left")
        for warning in host.report.warnings { lines.append("  cannot     \(warning)") }
        return lines
    }

    private static func workerLines(_ row: WorkerRow, _ host: APIHostStatus) -> [String] {
        var lines = ["\(row.mark) \(row.service)@\(row.host)  \(row.state)  tier \(row.tier.isEmpty ? "?" : row.tier)  age \(row.age)"]
        guard let worker = host.report.workers.first(where: { $0.service == row.service }) else { return lines + ["  \(row.note)"] }
        lines.append("  process    PID \(row.pid)  CPUs \(row.cpus)  up \(row.up)  restarts \(row.restarts)")
        lines.append("  launch     \(worker.launch.isEmpty ? "-" : worker.launch)  generation \(worker.generation)")
        if !row.note.isEmpty { lines.append("  note       \(row.note)") }
        if !worker.status.isEmpty { lines.append("  its words  \"\(worker.status)\"") }
        if worker.hasLastExit { lines.append("  last exit  \(CertificateScreen.exit(worker.lastExit))") }
        for (name, figure) in worker.counters.sorted(by: { $0.key < $1.key }) {
            lines.append("  counter    \(name) \(ScreenText.figure(figure))\(figure.known ? "" : ": \(figure.whyUnknown)")")
        }
        return lines
    }
}
