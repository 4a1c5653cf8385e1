import ArgumentParser
import FleetAPI
import FleetClient

struct RunsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runs", abstract: "Lists runs, shows one, and steps in where a run waits for a person.",
        subcommands: [RunsShow.self, RunsWatch.self, RunsAbort.self, RunsRetry.self, RunsOverride.self, RunsAttest.self],
        defaultSubcommand: RunsShow.self)
}

struct RunsShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Lists the runs, or shows one with its certificate.")

    @Argument(help: ArgumentHelp("The run's number; none: all of them.", valueName: "id"))
    var id: UInt64?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (client, status) = try await Reach(global, relays: false).first()
        if let id {
            let run: APIRun = try await client.get(Route.run(id))
            if json { Terminal.out(bytes: try APIJSON.encode(run)) } else { Terminal.out(RunScreen.page(run, zone: status.zone, style: Terminal.style)) }
        } else {
            let list: APIRunList = try await client.get(Route.runs)
            if json { Terminal.out(bytes: try APIJSON.encode(list)) } else { Terminal.out(RunScreen.list(list.runs, zone: status.zone, style: Terminal.style)) }
        }
    }
}

struct RunsWatch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "watch", abstract: "Follows a run to its end, as the command that ordered it does.")

    @Argument(help: ArgumentHelp("The run's number.", valueName: "id"))
    var id: UInt64

    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let (client, status) = try await Reach(global, relays: false).first()
        RunFollower.letGo(run: id)
        throw Failure.quietly(try await RunFollower(client: client, zone: status.zone, json: false).follow(run: id))
    }
}
