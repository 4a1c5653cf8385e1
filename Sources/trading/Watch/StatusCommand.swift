import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Shows the fleet on one page: what needs a person first, each line with its age.",
        discussion: "Exit 0 as wanted, 3 needs a person, 4 something is unknown.")

    @Argument(help: ArgumentHelp("A host, a service or SERVICE@HOST: its detail page.", valueName: "host|service"))
    var subject: String?

    @Flag(help: "Print the status as JSON.")
    var json = false

    @Flag(help: "Show it again every second.")
    var watch = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reach = try Reach(global, relays: true, deed: .readStatus)
        for text in reach.unchecked { Terminal.err(["NOT CHECKED: \(text)"]) }
        if !json { for text in reach.endings { Terminal.err(["NOTE: \(text)"]) } }
        while true {
            let shown: (lines: [String], condition: StatusScreen.Condition)
            do {
                let (client, status) = try await reach.first()
                if json {
                    Terminal.out(bytes: try await document(status, client))
                    if !watch { throw ended(StatusScreen.condition(status)) }
                    try await Task.sleep(for: .seconds(1))
                    continue
                }
                shown = (try await lines(status, client), StatusScreen.condition(status))
            } catch let problem as APIProblem where watch && !json {
                // Watching goes on: the fleet is unknown until somebody answers again.
                shown = (problem.screen.split(separator: "\n").map(String.init), .unknown)
            }
            if !watch {
                Terminal.out(shown.lines)
                throw ended(shown.condition)
            }
            if Terminal.outIsTerminal {
                // Each line is cleared as it is written over, what is left below it at the end: no flicker.
                Terminal.raw("\u{1B}[H" + Self.fitting(shown.lines).map { Terminal.shown($0) + "\u{1B}[K\n" }.joined() + "\u{1B}[J")
            } else {
                Terminal.out(shown.lines)
            }
            try await Task.sleep(for: .seconds(1))
        }
    }

    /// What needs a person stands first and must not scroll away: what has no room is cut off below, and counted.
    private static func fitting(_ lines: [String]) -> [String] {
        guard let rows = Terminal.size?.rows, rows > 2, lines.count >= rows else { return lines }
        let kept = rows - 2
        return lines.prefix(kept) + Terminal.style.apply(["… \(lines.count - kept) more lines, a taller terminal shows them"])
    }

    private func lines(_ status: APIFleetStatus, _ client: APIClient) async throws -> [String] {
        guard let subject else { return StatusScreen.lines(status, zone: status.zone, style: Terminal.style) }
        let pages = try await pages(of: subject, status, client)
        return DetailScreen.lines(subject, status, pages: pages, zone: status.zone, style: Terminal.style) ?? []
    }

    /// The whole fleet's status, or the pages of what was named: one, or a list of them.
    private func document(_ status: APIFleetStatus, _ client: APIClient) async throws -> [UInt8] {
        guard let subject else { return try APIJSON.encode(status) }
        if let host = status.hosts.first(where: { $0.host == subject }) { return try APIJSON.encode(host) }
        let documents = try await pages(of: subject, status, client).map { try APIJSON.encode($0) }
        return documents.count == 1 ? documents[0] : [UInt8(ascii: "[")] + documents.joined(separator: [UInt8(ascii: ",")]) + [UInt8(ascii: "]")]
    }

    private func pages(of subject: String, _ status: APIFleetStatus, _ client: APIClient) async throws -> [APIWorkerPage] {
        guard let workers = DetailScreen.workers(subject, status) else {
            throw APIProblem(
                slug: "unknown-service", what: "REFUSED  status \(subject): no host and no service of that name in \(status.fleet)",
                then: "trading status  shows the names")
        }
        return try await WorkerPages.fetch(workers) { try await client.get(Route.worker($0)) }
    }

    private func ended(_ condition: StatusScreen.Condition) -> Failure { .quietly(ExitStatus(rawValue: condition.rawValue) ?? .unknown) }
}
