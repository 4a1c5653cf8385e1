import ArgumentParser
import FleetCore
import FleetTrust

struct CertsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certs", abstract: "Makes a fleet's certificate authority, issues identities and revokes them.",
        subcommands: [CertsInit.self, CertsIssue.self, CertsRevoke.self])
}

struct CertsInit: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "init", abstract: "Makes a new authority with an empty revocation list.")

    @Option(help: ArgumentHelp("The fleet's name; it is part of every identity.", valueName: "name")) var fleet: String
    @Option(help: ArgumentHelp("Where to keep it.", valueName: "directory")) var dir: String = "certs"
    @Option(help: ArgumentHelp("How long the authority is valid.", valueName: "days")) var days: Int = CertificateAuthority.authorityDays
    @Option(name: .customLong("crl-days"), help: ArgumentHelp("How long the revocation list is current.", valueName: "days"))
    var listDays: Int = CertificateAuthority.revocationListDays
    @Flag(help: "Replace what is there: every certificate it issued is then foreign.") var force = false

    func run() throws {
        let authority = try CertificateAuthority.create(
            directory: dir, fleet: FleetName(fleet), force: force, days: days, revocationListDays: listDays)
        Terminal.out([
            "\(authority.certificatePath)  the authority of fleet \(fleet), for \(days) days",
            "\(authority.revocationListPath)  its revocation list, empty, current for \(listDays) days",
            "Next: trading certs issue coordinator NAME --dir \(dir)   then agent HOST for each host, operator NAME for each person",
        ])
    }
}

struct CertsIssue: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "issue", abstract: "Issues an identity: agent HOST, coordinator NAME or operator NAME.")

    @Argument(help: ArgumentHelp("agent, coordinator or operator.", valueName: "role")) var role: String
    @Argument(help: ArgumentHelp("The host's, coordinator's or person's name.", valueName: "name")) var name: String
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @Option(help: ArgumentHelp("How long it is valid.", valueName: "days")) var days: Int = CertificateAuthority.identityDays
    @Flag(help: "Replace the files that are there; what they held stays valid until it expires or is revoked.") var force = false

    func run() throws {
        guard let role = FleetIdentity.Role(rawValue: role) else {
            throw Failure("certs issue \(role): no such role; write agent, coordinator or operator", .usage)
        }
        let issued = try CertificateAuthority(directory: dir).issue(role, name: name, days: days, force: force)
        Terminal.out([
            "\(issued.certificatePath)  \(issued.identity.uri), for \(days) days",
            "\(issued.keyPath)  its key, mode 0600: it belongs on that one machine only",
        ])
    }
}

struct CertsRevoke: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "revoke", abstract: "Revokes every certificate that was issued to a name.")

    @Argument(help: ArgumentHelp("md-1, or with its role agent/md-1.", valueName: "name")) var name: String
    @Option(help: ArgumentHelp("The authority's directory.", valueName: "directory")) var dir: String = "certs"
    @Option(name: .customLong("crl-days"), help: ArgumentHelp("How long the revocation list is current.", valueName: "days"))
    var listDays: Int = CertificateAuthority.revocationListDays

    func run() throws {
        let revoked = try CertificateAuthority(directory: dir).revoke(name, listDays: listDays)
        Terminal.out([
            "\(revoked.name): \(revoked.certificates) \(revoked.certificates == 1 ? "certificate" : "certificates") revoked",
            "\(revoked.revocationListPath)  is the new list: copy it to every host and coordinator, then SIGHUP trading-agent and trading-coordinator",
        ])
    }
}
