internal import FleetCore
internal import FleetWire

/// What of the fleet's trust ends soon: every certificate and every revocation list, on every host and here (law 11).
extension Coordinator {
    private struct Ending {
        let subject: String
        let what: String
        let expiry: Expiry
        /// What to type.
        let then: String
    }

    private static let renewList = "trading certs renew-crl, then copy crl.pem and SIGHUP (certs/README.md)"

    private func endings(of host: HostName, _ facts: WireHostFacts) -> [Ending] {
        guard facts.validityKnown else { return [] }
        let certificate = [
            Ending(
                subject: host.raw, what: "certificate", expiry: Expiry(daysLeft: facts.certificateDaysLeft),
                then: "trading certs renew agent/\(host), then copy it there and SIGHUP trading-agent (certs/README.md)")
        ]
        guard facts.hasListDaysLeft else { return certificate }
        return certificate + [Ending(subject: host.raw, what: "revocation list", expiry: Expiry(daysLeft: facts.listDaysLeft), then: Self.renewList)]
    }

    private func ownEndings(_ time: Moment) -> [Ending] {
        guard let trust else { return [] }
        let today = Int64(clamping: time.unixMicroseconds / 1_000_000)
        let name = settings.name.raw
        let certificate = Ending(
            subject: name, what: "certificate", expiry: Expiry(untilUnix: trust.ownNotAfterUnix, nowUnix: today),
            then: "trading certs renew \(settings.relay ? "relay" : "coordinator")/\(name), then copy it there and SIGHUP trading-coordinator (certs/README.md)"
        )
        guard let due = trust.listDueUnix else { return [certificate] }
        return [certificate, Ending(subject: name, what: "revocation list", expiry: Expiry(untilUnix: due, nowUnix: today), then: Self.renewList)]
    }

    /// For status: urgent ones want a person.
    func expiryLines(_ time: Moment) -> [String] {
        let found = ownEndings(time) + inventory.hosts.flatMap { spec in hosts[spec.name]?.report.map { endings(of: spec.name, $0.facts) } ?? [] }
        return found.filter(\.expiry.isSaid).map { ending in
            "\(ending.expiry.isUrgent ? "! " : "  ")\(ending.subject): its \(ending.what) \(ending.expiry.sentence). \(ending.then)"
        }
    }

    /// Whoever is declared is told of each stage once.
    func alertExpiry(of host: HostName, _ facts: WireHostFacts) {
        guard let alerts else { return }
        for ending in endings(of: host, facts) + ownEndings(now()) { alerts.expires(ending.subject, ending.what, ending.expiry, then: ending.then) }
    }
}
