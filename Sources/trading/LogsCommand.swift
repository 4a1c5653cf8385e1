import ArgumentParser
import FleetAPI
import FleetClient

struct LogsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "logs", abstract: "Shows what workers wrote.")

    @Argument(help: ArgumentHelp("Services or their aliases; or all.", valueName: "service"))
    var services: [String]

    @Flag(name: .customShort("f"), help: "Go on as more is written.")
    var follow = false

    @Option(help: ArgumentHelp("Of this host only.", valueName: "host"))
    var host: String?

    @Option(name: .customShort("n"), help: ArgumentHelp("How many lines of the past.", valueName: "lines"))
    var lines: UInt32 = 100

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let client = try await Reach(global, relays: false).first().client
        var query = services.map { "service=\(QueryText.escaped($0))" } + ["lines=\(lines)"]
        if let host { query.append("host=\(QueryText.escaped(host))") }
        if follow { query.append("follow=1") }
        for try await event in try await client.events("\(Route.logs)?\(query.joined(separator: "&"))") {
            if event.name == "end" { return }
            let entry = try APIJSON.decode(APILogEntry.self, from: event.data)
            let place = entry.host.isEmpty ? entry.service : "\(entry.service)@\(entry.host)"
            // One line of a log is one line here: what a worker wrote must not move a terminal's cursor.
            let text = String(entry.text.unicodeScalars.map { $0.value < 32 && $0 != "\t" || (127..<160).contains($0.value) ? "\u{FFFD}" : Character($0) })
            Terminal.out([place.isEmpty ? text : "\(place)  \(text)"])
        }
    }
}
