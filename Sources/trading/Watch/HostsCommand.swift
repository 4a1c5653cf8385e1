import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore

struct HostsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hosts", abstract: "Decides about a host of which two instances were seen alive, or that runs what the inventory doesn't have there.",
        subcommands: [HostsSettle.self])
}

struct HostsSettle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settle", abstract: "Says that a second instance of a host, or what ran on one beside the inventory, is gone.",
        discussion: """
            A cloned host, or a key that was copied to another, has two agents of one name. Until one has ended nothing is started there, and no stop is \
            proven. An instance that ended when nothing ran there settles it by itself; after any other, a person who has looked says so here. It is refused \
            while both answer, and stands in the audit. The same of a host that the inventory doesn't have and whose agent has dialled in: from then \
            on it is not counted against a stop of everything, until it dials in again. And of what ran on a silent host when it was last heard, where \
            the inventory has it no more: it counts as running, and keeps its service from being started elsewhere, until the host or a person says otherwise.
            """)

    @Argument(help: ArgumentHelp("A host of the inventory, or one that has dialled in from outside it.", valueName: "host")) var host: String
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        var request = APISettleRequest()
        request.host = host
        request.reason = why.reason
        let client = try await Reach(global, relays: false).first().client
        let done: APIDone = try await client.order("The settling of \(host)", Route.settle, request)
        Terminal.out([done.text])
    }
}
