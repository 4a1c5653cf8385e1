internal import FleetCore
internal import FleetWire
internal import NIOCore

/// What of the fleet's trust ends soon: every certificate and every revocation list, on every host and here (law 11).
extension Coordinator {
    private struct Ending: Hashable {
        let subject: String
        let what: String
        let daysLeft: Int64
        /// What to type.
        let then: String

        var expiry: Expiry { Expiry(daysLeft: daysLeft) }
    }

    /// How often what ends here is looked at for alerts.
    private static let ownLookEvery: TimeAmount = .hours(1)

    /// Peers of one host whose dates are looked at.
    private static let peersMax = 8

    private static let renewList = "trading certs renew-crl, then copy crl.pem and SIGHUP (certs/README.md)"

    private func endings(of host: HostName, _ facts: WireHostFacts) -> [Ending] {
        guard facts.validityKnown else { return [] }
        let certificate = [
            Ending(
                subject: host.raw, what: "certificate", daysLeft: facts.certificateDaysLeft,
                then: "trading certs renew agent/\(host), then copy it there and SIGHUP trading-agent (certs/README.md)")
        ]
        // What a relay lacks nobody else would say here: this coordinator has no session with it.
        let relays = facts.peers.prefix(Self.peersMax).filter { $0.identity.hasPrefix("relay/") }.map { peer in
            let identity = Cleaned.text(peer.identity, bytesMax: 80)
            return Ending(
                subject: identity, what: "certificate", daysLeft: peer.daysLeft,
                then: "trading certs renew \(identity), then copy it there and SIGHUP trading-coordinator (certs/README.md)")
        }
        guard facts.hasListDaysLeft else { return certificate + relays }
        return certificate + relays + [Ending(subject: host.raw, what: "revocation list", daysLeft: facts.listDaysLeft, then: Self.renewList)]
    }

    private func ownEndings(_ time: Moment) -> [Ending] {
        guard let trust else { return [] }
        let today = Int64(clamping: time.unixMicroseconds / 1_000_000)
        let name = settings.name.raw
        let certificate = Ending(
            subject: name, what: "certificate", daysLeft: Expiry(untilUnix: trust.ownNotAfterUnix, nowUnix: today).daysLeft,
            then: "trading certs renew \(settings.relay ? "relay" : "coordinator")/\(name), then copy it there and SIGHUP trading-coordinator (certs/README.md)"
        )
        guard let due = trust.listDueUnix else { return [certificate] }
        return [certificate, Ending(subject: name, what: "revocation list", daysLeft: Expiry(untilUnix: due, nowUnix: today).daysLeft, then: Self.renewList)]
    }

    /// For status: urgent ones want a person.
    func expiryLines(_ time: Moment) -> [String] {
        let found = ownEndings(time) + inventory.hosts.flatMap { spec in hosts[spec.name]?.report.map { endings(of: spec.name, $0.facts) } ?? [] }
        var said: Set<Ending> = []
        return found.filter { $0.expiry.isSaid && said.insert($0).inserted }.map { ending in
            "\(ending.expiry.isUrgent ? "! " : "  ")\(ending.subject): its \(ending.what) \(ending.expiry.sentence). \(ending.then)"
        }
    }

    /// Whoever is declared is told of each stage once.
    func alertExpiry(of host: HostName, _ facts: WireHostFacts) {
        alert(endings(of: host, facts))
    }

    /// The same of what this coordinator itself has, from its start on and whether a host reports or not.
    func alertOwnExpiry() {
        guard let alerts, !alerts.closed else { return }
        alert(ownEndings(now()))
        home.scheduleTask(in: Self.ownLookEvery) { [self] in alertOwnExpiry() }
    }

    private func alert(_ endings: [Ending]) {
        for ending in endings { alerts?.expires(ending.subject, ending.what, ending.expiry, then: ending.then) }
    }
}
