import FleetAPI
import FleetWire

/// One worker's line: declared ones and reported ones alike.
///
/// What its host does not confirm is UNKNOWN, with what it was.
struct WorkerRow: Equatable {
    var mark: String
    var service: String
    var host: String
    var tier: String
    var state: String
    var pid: String
    var cpus: String
    var up: String
    var restarts: String
    var note: String
    var age: String

    /// In the order of hosts as the coordinator lists them, then of services as declared.
    static func all(_ status: APIFleetStatus) -> [WorkerRow] {
        status.hosts.flatMap { host -> [WorkerRow] in
            let reported = host.report.workers
            let silent = host.declared.filter { name in !reported.contains { $0.service == name } }
            return reported.map { row($0, host) } + silent.map { unheard($0, host, tier: host.declaredTiers[$0] ?? "") }
        }
    }

    private static func unheard(_ service: String, _ host: APIHostStatus, tier: String) -> WorkerRow {
        WorkerRow(
            mark: "?", service: service, host: host.host, tier: tier, state: "UNKNOWN", pid: "-", cpus: "-", up: "-", restarts: "-",
            note: host.known ? "declared, not reported" : "not heard of by this coordinator", age: host.ever ? ScreenText.age(host.ageNs) : "never")
    }

    private static func row(_ worker: WireWorkerReport, _ host: APIHostStatus) -> WorkerRow {
        let (mark, word) = worker.state == .running && worker.quiesced ? ("~", "quiesced") : words(worker.state)
        var row = WorkerRow(
            mark: mark, service: worker.service, host: host.host, tier: worker.tier, state: word, pid: worker.pid > 0 ? "\(worker.pid)" : "-",
            cpus: worker.pid > 0 ? (worker.cpus.isEmpty ? "?" : worker.cpus) : "-", up: worker.pid > 0 ? ScreenText.uptime(worker.upNs) : "-",
            restarts: "\(worker.restarts)", note: note(worker, host), age: ScreenText.age(host.ageNs))
        if worker.endedUnwanted || worker.livesUnwanted { row.mark = "!" }
        guard host.known else {
            row.mark = "?"
            row.state = "UNKNOWN"
            let marks = (worker.latched ? ", LATCHED" : "") + (worker.hasLock ? ", LOCKED" : "")
            row.note = (worker.pid > 0 ? "was \(worker.pid), \(word)" : "was \(word)") + marks
            row.pid = "-"
            row.cpus = "-"
            row.up = "-"
            row.restarts = "-"
            return row
        }
        return row
    }

    static func words(_ state: WireWorkerState) -> (mark: String, word: String) {
        switch state {
        case .running: ("✓", "running")
        case .stopped: ("-", "stopped")
        case .starting: ("~", "starting")
        case .stopping: ("~", "stopping")
        case .backoff: ("!", "BACKOFF")
        case .dumping: ("!", "DUMPING CORE")
        case .held: ("!", "HELD")
        case .failed: ("!", "FAILED")
        case .workerUnknown, .UNRECOGNIZED: ("?", "UNKNOWN")
        }
    }

    /// The gravest first, for the column is cut at its right.
    private static func note(_ worker: WireWorkerReport, _ host: APIHostStatus) -> String {
        var parts: [String] = []
        func age(since boottime: UInt64) -> String {
            let then = host.report.boottimeNs > boottime ? host.report.boottimeNs - boottime : 0
            return ScreenText.age(then.addingReportingOverflow(host.ageNs).partialValue)
        }
        let wanted = worker.wantedWords(reportAge: host.ageNs, boottimeNs: host.report.boottimeNs, age: ScreenText.age)
        if worker.endedUnwanted { parts.append("ENDED BY ITSELF \(age(since: worker.sinceBoottimeNs)) ago, started \(wanted)") }
        if worker.livesUnwanted { parts.append("RUNS, was stopped \(wanted)") }
        if worker.latched { parts.append("LATCHED") }
        if worker.hasLock { parts.append("LOCKED") }
        if worker.state == .dumping, worker.dumpedBytes > 0 { parts.append("\(ScreenText.bytes(worker.dumpedBytes)) of core written") }
        if !["", "ok"].contains(worker.health) { parts.append(worker.health) }
        if [.starting, .stopping, .dumping, .held, .backoff, .failed].contains(worker.state) { parts.append("for \(age(since: worker.sinceBoottimeNs))") }
        if worker.quiesced, worker.state != .running { parts.append("quiesced") }
        parts += worker.gates.map { gate in
            "\(gate.name.split(separator: "-").joined(separator: " ")) \(gate.value.isEmpty ? "can't be read" : gate.value)"
        }
        if !worker.note.isEmpty { parts.append(worker.note) }
        if !worker.busy.isEmpty { parts.append(worker.busy) }
        if worker.pid == 0, worker.hasLastExit, CertificateScreen.isNews(worker.lastExit) {
            parts.append("last: \(CertificateScreen.exit(worker.lastExit))")
        }
        if worker.state == .stopped, !worker.endedUnwanted, !wanted.isEmpty { parts.append("stopped \(wanted)") }
        if worker.hasRemark { parts.append("note: \(worker.remark.text)") }
        if worker.pid > 0, worker.hasInFlight, worker.inFlight.known { parts.append("in flight \(ScreenText.number(worker.inFlight.value))") }
        if worker.pid > 0, !worker.status.isEmpty, !worker.status.hasPrefix("in flight") { parts.append(worker.status) }
        return parts.joined(separator: ", ")
    }
}
