import ArgumentParser
import FleetAPI
import FleetClient
import FleetCore
import FleetTrust
import FleetWire
import LinuxHost

struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator", abstract: "Says which coordinator's store agents follow, after one was lost or replaced.",
        subcommands: [CoordinatorSucceed.self, CoordinatorAccept.self])
}

struct CoordinatorSucceed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "succeed", abstract: "Has agents follow the coordinator that answers, in place of the stores that they follow now.",
        discussion: """
            An agent follows the coordinator and store that it met first, and takes no other's orders. This statement, signed with your own key, names the \
            new store with its key and those that hosts follow now; agents take it once, when they dial in, and record it. Without an operator's key: on each host, \
            trading --local coordinator accept STORE.
            """)

    @OptionGroup var why: ReasonOption
    @Option(name: .customLong("replaces"), help: ArgumentHelp("Also this store, of hosts that are away now; repeatable.", valueName: "store"))
    var replaces: [String] = []
    @Flag(help: "Do not ask.") var yes = false
    @OptionGroup var global: GlobalOptions

    func run() async throws {
        let reach = try Reach(global, relays: false)
        let (client, status) = try await reach.first()
        guard !global.local, !status.relay else {
            throw Failure(
                "coordinator succeed is for a full coordinator to pass on. On a host itself: trading --local coordinator accept STORE --reason …", .usage)
        }
        guard let operatorSignature = OperatorSignature(reach.settings, reach.trust), !client.endpoint.isLocal else {
            throw Failure("coordinator succeed is signed with an operator's key: name cert and key in the settings, and ask over TLS (--via NAME)", .usage)
        }
        let followed = status.hosts.filter { $0.report.hasPin && !$0.refuses.isEmpty }
        var stores: [String] = []
        for store in followed.map(\.report.pin.storeID) + replaces where !stores.contains(store) { stores.append(store) }
        guard !stores.isEmpty else {
            throw Failure(
                "No host that reports follows another store or key than \(status.storeID) of \(status.coordinator). Nothing was done. "
                    + "Hosts that get no session can't be told; trading status says why they get none.", .refused)
        }
        guard stores.count <= SuccessionStatement.replacesMax else {
            throw Failure("Hosts follow \(stores.count) stores; one statement replaces at most \(SuccessionStatement.replacesMax)", .refused)
        }
        Terminal.out(
            [
                "\(status.coordinator), store \(status.storeID), \(DetailScreen.keyWords(status.storeKey)), is to be followed by \(ScreenText.plural(status.hosts.count, "host")) of \(status.fleet).",
                "It replaces: \(stores.joined(separator: ", "))",
            ]
                + followed.map {
                    "  \($0.host) follows \($0.report.pin.coordinator), store \($0.report.pin.storeID), \(DetailScreen.keyWords($0.report.pin.storeKey))"
                } + ["Whoever answers here signs for itself: compare the key with what the coordinator's own log says at its start."])
        if !yes { try Confirmation.type("succeed \(status.fleet)") }
        let statement = SuccessionStatement(
            fleet: operatorSignature.fleet, coordinator: status.coordinator, store: status.storeID, storeKey: status.storeKey, replaces: stores,
            by: operatorSignature.author, reason: LatchBounds.reason(why.reason), unixMicroseconds: Clock.unixMicroseconds())
        var request = APISuccessionRequest()
        request.statement.document = statement.document
        request.statement.signature = operatorSignature.sign(Array(statement.document.utf8))
        let done: APIDone = try await client.order("The succession", Route.succession, request)
        Terminal.out([done.text])
    }
}

struct CoordinatorAccept: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accept", abstract: "On a host itself (--local): has its agent follow the coordinator of this store, and no other.")

    @Argument(help: ArgumentHelp("The store, as status shows it.", valueName: "store")) var store: String
    @Flag(help: "Also a store that no connected coordinator has: the first that comes with it is followed.") var unseen = false
    @OptionGroup var why: ReasonOption
    @OptionGroup var global: GlobalOptions

    func validate() throws {
        guard global.local else {
            throw ValidationError("accept is for the host itself: trading --local coordinator accept STORE. A whole fleet: coordinator succeed.")
        }
    }

    func run() async throws {
        let client = try await Reach(global, relays: false).first().client
        var request = APIAcceptRequest()
        request.store = store
        request.reason = why.reason
        request.unseen = unseen
        let done: APIDone = try await client.order("The acceptance of the store", shows: "trading --local status", Route.accept, request)
        Terminal.out([done.text])
    }
}

/// Has a person type what they mean.
enum Confirmation {
    static func type(_ words: String) throws {
        guard Terminal.inIsTerminal else {
            throw Failure("This asks before it acts, and there is no terminal to ask at. Nothing was done. Without asking: add --yes", .usage)
        }
        Terminal.raw("Type  \(Cleaned.text(words, bytesMax: 160))  to go on: ")
        guard (readLine() ?? "").split(separator: " ").joined(separator: " ") == words else { throw Failure("Nothing was done.", .refused) }
    }
}
