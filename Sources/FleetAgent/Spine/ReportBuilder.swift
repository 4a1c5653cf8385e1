internal import FleetCore
internal import FleetWire
internal import LinuxHost

/// Puts this host's workers into words for the wire.
enum ReportBuilder {
    static func word(_ phase: WorkerMachine.Phase) -> String {
        switch phase {
        case .stopped: "stopped"
        case .launching: "launching"
        case .starting: "starting"
        case .running: "running"
        case .stopping: "stopping"
        case .dumping: "dumping"
        case .held: "held"
        case .killing: "killing"
        case .verifying: "verifying"
        case .backoff: "backoff"
        case .failed: "failed"
        }
    }

    static func state(_ phase: WorkerMachine.Phase) -> WireWorkerState {
        switch phase {
        case .stopped: .stopped
        case .launching, .starting: .starting
        case .running: .running
        case .stopping, .killing, .verifying: .stopping
        case .dumping: .dumping
        case .held: .held
        case .backoff: .backoff
        case .failed: .failed
        }
    }

    /// Of one text of a worker in a report, in UTF-8; what it said whole stands in the journal and in its log.
    static let textBytesMax = 512

    static func worker(_ shell: WorkerShell, now: BootTime) -> WireWorkerReport {
        let machine = shell.machine
        var report = WireWorkerReport()
        report.service = shell.service
        report.tier = shell.declaration.tier.raw
        report.state = state(machine.phase)
        report.pid = machine.pid ?? 0
        report.cpus = machine.pid == nil ? "" : shell.affinity
        if machine.pid != nil, let startedAt = shell.startedAt { report.upNs = UInt64(clamping: (now - startedAt).nanoseconds) }
        report.restarts = UInt32(clamping: machine.restarts)
        report.status = Cleaned.cut(shell.status, bytesMax: textBytesMax)
        report.generation = machine.generation
        report.launch = machine.launch?.raw ?? ""
        report.quiesced = machine.quiesced
        if let exit = machine.lastExit { report.lastExit = WireExit(exit) }
        report.counters = counters(shell)
        let facts = facts(of: shell)
        let gates = machine.pid == nil ? [] : gates(shell, now)
        let isRemoved = shell.lost != nil || facts?.isDirectoryRemoved == true
        shell.conditions.note(
            Set(gates.filter(\.value.isEmpty).map(Self.condition) + (isRemoved ? ["removed"] : []) + (facts?.isHalted == true ? ["halted"] : [])), at: now)
        report.gates = gates.map { gate in
            var gate = gate
            if gate.value.isEmpty { gate.whyUnknown += shell.conditions.words(Self.condition(gate), at: now) }
            return gate
        }
        if let facts {
            if let count = facts.openFiles { report.openFiles = count }
            if let count = facts.connections { report.connections = count }
        }
        if let slot = machine.slot { report.busy = "\(slot.verb), by \(slot.by)" }
        report.note = Cleaned.cut(note(shell), bytesMax: textBytesMax)
        report.sinceBoottimeNs = machine.since.nanoseconds
        report.latched = machine.latch != nil
        report.emergencyKilled = shell.declaration.spec.emergencyKilled
        report.lastLaunch = WireLaunchMark(machine.history.mark)
        if !shell.declaration.counters.isEmpty {
            report.recent = launches(shell)
            report.recent.launches = report.recent.launches.suffix(LaunchHistory.recent)
        }
        if let wanted = machine.wanted {
            report.wanted.up = wanted.isUp
            report.wanted.by = Cleaned.cut(wanted.by, bytesMax: 128)
            report.wanted.reason = Cleaned.cut(wanted.reason, bytesMax: textBytesMax)
            report.wanted.sinceBoottimeNs = wanted.since.nanoseconds
        }
        if let lock = machine.lock { report.lock = WireMark(lock) }
        if let remark = machine.remark { report.remark = WireMark(remark) }
        if isRemoved {
            let shim = shell.lost == nil ? "its shim holds it and stops it as ever, but how it ends" : "its shim can't be reached, how it ends"
            let age = shell.conditions.words("removed", at: now)
            report.health = "RUN DIRECTORY REMOVED: \(shim) will not be known. Restart it when you can\(age.isEmpty ? "" : " (removed\(age))")"
        } else if let strayed = machine.strayed {
            report.health = "IN DOUBT: \(Verification.doubt(strayed).text)"
            // What nobody declares may be started elsewhere: it counts as what may run.
            if machine.launch == nil, !shell.isDeclared { report.state = .workerUnknown }
        } else {
            report.health =
                facts?.isHalted == true ? "STOPPED BY A SIGNAL (T)\(shell.conditions.words("halted", at: now))" : machine.health(now: now)
        }
        if case .dumping = machine.phase { report.dumpedBytes = machine.dumpedBytes }
        if let inFlight = figure(shell, "X_INFLIGHT") { report.inFlight = inFlight }
        return report
    }

    private static func condition(_ gate: WireGateReport) -> String { "gate \(gate.owner)/\(gate.name)" }

    /// How long a gate's value is good for: it is asked every second.
    private static let gateAgeMax: Duration = .seconds(10)

