import ArgumentParser
import FleetAPI
import FleetClient
import FleetJournal
import LinuxHost

struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Shows the record of what was done, and checks that nobody changed it.",
        subcommands: [AuditShow.self, AuditVerify.self])
}

struct AuditShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Prints records, the oldest first: of a file, of a host's agent, or the coordinator's own.")

    @Argument(help: ArgumentHelp("A journal's file; none: ask the coordinator.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("This host's agent's records.", valueName: "host"))
    var host: String?

    @Option(name: .customShort("n"), help: ArgumentHelp("The last so many.", valueName: "records"))
    var count: UInt32 = 200

    @Flag(help: "The records' own JSON, one a line.")
    var json = false

    @OptionGroup var global: GlobalOptions

    /// A journal that is larger is read where it is, by `audit verify` and plain tools.
    private static let fileBytesMax = 1 << 30

    func validate() throws {
        if file != nil, host != nil { throw ValidationError("Name a file, or a host to ask, not both.") }
    }

    func run() async throws {
        let lines: [String]
        if let file {
            let bytes: [UInt8]
            do {
                bytes = try Files.read(file, limit: Self.fileBytesMax)
            } catch {
                throw Failure(String(describing: error), .failed)
            }
            lines = bytes.split(separator: 10).suffix(Int(count)).map { String(decoding: $0, as: UTF8.self) }
        } else {
            let client = try await Reach(global, relays: false).first().client
            let query = "limit=\(count)" + (host.map { "&host=\(QueryText.escaped($0))" } ?? "")
            let page: APIAuditPage = try await client.get("\(Route.audit)?\(query)")
            lines = page.lines
        }
        Terminal.out(lines.map(text))
    }

    /// A line of a journal is a hash and a record; one that is neither is shown as it is, for it should be seen.
    private func text(_ line: String) -> String {
        let record = line.utf8.first == UInt8(ascii: "{") ? line[...] : line.utf8.count > 65 ? line.dropFirst(65) : line[...]
        if json { return String(record) }
        do {
            return AuditText.line(try AuditRecord(json: record.utf8))
        } catch {
            return AuditText.plain(line)
        }
    }
}

struct AuditVerify: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Finds every changed, missing or reordered record of a journal, and says where.",
        discussion: """
            Exit 0 intact and anchored, 5 not intact, 4 unanchored or no record at all. What lies beyond the last anchor could have been rewritten whole: give \
            a head that somebody else keeps (trading status HOST --json shows a host's, journal_head) with --anchor.
            """)

    @Argument(help: ArgumentHelp("The journal's file.", valueName: "file"))
    var file: String

    @OptionGroup var anchors: AnchorOptions
    @OptionGroup var global: GlobalOptions

    func run() throws {
        let heads = try anchors.heads()
        let report: VerifyReport
        do {
            report = try JournalVerifier.verify(file, anchors: heads)
        } catch {
            throw Failure(String(describing: error), .failed)
        }
        Terminal.out([report.text])
        if !report.isIntact { throw Failure.quietly(.contradicted) }
        if report.count == 0 || report.anchoredUpTo == 0 { throw Failure.quietly(.unknown) }
    }
}
