import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore
import FleetJournal
import FleetTrust
import LinuxHost

struct CertificateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "certificate", abstract: "Shows a stop certificate, and verifies who signed it and when.",
        subcommands: [CertificateShow.self, CertificateVerify.self])
}

/// A certificate's file as it was signed.
private struct CertificateDocument {
    let bytes: [UInt8]
    let certificate: APICertificate

    /// A thousand workers take some hundred kilobytes.
    private static let bytesMax = 64 << 20

    init(_ path: String) throws {
        do {
            bytes = try Files.read(path, limit: Self.bytesMax)
            certificate = try APIJSON.decode(APICertificate.self, from: bytes)
        } catch let error as LinuxError {
            throw Failure(error.description, .failed)
        } catch {
            throw Failure("\(path) is no stop certificate: \(error)", .usage)
        }
        guard !certificate.fleet.isEmpty, certificate.endedUnixUs > 0 else {
            throw Failure("\(path) is no stop certificate: it names no fleet, or no end", .usage)
        }
    }
}

struct CertificateShow: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Prints a certificate; says nothing about its signature.")

    @Argument(help: ArgumentHelp("stop-N.json, as the coordinator keeps it.", valueName: "file")) var file: String
    @Option(name: .customLong("zone"), help: ArgumentHelp("The zone of its times.", valueName: "zone")) var zone: String = "UTC"
    @Flag(help: "Also everything that it covers, each with its evidence and when that came: the verdict is computed from this list.") var full = false
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let lines = CertificateScreen.lines(try CertificateDocument(file).certificate, zone: FleetZone(named: zone), style: Terminal.style, full: full)
        Terminal.out(lines + ["", "As the file says: whether it is genuine was not looked at. trading certificate verify \(Cleaned.text(file))"])
    }
}

