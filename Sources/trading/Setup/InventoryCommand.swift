import ArgumentParser
import FleetClient
import FleetCore
import FleetInventory
import FleetTrust

struct InventoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inventory", abstract: "Checks a fleet's declaration, and shows what it comes to.",
        subcommands: [InventoryCheck.self, InventoryShow.self])

    static func load(_ file: String) throws -> Inventory { try InventoryLoader.load(file, digest: { Digest.sha256Hex($0) }) }
}

struct InventoryCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reports every fault at once, each with its place and what to write instead.",
        discussion: "Exit 0 without a fault, else 2. What is allowed and hardly ever meant is noted.")

    @Argument(help: ArgumentHelp("The inventory.", valueName: "file")) var file: String
    @OptionGroup var global: GlobalOptions

    func run() throws {
        do {
            let inventory = try InventoryCommand.load(file)
            Terminal.out([
                "\(file): good · fleet \(inventory.fleet) · \(ScreenText.plural(inventory.hosts.count, "host")), "
                    + "\(ScreenText.plural(inventory.services.count, "service")), \(ScreenText.plural(inventory.workers.count, "worker")), "
                    + "\(ScreenText.plural(inventory.streams.count, "stream")) · digest \(inventory.digest.prefix(12))"
            ])
            for advice in InventoryAdvice.lines(inventory) {
                Terminal.out(ScreenText.wrapped("  note: \(advice)", width: Terminal.style.width, indent: "        "))
            }
        } catch let errors as InventoryErrors {
            Terminal.out(errors.errors.map(\.description))
            throw Failure("\(file): \(errors.errors.count) \(errors.errors.count == 1 ? "fault" : "faults")", .usage)
        }
    }
}

struct InventoryShow: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Prints one worker fully expanded.")

    @Argument(help: ArgumentHelp("SERVICE@HOST.", valueName: "worker")) var worker: String
    @Option(name: [.customLong("inventory"), .customLong("file")], help: ArgumentHelp("The inventory.", valueName: "file")) var file: String
    @OptionGroup var global: GlobalOptions

    func run() throws {
        guard let name = WorkerName(worker) else { throw Failure("\"\(worker)\" is not a worker: write SERVICE@HOST", .usage) }
        let inventory = try InventoryCommand.load(file)
        do {
            Terminal.out([try InventoryExpansion.show(inventory, name)])
        } catch {
            throw Failure(error.description, .usage)
        }
    }
}
