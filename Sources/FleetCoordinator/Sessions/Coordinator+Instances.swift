package import FleetAPI
internal import FleetCore
internal import FleetJournal
internal import FleetWire
internal import LinuxHost
internal import Logging
internal import NIOCore

/// Hosts of which two instances live: a clone, or a copied key (`InstanceWatch`).
extension Coordinator {
    /// Carries out what the watch of a host's instances wants; nil: the inventory has no such host.
    func watched(_ host: HostName, _ effects: [InstanceWatch.Effect]?) {
        for effect in effects ?? [] {
            switch effect {
            case .challenge(let id): challenge(host, id)
            case .close(let id): table.session(host, id: id)?.close(why: "a newer session of \(host) has taken its place")
            case .contested(let contest):
                let how = contest.how
                hosts[host]?.contestedAt = now().unixMicroseconds
                log.error("two instances of a host live: nothing is started or proven there", metadata: ["host": "\(host)", "how": "\(how)"])
                record([
                    AuditRecord(
                        .hostContested,
                        fields: [("host", host.raw), ("how", how), ("instances", contest.instances.joined(separator: " ")), ("level", "warning")])
                ])
                alerts?.contested(host, how)
                eachActiveRun { machine in machine.witnesses.contains(host) ? .hostContested(host, how: how) : nil }
            case .settled(let how):
                log.notice("a host is one again", metadata: ["host": "\(host)", "how": "\(how)"])
                record([AuditRecord(.hostSettled, fields: [("host", host.raw), ("how", how)])])
                if let left = hosts[host]?.watch.newest {
                    recordInstance(host, bootID: left.bootID, machineID: left.machineID, journal: left.journal)
                }
            }
        }
        table.set(isDivided: hosts[host]?.watch.hasUnheard ?? false, host)
        certifyDecided()
    }

    /// Certifies once it is known how many instances of the run's hosts live, or `InstanceWatch.challengeBound` after its end: then the
    /// certificate says that it was not known.
    func certifyOnceDecided(run id: UInt64, _ machine: RunMachine) {
        guard isUndecided(machine) else { return certify(run: id, machine) }
        undecided.insert(id)
        home.scheduleTask(in: .nanoseconds(InstanceWatch.challengeBound.nanoseconds)) { [self] in
            if undecided.remove(id) != nil { certify(run: id, machine) }
        }
    }

    private func isUndecided(_ machine: RunMachine) -> Bool { machine.witnesses.contains { hosts[$0]?.watch.isUndecided ?? false } }

    private func certifyDecided() {
        for id in undecided.sorted() {
            guard let machine = runs[id]?.machine, !isUndecided(machine) else { continue }
            undecided.remove(id)
            certify(run: id, machine)
        }
    }

    /// The word of an instance whose place another has taken.
    func displacedReported(_ host: HostName, _ report: WireHostReport, on session: WireSession) {
        let wasDoubtful = hosts[host]?.watch.isDoubtful ?? false
        hosts[host]?.watch.reported(session: session.id, mayRun: mayRun(report, on: session, of: host), now: now().boot)
        recordOpenLaunches(of: host, report, endsNothing: true)
        if wasDoubtful, hosts[host]?.watch.isDoubtful == false { eachActiveRun { _ in .hostReturned(host) } }
    }

    /// What may run on a host by its own word outlives its session, and the coordinator. What is held back now stands in a later record.
    ///
    /// `isLast`: of its session, or of this coordinator: nothing is held back. `endsNothing`: the word of one of two instances, which says nothing of
    /// what the other runs.
    func recordOpenLaunches(of host: HostName, _ report: WireHostReport, isLast: Bool = false, endsNothing: Bool = false) {
        recordOwed(of: host)
        let running = Set(report.workers.filter { !ObservedWorker($0).isDown }.map { ServiceName($0.service) })
        // What one of two says ends nothing of the other's, and yet it runs.
        let isOne = hosts[host]?.watch.isOne == true && !endsNothing
        guard
            let whole = openLaunches.change(
                by: host, running: running, declared: declared[host] ?? [], undeclaredMax: Self.undeclaredMax, pending: startsPending(on: host))
        else { return }
        // What begins is bounded by what may run there, and what begins anew by what ended.
        let isWhole = isOne && (isLast || whole.ended.isEmpty || hosts[host]?.mayRecordWorkers(at: now().boot) ?? false)
        guard let change = isWhole ? whole : whole.begunAlone else { return }
        apply(change)
        keep(change)
    }

    /// Records a change, again and again until it is on record: what began there must outlive this process.
    private func keep(_ change: OpenLaunches.Change) {
        record([Self.record(of: change)]) { [self] in
            home.execute { [self] in changesOwed[change.host, default: []].append(change) }
        }
    }

    /// Records what could not be recorded before, in its order.
    private func recordOwed(of host: HostName) {
        guard let owed = changesOwed.removeValue(forKey: host) else { return }
        for change in owed.suffix(Self.changesOwedMax) { keep(change) }
    }

