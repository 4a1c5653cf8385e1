import ArgumentParser
import FleetAPI
import FleetClient
import LinuxHost

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Shows what workers wrote, on all their hosts, in the order of time.",
        discussion:
            "Times are the fleet's. A line without a time of its own has that of its receipt, to the second; in files that workers write themselves, the time of the line before it."
    )

    @Argument(help: ArgumentHelp("Services, their aliases, or SERVICE@HOST, also of what is no longer declared; or all.", valueName: "service"))
    var services: [String]

    @Flag(name: .customShort("f"), help: "Go on as more is written.")
    var follow = false

    @Option(help: ArgumentHelp("From then on: 10:15, 2h, 2026-11-22T10:15, with Z in UTC.", valueName: "time"))
    var since: String?

    @Option(help: ArgumentHelp("Only lines that hold this text.", valueName: "text"))
    var grep: String?

    @Option(help: ArgumentHelp("Of this host only.", valueName: "host"))
    var host: String?

    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("How many lines of the past, of each log: 100, with --since all.", valueName: "lines"))
    var lines: UInt32?

    @OptionGroup var global: GlobalOptions

    /// What an agent gives of one log at most.
    private static let linesMax: UInt32 = 10_000

    func run() async throws {
        let (client, status) = try await Reach(global, relays: false).first()
        let zone = status.zone
        var query = services.map { "service=\(QueryText.escaped($0))" } + ["lines=\(lines ?? (since == nil ? 100 : Self.linesMax))"]
        if let since {
            guard let from = SinceText.parse(since, now: Clock.unixMicroseconds(), zone: zone) else {
                throw Failure("--since \(since): write a time of day (10:15), how long ago (2h, 10min), or a moment (2026-11-22T10:15, with Z in UTC)", .usage)
            }
            query.append("since=\(from)")
        }
        if let grep { query.append("grep=\(QueryText.escaped(grep))") }
        if let host { query.append("host=\(QueryText.escaped(host))") }
        if follow { query.append("follow=1") }
        var day = zone.date(status.unixUs)
        // Without the lines of a host these are not all.
        var isMissing = false
        var isWhole = false
        for try await event in try await client.events("\(Route.logs)?\(query.joined(separator: "&"))") {
            if event.name == "end" {
                isWhole = true
                break
            }
            // An agent's own word of what it could not read.
            if event.name == "problem" {
                Terminal.err([String(decoding: event.data, as: UTF8.self)])
                continue
            }
            let entry = try APIJSON.decode(APILogEntry.self, from: event.data)
            isMissing = isMissing || (entry.service.isEmpty && entry.text.hasPrefix("UNKNOWN: "))
            if entry.unixUs > 0, zone.date(entry.unixUs) != day {
                day = zone.date(entry.unixUs)
                Terminal.out(["--- \(day) \(zone.city)"])
            }
            Terminal.out([LogText.line(entry, zone: zone)])
        }
        // Only its reader ends a follower. A stream that ends otherwise has not told everything.
        guard isWhole, !follow else {
            throw Failure("logs: the stream has ended: what is written from now on is not shown. Ask again: trading logs …", .unknown)
        }
        if isMissing { throw Failure.quietly(.unknown) }
    }
}
