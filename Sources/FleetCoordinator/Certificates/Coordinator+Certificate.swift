internal import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import Logging
internal import NIOCore
internal import NIOPosix

/// The stop certificate: what a stop has shown, as a file that is signed, and a record that binds it.
extension Coordinator {
    func certify(run id: UInt64, _ machine: RunMachine) {
        var machine = machine
        let fleet = observed()
        // A restart launches them itself.
        let relaunched = machine.plan.kind == .stop ? fleet.launchedSince(machine.evidence.launches, in: machine.plan) : []
        var contested = fleet.contested
        for host in machine.witnesses where hosts[host]?.watch.isUndecided == true {
            contested[host] = "an older session of it had not answered when the certificate was made"
        }
        machine.conclude(
            unseen: fleet.unseen(after: machine.plan, in: inventory) + relaunched + fleet.otherParts(of: machine.plan.covered), contested: contested,
            settled: settledByPersons, moved: attestedGone(of: machine.plan), ranUnder: ranUnder(machine.plan.covered))
        let ledger = Ledger(inventory: inventory, book: machine.book, evidence: machine.evidence)
        let lines = ledger.lines(of: machine.plan)
        let coverage = StopCoverage(plan: machine.plan, inventory: inventory, evidence: machine.evidence, ledger: lines, ending: machine.ending)
        let verdict = StopVerdict(coverage)
        var certificate = APICertificate()
        certificate.run = id
        certificate.fleet = inventory.fleet.raw
        certificate.reason = machine.reason
        certificate.origin = machine.by
        certificate.planDigest = Self.digest(of: machine.plan)
        certificate.inventoryDigest = inventory.digest
        certificate.beganUnixUs = machine.began?.unixMicroseconds ?? 0
        certificate.endedUnixUs = machine.ended?.unixMicroseconds ?? 0
        certificate.verdict = verdict.verdict.rawValue
        certificate.because = verdict.because
        certificate.order = Self.order(machine.evidence)
        certificate.ledger = lines.map(Self.line)
        certificate.covers = coverage.items.map { item in
            var covered = APICovered()
            covered.what = item.what.rawValue
            covered.subject = item.subject
            covered.evidence = item.evidence.rawValue
            covered.unixUs = item.unixMicroseconds
            covered.verdict = item.verdict.rawValue
            covered.text = item.text
            return covered
        }
        certificate.overrides = machine.evidence.overrides
        certificate.notes = machine.plan.notes
        certificate.notCovered = machine.plan.notCovered
        certificate.workers = machine.plan.covered.map { proof($0, machine, run: id) }
        certificate.signedBy = "coordinator/\(settings.name)"
        Self.count(&certificate)
        certificate.attested += UInt32(machine.evidence.settledHosts.count)
        // Once a whole stop has said it, it is said.
        let plan = machine.plan
        let isWhole = plan.isOfEverything && plan.excluded.isEmpty && plan.excludedHosts.isEmpty && machine.ending == nil
        let named = isWhole ? machine.evidence.settledHosts : [:]
        keep(certificate, settling: lines.filter { $0.verdict == .proven }.map { ($0.stream, $0.consumer, ledger.cut(of: $0)) }, naming: named, run: id)
    }

    private func ranUnder(_ workers: [WorkerName]) -> [WorkerName: String] {
        Dictionary(workers.compactMap { worker in openLaunches.ranUnder(worker).map { (worker, $0) } }) { first, _ in first }
    }

    /// Hosts of which a person has attested that one of the plan's services is gone there: the inventory has moved it since.
    private func attestedGone(of plan: Plan) -> Set<HostName> {
        let services = Set(plan.covered.map(\.service))
        return Set(settledByPersons.keys.filter { !openLaunches.attestedGone(on: $0).isDisjoint(with: services) })
    }