    /// Changes of one host that wait for a full disk; what a host reports ends and begins anew, so that the newest tell the most.
    private static let changesOwedMax = 256

    static func record(of change: OpenLaunches.Change, how: String = "") -> AuditRecord {
        let names = [("begun", change.begun), ("ended", change.ended)].map { ($0.0, $0.1.map(\.raw).joined(separator: " ")) }
        return AuditRecord(.hostWorkers, fields: ([("host", change.host.raw)] + names + [("how", how)]).filter { !$0.1.isEmpty })
    }

    /// Workers that ran by the last word of a host that is silent now, and that the inventory no longer has there.
    func unheard(_ time: BootTime) -> [WorkerName] {
        table.unplaced.filter { !(hosts[$0.host]?.isKnown(now: time, bound: settings.reportBound) ?? false) }
    }

    private func challenge(_ host: HostName, _ id: String) {
        guard let session = table.session(host, id: id) else { return }
        var envelope = WireEnvelope()
        envelope.ping = WirePing()
        session.send(envelope)
        home.scheduleTask(in: .nanoseconds(InstanceWatch.challengeBound.nanoseconds)) { [self] in
            watched(host, hosts[host]?.watch.unanswered(session: id))
        }
    }

    /// An agent that is refused dials in again within this.
    private static let dialledWithin: Duration = .seconds(10)

    /// Whether something runs there by this report, or may.
    static func mayRun(_ report: WireHostReport) -> Bool { report.workers.contains { !ObservedWorker($0).isDown } }

    /// The same of the instance behind `session`, which may carry out a start that it has not answered.
    func mayRun(_ report: WireHostReport, on session: WireSession, of host: HostName) -> Bool {
        Self.mayRun(report) || startsOut.isPending(on: host, at: session.hello.agentInstance)
    }

    package func settle(_ request: APISettleRequest, by caller: Caller) async throws -> APIDone {
        let host = HostName(request.host)
        return try await onHome { [self] in
            let how = "\(InstanceWatch.settledByPerson)\(caller.name): \(request.reason)"
            let isContested = hosts[host]?.watch.contested != nil
            var gone: OpenLaunches.Change?
            let isHeard = hosts[host]?.isKnown(now: now().boot, bound: settings.reportBound) ?? false
            switch openLaunches.settling(host, declared: declared[host] ?? [], isHeard: isHeard) {
            case .change(let change) where !isContested: gone = change
            case .refused(let workers):
                throw APIProblem(
                    slug: "nothing-to-do",
                    what:
                        "REFUSED  \(host) answers, and says itself that \(workers.map(\.service.raw).joined(separator: ", ")) runs there, where the inventory no longer has it",
                    why: "Nothing was changed.", then: "trading stop \(workers[0]) --reason …")
            case .change, .nothing: break
            }
            // One whose agent is about to dial in again is not gone.
            if let dialled = table.dialled(outsider: host), now().boot - dialled < Self.dialledWithin {
                throw APIProblem(
                    slug: "nothing-to-do", what: "REFUSED  the agent of \(host) has dialled in \((now().boot - dialled).words) ago",
                    why: "Nothing was changed.",
                    then: "Declare \(host); or end its agent there, or revoke its certificate, then the same again")
            }
            let isOutsider = table.forget(outsider: host)
            if isOutsider || gone != nil {
                log.notice("what the inventory no longer has on a host is forgotten", metadata: ["host": "\(host)", "how": "\(how)"])
                if let gone { apply(gone) }
                settledByPersons[host] = how
                hosts[host]?.reportSession = nil
                record(
                    (isOutsider ? [AuditRecord(.hostSettled, fields: [("host", host.raw), ("how", how)])] : [])
                        + (gone.map { [Self.record(of: $0, how: how)] } ?? []))
                var done = APIDone()
                let what =
                    gone.map { "\($0.ended.map(\.raw).joined(separator: ", ")) ran on \(host), where the inventory doesn't have it, and" }
                    ?? "What ran on \(host), which the inventory doesn't have,"
                done.text = "\(what) is attested gone by \(caller.name). If its agent says otherwise, it is said again"
                return done
            }
            guard var watch = hosts[host]?.watch else {
                throw APIProblem(
                    slug: "unknown-host", what: "REFUSED  no host is called \(Cleaned.text(request.host, bytesMax: 80))", then: "trading status shows them")
            }
            switch watch.settle(by: caller.name, reason: request.reason) {
            case .failure(let refusal):
                throw APIProblem(slug: refusal.slug, what: "REFUSED  \(host): \(refusal.text)", why: "Nothing was changed.", then: "trading status \(host)")
            case .success(let effects):
                hosts[host]?.watch = watch
                settledByPersons[host] = how
                hosts[host]?.reportSession = nil
                watched(host, effects)
                var done = APIDone()
                done.text = "\(host) counts as one again. What the other instance had running is attested gone by \(caller.name)"
                return done
            }
        }
    }
}