    private static func gates(_ shell: WorkerShell, _ now: BootTime) -> [WireGateReport] {
        shell.gateReports.sorted { ($0.owner, $0.name) < ($1.owner, $1.name) }.map { report in
            let age = now - BootTime(nanoseconds: report.atBoottimeNs)
            guard age > gateAgeMax, !report.value.isEmpty else { return report }
            var old = report
            old.whyUnknown = "it has not answered for \(age.words), and said \(report.value) then"
            old.value = ""
            old.holds = false
            return old
        }
    }

    /// What a worker has said under a key; nil: it never did.
    private static func figure(_ shell: WorkerShell, _ key: String) -> WireFigure? {
        let live = shell.notified[key]
        // What a launch that is over said is no word of the one that runs.
        let isDown = shell.machine.launch == nil || shell.machine.launch == shell.machine.lastLaunch
        guard let text = live ?? (isDown ? shell.machine.lastExit?.notified[key] : nil) else { return nil }
        var figure = WireFigure()
        figure.atBoottimeNs = (live != nil ? shell.notifiedAt[key] : shell.machine.lastExit?.at)?.nanoseconds ?? 0
        switch Bounded.count(text) {
        case .success(let value):
            figure.known = true
            figure.value = value
            figure.evidence = .reported
        case .failure(let fault): figure.whyUnknown = "\(key): \(fault)"
        }
        return figure
    }

    /// What a ledger that spans restarts must know of every launch.
    static func launches(_ shell: WorkerShell) -> WireLaunchHistory {
        let keys = Set(shell.declaration.counters.compactMap { if case .notify(let key) = $0.how { key } else { nil } })
        var history = WireLaunchHistory()
        history.journal = shell.machine.history.journal
        history.launches = shell.machine.history.launches.map { WireLaunchAccount($0, keeping: keys) }
        return history
    }

    /// Every declared counter: what the worker says, or last said, with the time of its word; else why it is unknown.
    static func counters(_ shell: WorkerShell) -> [String: WireFigure] {
        var figures: [String: WireFigure] = [:]
        for counter in shell.declaration.counters {
            switch counter.how {
            case .http:
                figures[counter.name] = shell.httpFigures[counter.name] ?? GateReading.unknown("not read yet", at: Clock.boottime())
            case .notify(let key):
                var figure = figure(shell, key) ?? WireFigure()
                if figure.whyUnknown.isEmpty, !figure.known { figure.whyUnknown = "\(shell.service) has not said \(key)" }
                figures[counter.name] = figure
            }
        }
        return figures
    }

    /// What was last looked at of the process that it is now; nil: not looked at yet.
    static func facts(of shell: WorkerShell) -> WorkerFacts? {
        shell.agent.prober.workers[shell.service].flatMap { $0.pid == shell.machine.pid ? $0 : nil }
    }

    private static func note(_ shell: WorkerShell) -> String {
        var notes: [String] = []
        if let log = facts(of: shell)?.removedLog { notes.append(WorkerFacts.words(removedLog: log, of: "it")) }
        if shell.machine.reloading { notes.append("reloading") }
        if let text = shell.notified["ERRNO"], let number = Int32(text), number > 0 { notes.append("said ERRNO=\(number) (\(LinuxError.text(number)))") }
        notes += shell.warnings
        if !shell.isDeclared { notes.append("no longer in this host's inventory; left running") }
        switch shell.machine.phase {
        case .failed(let why): notes.append(why)
        case .held: notes.append(shell.declaration.spec.holdNote)
        case .backoff(let until): notes.append("restarts in \(max(.zero, until - Clock.boottime()).words)")
        default: break
        }
        return notes.filter { !$0.isEmpty }.joined(separator: "; ")
    }

    static func facts(
        _ facts: HostFacts, validity: (certificate: Expiry, list: Expiry?)?, peers: [(identity: String, left: Expiry)], at now: BootTime
    ) -> WireHostFacts {
        var wire = WireHostFacts()
        wire.peers = peers.map { peer in
            var validity = WirePeerValidity()
            validity.identity = peer.identity
            validity.daysLeft = peer.left.daysLeft
            return validity
        }
        wire.memoryTotal = facts.memoryTotal ?? 0
        wire.memoryAvailable = facts.memoryAvailable ?? 0
        wire.hugepages = facts.hugepages.map { pool in
            var out = WireHugepagePool()
            out.node = Int32(clamping: pool.node ?? -1)
            out.pageBytes = pool.pageBytes
            out.total = pool.total
            out.free = pool.free
            out.reserved = pool.reserved ?? 0
            return out
        }
        wire.load = facts.load.filter { $0.isFinite && $0 >= 0 }
        wire.diskFree = facts.diskFree ?? 0
        wire.kernel = facts.kernel ?? ""
        wire.cpusOnline = UInt32(clamping: facts.cpusOnline?.cpus.count ?? 0)
        wire.upNs = UInt64(clamping: (facts.uptime ?? .zero).nanoseconds)
        if let validity {
            wire.validityKnown = true
            wire.certificateDaysLeft = validity.certificate.daysLeft
            if let list = validity.list { wire.listDaysLeft = list.daysLeft }
        }
        wire.kernelCmdline = facts.commandLine ?? ""
        if let time = facts.time { wire.time = WireTimeState(time, at: now) }
        return wire
    }
}

extension WireMark {
    init(_ mark: Mark) {
        self.init()
        by = mark.by
        text = mark.text
        unixUs = mark.unixMicroseconds
    }
}
