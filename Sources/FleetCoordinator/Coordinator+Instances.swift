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

    private func challenge(_ host: HostName, _ id: String) {
        guard let session = table.session(host, id: id) else { return }
        var envelope = WireEnvelope()
        envelope.ping = WirePing()
        session.send(envelope)
        home.scheduleTask(in: .nanoseconds(InstanceWatch.challengeBound.nanoseconds)) { [self] in
            watched(host, hosts[host]?.watch.unanswered(session: id))
        }
    }

    /// Whether something runs there by this report, or may.
    static func mayRun(_ report: WireHostReport) -> Bool { report.workers.contains { !ObservedWorker($0).isDown } }

    package func settle(_ request: APISettleRequest, by caller: Caller) async throws -> APIDone {
        let host = HostName(request.host)
        return try await onHome { [self] in
            if table.forget(outsider: host) {
                let how = "settled by \(caller.name): \(request.reason)"
                log.notice("a host outside the inventory is forgotten", metadata: ["host": "\(host)", "how": "\(how)"])
                record([AuditRecord(.hostSettled, fields: [("host", host.raw), ("how", how)])])
                var done = APIDone()
                done.text =
                    "What ran on \(host), which the inventory doesn't have, is attested gone by \(caller.name). If its agent dials in again, it is said again"
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
                watched(host, effects)
                var done = APIDone()
                done.text = "\(host) counts as one again. What the other instance had running is attested gone by \(caller.name)"
                return done
            }
        }
    }
}