    private static func order(_ evidence: RunEvidence) -> [APITierProof] {
        let marks = evidence.marks.map { mark in
            var proof = APITierProof()
            proof.label = mark.label
            proof.beganUnixUs = mark.began?.unixMicroseconds ?? 0
            proof.provenUnixUs = mark.ended.unixMicroseconds
            proof.what = mark.what
            proof.proven = mark.proven
            return proof
        }
        let tiers = evidence.tierOrder.map { tier in
            var proof = APITierProof()
            proof.label = tier.name.raw
            proof.beganUnixUs = tier.began.unixMicroseconds
            proof.provenUnixUs = tier.ended?.unixMicroseconds ?? 0
            let stops = (evidence.stopsInTier[tier.name] ?? []).compactMap { evidence.stops[$0] }
            let exits = Set(stops.map { $0.exit?.words ?? ($0.attested ? "attested off" : "not running") }).sorted().joined(separator: ", ")
            let left = stops.contains(where: \.leavesAnything)
            let empty = stops.allSatisfy { $0.treeEmpty && !$0.attested }
            proof.what =
                "\(stops.count) worker\(stops.count == 1 ? "" : "s"), \(exits), process trees \(empty ? "empty (measured)" : "not shown empty")"
                + (left ? ", something left behind" : "")
            proof.proven = tier.proven
            return proof
        }
        return (marks + tiers).sorted { $0.beganUnixUs < $1.beganUnixUs }
    }

    private static func line(_ line: LedgerLine) -> APILedgerLine {
        var api = APILedgerLine()
        api.stream = line.stream.raw
        api.consumer = line.consumer.raw
        api.policy = line.policy.rawValue
        api.produced = WireFigure(line.produced)
        api.applied = WireFigure(line.applied)
        api.inFlight = WireFigure(line.inFlight)
        api.buffered = WireFigure(line.buffered)
        api.discarded = WireFigure(line.discarded)
        api.differenceKnown = line.difference != nil
        if let difference = line.difference { api.difference = difference }
        api.verdict = line.verdict.rawValue
        api.note = line.note
        api.carried = line.carried
        return api
    }

    private func proof(_ worker: WorkerName, _ machine: RunMachine, run id: UInt64) -> APIWorkerProof {
        var proof = APIWorkerProof()
        proof.worker = worker.description
        proof.host = worker.host.raw
        proof.tier = inventory.service(worker.service)?.tier.raw ?? ""
        proof.held = machine.evidence.held.contains(worker)
        if machine.plan.stoppedBefore.contains(worker) {
            proof.before = true
            proof.treeEmpty = machine.evidence.looks[worker]?.treeEmpty ?? false
        }
        if let stop = machine.evidence.stops[worker] {
            proof.treeEmpty = stop.treeEmpty
            proof.killed = stop.killed
            proof.signalledUnixUs = stop.signalledUnixMicroseconds
            proof.goneUnixUs = stop.goneUnixMicroseconds
            if let exit = stop.exit {
                proof.exit.known = exit.how != .unknown
                switch exit.how {
                case .exited(let code): proof.exit.code = code
                case .signalled(let number, let core):
                    proof.exit.signalled = true
                    proof.exit.code = number
                    proof.exit.core = core
                case .unknown: break
                }
                proof.exit.notified = exit.notified
                proof.exit.saidStopping = exit.saidStopping
                if let tree = exit.tree { proof.exit.tree = WireTreeEnd(tree) }
            }
            proof.checks = stop.checks.map { check in
                var wire = WireCheck()
                wire.what = check.what.rawValue
                wire.text = check.text
                wire.evidence = check.what == .marker ? .reported : .measured
                switch check.state {
                case .clear: wire.state = .clear
                case .left: wire.state = .left
                case .unknown:
                    wire.state = .checkUnknown
                    wire.evidence = .unknown
                case .unchecked:
                    wire.state = .unchecked
                    wire.evidence = .unknown
                }
                return wire
            }
            proof.records = stop.citations.map { citation in
                let parts = citation.split(separator: ":")
                var record = WireRecordCitation()
                record.sequence = parts.count > 1 ? UInt64(parts[1]) ?? 0 : 0
                record.hash = parts.count > 2 ? String(parts[2]) : ""
                return record
            }
        }
        if let snapshot = runs[id]?.snapshots[worker.description] { proof.snapshot = snapshot }
        return proof
    }

