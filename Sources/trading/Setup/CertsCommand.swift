import ArgumentParser
import FleetClient
import FleetCore
import FleetInventory
import FleetTrust
import FleetWire
import NIOCore

struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs", abstract: "Makes a fleet's certificate authority, issues identities and revokes them.",
        discussion: "Renewal in the field, without a restart or an outage: certs/README.md.",
        subcommands: [CertsInit.self, CertsIssue.self, CertsRenew.self, CertsRevoke.self, CertsRenewList.self])
}

struct CertsInit: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "init", abstract: "Makes a new authority with an empty revocation list.")

    @Option(help: ArgumentHelp("The fleet's name; it is part of every identity.", valueName: "name")) var fleet: String
    @Option(help: ArgumentHelp("Where to keep it.", valueName: "directory")) var dir: String = "certs"
    @Option(help: ArgumentHelp("How long the authority is valid.", valueName: "days")) var days: Int = CertificateAuthority.authorityDays
    @Option(name: .customLong("crl-days"), help: ArgumentHelp("How long the revocation list is current.", valueName: "days"))
    var listDays: Int = CertificateAuthority.revocationListDays
    @Flag(help: "Replace what is there: every certificate it issued is then foreign.") var force = false
    @OptionGroup var global: GlobalOptions

    func run() throws {
        try CertsNames.demand(fleet, "certs init --fleet")
        let authority = try CertificateAuthority.create(
            directory: dir, fleet: FleetName(fleet), force: force, days: days, revocationListDays: listDays)
        Terminal.out([
            "\(authority.certificatePath)  the authority of fleet \(fleet), for \(ScreenText.plural(days, "day"))",
            "\(authority.revocationListPath)  its revocation list, empty, current for \(ScreenText.plural(listDays, "day"))",
            "Next: trading certs issue coordinator NAME --dir \(dir)   then relay NAME, agent HOST for each host, operator NAME for each person",
        ])
    }
}

struct CertsIssue: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue", abstract: "Issues an identity: agent HOST, coordinator NAME, relay NAME or operator NAME.",
        discussion:
            "Our own programs go by role and name. curl, browsers and Prometheus verify DNS names and IP addresses: a coordinator's or relay's certificate gets those of --inventory and --san."
    )

    @Argument(help: ArgumentHelp("agent, coordinator, relay or operator.", valueName: "role")) var role: String
    @Argument(help: ArgumentHelp("The host's, coordinator's, relay's or person's name.", valueName: "name")) var name: String
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @Option(help: ArgumentHelp("How long it is valid.", valueName: "days")) var days: Int = CertificateAuthority.identityDays
    @Option(help: ArgumentHelp("Take the addresses of that coordinator or relay from this inventory.", valueName: "file")) var inventory: String?
    @Option(name: .customLong("san"), help: ArgumentHelp("A DNS name or IP address that it is also valid for; repeatable.", valueName: "name"))
    var alternatives: [String] = []
    @Flag(help: "Replace the files that are there; what they held stays valid until it expires or is revoked.") var force = false
    @OptionGroup var global: GlobalOptions

    func run() throws {
        guard let role = FleetIdentity.Role(rawValue: role) else {
            throw Failure("certs issue \(role): no such role; write agent, coordinator, relay or operator", .usage)
        }
        try CertsNames.demand(name, "certs issue \(role.rawValue)")
        var names: [AlternativeName] = []
        for text in try addresses(of: role) + alternatives {
            guard let name = AlternativeName(text) else {
                throw Failure("certs issue: \(text) is no DNS name and no IP address; write for example ctl-1.example.net or 10.20.0.11", .usage)
            }
            if !names.contains(name) { names.append(name) }
        }
        let issued = try CertificateAuthority(directory: dir).issue(role, name: name, days: days, alternatives: names, force: force)
        Terminal.out([
            "\(issued.certificatePath)  \(issued.identity.uri), for \(ScreenText.plural(days, "day"))\(names.isEmpty ? "" : ", \(names.map(\.description).joined(separator: " "))")",
            "\(issued.keyPath)  its key, mode 0600: it belongs on that one machine only",
        ])
    }

    /// Of the coordinator or relay in the inventory.
    private func addresses(of role: FleetIdentity.Role) throws -> [String] {
        guard let inventory else { return [] }
        guard role == .coordinator || role == .relay else {
            throw Failure("certs issue \(role.rawValue): --inventory gives addresses of coordinators and relays only", .usage)
        }
        let fleet = try InventoryCommand.load(inventory)
        guard let spec = fleet.coordinators.first(where: { $0.name.raw == name }) else {
            let known = fleet.coordinators.map(\.name.raw)
            throw Failure("certs issue: \(inventory) has no coordinator \(name); \(choice(for: name, among: known))", .usage)
        }
        let declared: FleetIdentity.Role = spec.role == .emergency ? .relay : .coordinator
        guard role == declared else {
            throw Failure(
                "certs issue \(role.rawValue) \(name): \(inventory) declares it as \(spec.role == .emergency ? "an emergency relay" : "a full coordinator"), "
                    + "whose certificate is of another role. Write: trading certs issue \(declared.rawValue) \(name) --inventory \(inventory)", .usage)
        }
        return try [spec.address, spec.api].compactMap { $0 }.compactMap { try WireAddress.parse($0).ipAddress }
    }
}

