package import FleetAPI
import FleetTrust
import FleetWire

/// Everything that is known of one host, or of one service on its hosts.
package enum DetailScreen {
    /// The workers that a subject means, as `service@host`; nil when there is nothing of that name.
    ///
    /// `subject`: a host (whose workers have lines and no pages), a service, or `service@host`.
    package static func workers(_ subject: String, _ status: APIFleetStatus) -> [String]? {
        if status.hosts.contains(where: { $0.host == subject }) { return [] }
        let names = WorkerRow.all(status).filter { $0.service == subject || "\($0.service)@\($0.host)" == subject }.map { "\($0.service)@\($0.host)" }
        return names.isEmpty ? nil : names
    }

    /// `pages`: what the workers' agents said a moment ago, where they were asked.
    ///
    /// Nil when there is nothing of that name.
    package static func lines(
        _ subject: String, _ status: APIFleetStatus, pages: [APIWorkerPage] = [], zone: FleetZone, style: ScreenStyle
    ) -> [String]? {
        let rows = WorkerRow.all(status)
        var lines: [String] = []
        if let host = status.hosts.first(where: { $0.host == subject }) {
            lines = hostLines(host, zone) + rows.filter { $0.host == subject }.flatMap { workerLines($0, host, nil, status, zone) }
        } else {
            let matching = rows.filter { $0.service == subject || "\($0.service)@\($0.host)" == subject }
            guard !matching.isEmpty else { return nil }
            for row in matching {
                guard let host = status.hosts.first(where: { $0.host == row.host }) else { continue }
                if !lines.isEmpty { lines.append("") }
                lines += workerLines(row, host, pages.first { $0.worker == "\(row.service)@\(row.host)" }, status, zone)
            }
        }
        return style.apply(lines.flatMap { $0.isEmpty ? [""] : ScreenText.wrapped($0, width: style.width, indent: "             ") })
    }

    /// `key 3fa819c0d2b47e55`, as people compare the keys of stores.
    package static func keyWords(_ publicText: String) -> String { publicText.isEmpty ? "no key yet" : "key \(StoreKey.fingerprint(publicText))" }

    private static func hostLines(_ host: APIHostStatus, _ zone: FleetZone) -> [String] {
        let facts = host.report.facts
        var lines = ["\(host.host)  \(host.known ? "reporting" : "UNKNOWN"), last word \(host.ever ? ScreenText.age(host.ageNs) : "never")"]
        if !host.whyUnknown.isEmpty { lines.append("  why        \(host.whyUnknown)") }
        if !host.refuses.isEmpty { lines.append("  ORDERS     not taken from here: \(host.refuses)") }
        if host.report.hasPin {
            let pin = host.report.pin
            lines.append(
                "  follows    \(pin.coordinator.isEmpty ? "the first coordinator that comes with" : "coordinator \(pin.coordinator),") store \(pin.storeID), epoch \(pin.epoch) (\(pin.how)\(pin.by.isEmpty ? "" : " by \(pin.by)"))"
            )
            lines.append(
                "  its store  \(keyWords(pin.storeKey))\(pin.storeKey.isEmpty ? ": the first one that it proves is pinned" : ", proved in every session")")
        }
        if host.restricted { lines.append("  session    RESTRICTED: its certificate or the revocation list is out of date") }
        guard host.ever else { return lines }
        lines.append("  agent      \(host.report.agentVersion), journal at \(ScreenText.number(host.report.journalHead.sequence))")
        lines.append("  kernel     \(facts.kernel), \(facts.cpusOnline) CPUs, up \(ScreenText.uptime(facts.upNs))")
        if !facts.kernelCmdline.isEmpty { lines.append("  cmdline    \(facts.kernelCmdline)") }
        lines.append("  memory     \(ScreenText.bytes(facts.memoryAvailable)) free of \(ScreenText.bytes(facts.memoryTotal))")
        if !facts.load.isEmpty { lines.append("  load       \(facts.load.map { ScreenText.fraction($0) }.joined(separator: " "))") }
        for pool in facts.hugepages where pool.total > 0 {
            let place = pool.node < 0 ? "host" : "node \(pool.node)"
            lines.append(
                "  hugepages  \(place) \(ScreenText.bytes(pool.pageBytes)): \(ScreenText.number(pool.total - min(pool.free, pool.total))) used of "
                    + "\(ScreenText.number(pool.total)), \(ScreenText.number(pool.reserved)) promised")
        }
        if facts.hasTime {
            let clock = StatusScreen.clock(facts.time)
            lines.append("  clock      \(clock)\(facts.time.text.isEmpty ? "" : " · \(facts.time.text)")")
        }
        lines.append(
            "  disk       \(ScreenText.bytes(facts.diskFree)) free · certificate or list: \(StatusScreen.validity(facts))")
        lines.append("  layout     \(host.report.drift.isEmpty ? "ok" : "DRIFT \(host.report.drift.count)")")
        for drift in host.report.drift {
            lines.append("    drift    \(DriftText.words(drift))\(drift.sinceUnixUs > 0 ? ", since \(zone.time(drift.sinceUnixUs))" : "")")
        }
        for warning in host.report.warnings { lines.append("  cannot     \(warning)") }
        return lines
    }

    private static func workerLines(_ row: WorkerRow, _ host: APIHostStatus, _ page: APIWorkerPage?, _ status: APIFleetStatus, _ zone: FleetZone) -> [String] {
        var lines = ["\(row.mark) \(row.service)@\(row.host)  \(row.state)  tier \(row.tier.isEmpty ? "?" : row.tier)  age \(row.age)"]
        let reported = host.report.workers.first { $0.service == row.service }
        guard let worker = page?.hasReport == true && host.known ? page?.report : reported else { return lines + ["  \(row.note)"] }
        lines.append("  process    PID \(row.pid)  CPUs \(row.cpus)  up \(row.up)  restarts \(row.restarts)")
        lines.append("  launch     \(worker.launch.isEmpty ? "-" : worker.launch)  generation \(worker.generation)")
        if worker.hasLock { lines.append("  LOCKED     \(mark(worker.lock, zone, status))") }
        if worker.hasRemark { lines.append("  remark     \(mark(worker.remark, zone, status))") }
        if !row.note.isEmpty { lines.append("  note       \(row.note)") }
        if !worker.busy.isEmpty { lines.append("  busy       \(worker.busy)") }
        if !worker.health.isEmpty { lines.append("  health     \(worker.health)") }
        if !worker.status.isEmpty { lines.append("  its words  \"\(worker.status)\"") }
        if worker.hasInFlight { lines.append("  in flight  \(ScreenText.figure(worker.inFlight))") }
        if worker.hasLastExit { lines.append("  last exit  \(CertificateScreen.exit(worker.lastExit))") }
        for (name, figure) in worker.counters.sorted(by: { $0.key < $1.key }) {
            lines.append("  counter    \(name) \(ScreenText.figure(figure))\(figure.known ? "" : ": \(figure.whyUnknown)")")
        }
        if let page { lines += detailLines(page, worker) }
        return lines
    }

    private static func mark(_ mark: WireMark, _ zone: FleetZone, _ status: APIFleetStatus) -> String {
        "by \(mark.person) \(zone.moment(mark.unixUs, now: status.unixUs)): \"\(mark.text)\""
    }

    private static func detailLines(_ page: APIWorkerPage, _ worker: WireWorkerReport) -> [String] {
        var lines: [String] = []
        if page.hasProblem { lines.append("  NOT SEEN   \(page.problem.what)") }
        guard page.hasDetail else { return lines }
        let detail = page.detail
        if !detail.argv.isEmpty { lines.append("  runs       \(detail.argv.joined(separator: " "))") }
        if !detail.cgroup.isEmpty { lines.append("  cgroup     \(detail.cgroup)") }
        if !detail.problem.isEmpty { lines.append("  NOT SEEN   \(detail.problem)") }
        if !detail.threads.isEmpty {
            let name = detail.threads.map(\.name.count).max() ?? 0
            lines.append("  threads    \(detail.threads.count)")
            for thread in detail.threads {
                let cpus = thread.cpus.isEmpty ? "?" : thread.cpus
                lines.append(
                    "    \(ScreenText.right("\(thread.tid)", 7))  \(ScreenText.left(thread.name, name))  CPUs \(ScreenText.left(cpus, 8))  "
                        + "\(ScreenText.left(thread.policy, 12))  on \(thread.lastCpu < 0 ? "?" : "\(thread.lastCpu)")  ran \(ScreenText.took(thread.cpuNs))")
            }
        }
        if detail.connectionCount > 0 || !detail.connections.isEmpty {
            lines.append(
                "  sockets    \(max(Int(detail.connectionCount), detail.connections.count))\(rest(detail.connections.count, Int(detail.connectionCount)))")
            for connection in detail.connections {
                lines.append("    \(connection.`protocol`)  \(connection.local) -> \(connection.remote)  \(connection.state)")
            }
        }
        if detail.openFileCount > 0 {
            lines.append("  open files \(detail.openFileCount)\(rest(detail.openFiles.count, Int(detail.openFileCount)))")
            lines += detail.openFiles.map { "    \($0)" }
        }
        if !detail.events.isEmpty {
            lines.append("  events     the last \(detail.events.count)")
            lines += detail.events.map { "    \($0)" }
        }
        return lines
    }

    private static func rest(_ shown: Int, _ count: Int) -> String { shown < count ? ", the first \(shown)" : "" }
}