    private static func count(_ certificate: inout APICertificate) {
        let figures = certificate.ledger.flatMap { [$0.produced, $0.applied, $0.inFlight, $0.buffered, $0.discarded] }
        // The tree stands for itself; what nothing was declared for is no evidence of anything.
        let checks = certificate.workers.flatMap(\.checks).filter { $0.what != "tree" && $0.state != .unchecked }
        certificate.measured = UInt32(
            figures.count { $0.known && $0.evidence == .measured } + certificate.workers.count { $0.treeEmpty }
                + checks.count { $0.state != .checkUnknown && $0.evidence == .measured })
        certificate.reported = UInt32(
            checks.count { $0.state != .checkUnknown && $0.evidence == .reported } + figures.count { $0.known && $0.evidence == .reported }
                + certificate.order.count { ["quiesce", "gate"].contains($0.label) && $0.proven })
        certificate.attested = UInt32(certificate.overrides.count)
        certificate.unknown = UInt32(figures.count { !$0.known } + certificate.workers.count { !$0.treeEmpty } + checks.count { $0.state == .checkUnknown })
    }

    /// Has the snapshot and the signed certificate written on a thread of the pool, records both, and ends the run. What
    /// can't be written or signed is said in the certificate itself, which is then at most unproven.
    ///
    /// `named`: hosts of which it says what a person has attested; the next one need not say it again.
    private func keep(_ certificate: APICertificate, settling settled: [(StreamName, ServiceName, String)], naming named: [HostName: String], run id: UInt64) {
        let cuts = settled.map { ("\(CoordinatorFold.cutField)\(LedgerBook.key($0.0, $0.1))", $0.2) }
        let files = CertificateFiles(
            directory: settings.stateDirectory, certificatePath: settings.certificatePath, keyPath: settings.keyPath)
        NIOThreadPool.singleton.runIfActive(eventLoop: home) { try files.write(certificate, repeated: { Self.lessen(&$0, $1) }) }.whenComplete {
            [self] result in
            switch result {
            case .success(let kept):
                record(
                    kept.certificate, run: id,
                    [
                        runRecord(.stateSnapshot, id, [("file", kept.certificate.snapshotFile), ("sha256", kept.certificate.snapshotSha256)]),
                        verdictRecord(
                            kept.certificate, id,
                            [("certificate_sha256", kept.sha256), ("file", kept.path), ("signer_serial", kept.signerSerial)] + cuts
                                + (named.isEmpty ? [] : [(CoordinatorFold.settledField, named.keys.sorted().map(\.raw).joined(separator: " "))])),
                    ], naming: named)
                for (stream, consumer, cut) in settled { book.settle(stream, consumer, run: id, cut: cut) }
            case .failure(let error):
                log.error("cannot keep the certificate: free space in the state directory", metadata: ["run": "\(id)", "why": "\(error)"])
                var certificate = certificate
                Self.lessen(&certificate, "the certificate could not be written and signed: \(error)")
                certificate.signedBy = ""
                record(certificate, run: id, [verdictRecord(certificate, id, [])])
            }
        }
    }

    private func record(_ certificate: APICertificate, run id: UInt64, _ records: [AuditRecord], naming named: [HostName: String] = [:]) {
        guard let journal else { return }
        journal.append(records) { [self] result in
            home.execute { [self] in
                var certificate = certificate
                switch result {
                case .success(let appended):
                    certificate.auditSequence = appended.last?.sequence ?? 0
                    if certificate.verdict == Verdict.proven.rawValue, let plan = runs[id]?.machine?.plan, plan.kind == .stop { provenStopped(plan.workers) }
                    for (host, how) in named where settledByPersons[host] == how { settledByPersons[host] = nil }
                case .failure(let error): Self.lessen(&certificate, "the verdict could not be recorded: \(error)")
                }
                runs[id]?.api.certificate = certificate
                runs[id]?.api.verdict = certificate.verdict
                alerts?.stopEnded(runs[id]?.api.kind ?? "", certificate)
                announceEnd(run: id)
            }
        }
    }

    /// At most unproven from here on, and why.
    private static func lessen(_ certificate: inout APICertificate, _ why: String) {
        certificate.verdict = max(Verdict(rawValue: certificate.verdict) ?? .unproven, .unproven).rawValue
        certificate.because.append(why)
    }

    private func verdictRecord(_ certificate: APICertificate, _ id: UInt64, _ fields: [(String, String)]) -> AuditRecord {
        runRecord(.verdict, id, [("verdict", certificate.verdict), ("because", certificate.because.joined(separator: "; "))] + fields)
    }

    private func runRecord(_ event: AuditEvent, _ id: UInt64, _ fields: [(String, String)]) -> AuditRecord {
        AuditRecord(
            event, by: runs[id]?.api.origin ?? "", reason: runs[id]?.api.reason ?? "", run: id, fields: fields)
    }
}