struct CertificateVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Verifies that a coordinator of the fleet signed exactly this, when its certificate was valid.",
        discussion: """
            The signature is looked for beside the file, as stop-N.p7s; only the coordinators that --coordinator or the settings name may have made it. \
            Exit 0: genuine. 5: not. 4: genuine as far as could be looked, and something could not be: no revocation list, or a signer revoked since. A \
            stolen key can set any date; the coordinator's journal (--journal), up to a head that somebody else kept (--anchor), shows that the certificate \
            was recorded, by which key, before it was revoked.
            """)

    @Argument(help: ArgumentHelp("stop-N.json.", valueName: "file")) var file: String
    @Option(help: ArgumentHelp("The signature; without it the .p7s beside the file.", valueName: "file")) var signature: String?
    @Option(help: ArgumentHelp("The fleet's authority; without it that of the settings.", valueName: "file")) var ca: String?
    @Option(help: ArgumentHelp("Its revocation list; without it that of the settings.", valueName: "file")) var crl: String?
    @Option(help: ArgumentHelp("The fleet's name; without it that of the settings.", valueName: "name")) var fleet: String?
    @Option(
        name: .customLong("coordinator"),
        help: ArgumentHelp("Who may have signed it, repeatable; without it the coordinators of the settings.", valueName: "name")) var coordinators: [String] =
            []
    @Option(help: ArgumentHelp("The coordinator's journal, to look the certificate up in.", valueName: "file")) var journal: String?
    @OptionGroup var anchors: AnchorOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let document = try CertificateDocument(file)
        let certificate = document.certificate
        let settings = try settings()
        guard let fleet = fleet.map({ FleetName($0) }) ?? settings.fleet, let ca = ca ?? settings.ca else {
            throw Failure("certificate verify needs the fleet's name and its authority: --fleet NAME --ca FILE, or `fleet` and `ca` in the settings", .usage)
        }
        let expected = coordinators.isEmpty ? settings.coordinators.map(\.name) : coordinators
        guard !expected.isEmpty else {
            throw Failure(
                "certificate verify needs to know whose certificates count: --coordinator NAME, or `coordinator = NAME HOST:PORT` in the settings", .usage)
        }
        guard certificate.fleet == fleet.raw else {
            throw Failure("NOT GENUINE: \(file) is of the fleet \(certificate.fleet), not \(fleet)", .contradicted)
        }
        let signed: SignedDocument
        let (list, listProblem) = Self.list(crl ?? settings.crl)
        // A slip in the files given says nothing about the certificate.
        do { if let list { _ = try PeerVerifier(caPEM: CredentialFile.read(ca), crlPEM: list, fleet: fleet) } } catch {
            throw Failure("certificate verify: \(error). Is that list of this authority?", .usage)
        }
        do {
            signed = try SignedDocument.verify(
                document.bytes, signatureDER: CredentialFile.read(signature ?? Self.besides(file)), caPEM: CredentialFile.read(ca),
                crlPEM: list, fleet: fleet, role: .coordinator,
                signedAtUnix: Int64(clamping: certificate.endedUnixUs / 1_000_000))
        } catch  where error.operation == "read" && error.object != "the signature" {
            throw Failure(error.description, .failed)
        } catch {
            throw Failure("NOT GENUINE: \(file): \(error)", .contradicted)
        }
        guard certificate.signedBy == signed.signer.author else {
            throw Failure("NOT GENUINE: \(file) says that \(certificate.signedBy) signed it; \(signed.signer.uri) did", .contradicted)
        }
        guard expected.contains(signed.signer.name) else {
            throw Failure(
                "NOT GENUINE: \(file): \(signed.signer.uri) signed it, whose certificates don't count here: \(expected.joined(separator: ", ")) may sign",
                .contradicted)
        }
        guard journal != nil || anchors.anchors.isEmpty else {
            throw Failure("certificate verify: --anchor is a head of the journal that --journal names. Give both", .usage)
        }
        let found = try journal.map { try record(of: document, signed, in: $0) }
        var lines = [
            "GENUINE: run \(certificate.run) of \(certificate.fleet), verdict \(certificate.verdict)",
            "  signed by    \(signed.signer.uri), serial \(signed.serialHex)",
            "  content      sha256 \(Digest.sha256Hex(document.bytes))",
        ]
        if let found {
            lines.append(
                "  recorded     record \(found.record.sequence) of \(journal ?? ""), \(Clock.rfc3339(unixMicroseconds: found.record.unixMicroseconds))"
                    + (found.isAnchored ? ", anchored" : ", UNANCHORED: whoever can write the journal could have put it there"))
        }
        var status = ExitStatus.done
        if let revoked = signed.revokedUnix {
            let ended = Int64(clamping: certificate.endedUnixUs / 1_000_000)
            func isLater(_ unixMicroseconds: UInt64) -> Bool { Int64(clamping: unixMicroseconds / 1_000_000) > revoked }
            // A record from after the revocation speaks against it, whoever vouches for that record.
            guard revoked >= ended, found.map({ !isLater($0.record.unixMicroseconds) }) ?? true else {
                throw Failure("NOT GENUINE: \(file): its signer was revoked before it was made", .contradicted)
            }
            // For it speaks only what a head vouches for that somebody else kept.
            if let found, isLater(found.latestUnixMicroseconds) {
                lines[0] = "UNKNOWN: run \(certificate.run) of \(certificate.fleet): its record stands behind one from after its signer's revocation"
                lines.append("  then         trading audit show: a clock that once ran ahead, or a record that was put there later")
                status = .unknown
            } else if found?.isAnchored != true {
                lines[0] = "UNKNOWN: run \(certificate.run) of \(certificate.fleet): its signer was revoked later, and a stolen key can set any date"
                lines.append("  then         show that it was recorded before: --journal FILE --anchor NUMBER:HASH, a head that was kept before the revocation")
                status = .unknown
            }
        } else if let listProblem {
            lines[0] = "UNKNOWN: run \(certificate.run) of \(certificate.fleet): signed by a coordinator; whether its key was revoked can't be told"
            lines.append("  NOT CHECKED  \(listProblem)")
            status = .unknown
        }
        Terminal.out(lines)
        throw Failure.quietly(status)
    }

    /// The bytes of a revocation list, or why there are none.
    private static func list(_ path: String?) -> (bytes: [UInt8]?, problem: String?) {
        guard let path else { return (nil, "no revocation list (--crl FILE)") }
        do {
            let bytes = try CredentialFile.read(path)
            let due = try RevocationList.all(pem: bytes, object: path).compactMap(\.nextUpdateUnix).min()
            guard let due else { return (bytes, "\(path) does not say until when it is good. Give one that does") }
            guard due >= Int64(Clock.unixMicroseconds() / 1_000_000) else {
                return (bytes, "\(path) is past its date: whoever was revoked since is not on it. Give a newer one")
            }
            return (bytes, nil)
        } catch {
            return (nil, "\(error)")
        }
    }

    /// Without any settings the options alone must do.
    private func settings() throws -> FleetClientSettings { try global.settings() }

    private static func besides(_ file: String) -> String { (file.hasSuffix(".json") ? String(file.dropLast(5)) : file) + ".p7s" }

    /// The record of the verdict that binds a certificate's digest and its signer's serial.
    private struct Recorded {
        let record: AuditRecord
        /// An anchor vouches for it: it was there when that head was kept.
        let isAnchored: Bool
        /// The latest time of it and the records in front of it: it was written no earlier.
        let latestUnixMicroseconds: UInt64
    }

    private func record(of document: CertificateDocument, _ signed: SignedDocument, in path: String) throws -> Recorded {
        let report: VerifyReport
        let lines: [[UInt8].SubSequence]
        do {
            report = try JournalVerifier.verify(path, anchors: try anchors.heads())
            lines = try Files.read(path, limit: 1 << 30).split(separator: 10)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(String(describing: error), .failed)
        }
        guard report.isIntact else { throw Failure("NOT GENUINE: the journal \(path) is not intact:\n\(report.text)", .contradicted) }
        let digest = Digest.sha256Hex(document.bytes)
        var latest: UInt64 = 0
        var isCoordinators = false
        for line in lines {
            guard case .success(let record) = Result(catching: { () throws(AuditRecord.FormatError) in try AuditRecord(json: line.dropFirst(65)) }) else {
                continue
            }
            latest = max(latest, record.unixMicroseconds)
            if record.known == .coordinatorStart { isCoordinators = true }
            guard record.known == .verdict, record.run == document.certificate.run, record["certificate_sha256"] == digest
            else { continue }
            if let serial = record["signer_serial"], serial != signed.serialHex {
                throw Failure("NOT GENUINE: record \(record.sequence) of \(path) says that the key of serial \(serial) signed it", .contradicted)
            }
            return Recorded(record: record, isAnchored: report.anchoredUpTo >= record.sequence, latestUnixMicroseconds: latest)
        }
        guard isCoordinators else { throw Failure("certificate verify: \(path) is no coordinator's journal. Give that of \(signed.signer.name)", .usage) }
        throw Failure("NOT GENUINE: \(path) has no record of this certificate (sha256 \(digest.prefix(16))…)", .contradicted)
    }
}