struct CertsRenew: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "renew", abstract: "Signs a name's certificate anew: the same identity, names and key, new dates.",
        discussion: "Its .pem alone is copied to where it is used; the key stays there. The certificate before stays valid until its own end.")

    @Argument(help: ArgumentHelp("md-1, or with its role agent/md-1.", valueName: "name")) var name: String
    @Option(name: .customLong("in"), help: ArgumentHelp("Only if it ends in fewer days than that: for a timer.", valueName: "days")) var within: Int?
    @Option(help: ArgumentHelp("How long the new one is valid.", valueName: "days")) var days: Int = CertificateAuthority.identityDays
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @OptionGroup var global: GlobalOptions

    func run() throws {
        guard let issued = try CertificateAuthority(directory: dir).renew(name, days: days, within: within) else {
            return Terminal.out(["\(name): its certificate is good for \(ScreenText.plural(within ?? 0, "day")) or more; nothing was done"])
        }
        Terminal.out([
            "\(issued.certificatePath)  \(issued.identity.uri), for \(ScreenText.plural(days, "day")), for the key that it has",
            "Copy it to where the old one is used, then SIGHUP trading-\(issued.identity.role == .agent ? "agent" : "coordinator"). No session ends by it",
        ])
    }
}

struct CertsRenewList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "renew-crl", abstract: "Signs the revocation list anew, with new dates; who is on it stays the same.",
        discussion:
            "A list is good for --crl-days. Past them start, restart and resume are refused everywhere; status, emergency stop, quiesce and stop go on.",
        aliases: ["crl"])

    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @Option(name: .customLong("crl-days"), help: ArgumentHelp("How long the revocation list is current.", valueName: "days"))
    var listDays: Int = CertificateAuthority.revocationListDays
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let authority = try CertificateAuthority(directory: dir)
        try authority.renewRevocationList(days: listDays)
        Terminal.out([
            "\(authority.revocationListPath)  current for \(ScreenText.plural(listDays, "day")): copy it to every host and coordinator, then SIGHUP trading-agent and trading-coordinator"
        ])
    }
}

/// Names that stand in certificates.
private enum CertsNames {
    static func demand(_ name: String, _ command: String) throws {
        guard isValidName(name) else {
            throw Failure(
                "\(command) \(Cleaned.text(name, bytesMax: 80)): the name isn't allowed. "
                    + "Use \(FleetIdentity.nameRule). Nothing was written", .usage)
        }
    }
}

struct CertsRevoke: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "revoke", abstract: "Revokes every certificate that was issued to a name.")

    @Argument(help: ArgumentHelp("md-1, or with its role agent/md-1.", valueName: "name")) var name: String
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @Option(name: .customLong("crl-days"), help: ArgumentHelp("How long the revocation list is current.", valueName: "days"))
    var listDays: Int = CertificateAuthority.revocationListDays
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let revoked = try CertificateAuthority(directory: dir).revoke(name, listDays: listDays)
        Terminal.out([
            "\(revoked.name): \(revoked.certificates) \(revoked.certificates == 1 ? "certificate" : "certificates") revoked",
            "\(revoked.revocationListPath)  is the new list: copy it to every host and coordinator, then SIGHUP trading-agent and trading-coordinator",
        ])
    }
}
