import ArgumentParser
import FleetAPI
import FleetClient
import FleetWire

struct LayoutCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "layout", abstract: "Shows, plans, applies and verifies CPUs, hugepages and interrupts of hosts.",
        discussion: "Observes unless told to apply. Exit 0 as declared, 3 drift or problems, 4 a host is unknown.",
        subcommands: [LayoutShow.self, LayoutPlan.self, LayoutApply.self, LayoutVerify.self], defaultSubcommand: LayoutShow.self)

    static func run(_ what: WireLayoutRequest.What, _ options: LayoutOptions, overrides: [String] = [], reason: String = "") async throws {
        var ask = APILayoutAsk()
        ask.hosts = options.hosts
        ask.request.what = what
        ask.request.overrideWorkers = overrides
        ask.reason = reason
        let (client, status) = try await Reach(options.global, relays: false).first()
        // The kernel may take long to find the room for large pages.
        let answers: APILayoutAnswers =
            what == .apply
            ? try await client.order("The layout's changes", shows: "trading layout verify", Route.layout, ask, within: .seconds(130))
            : try await client.post(Route.layout, ask, within: .seconds(30))
        if options.json {
            Terminal.out(bytes: try APIJSON.encode(answers))
        } else {
            Terminal.out(LayoutScreen.lines(answers, what, zone: status.zone, style: Terminal.style))
        }
        throw Failure.quietly(ExitStatus(rawValue: LayoutScreen.condition(answers).rawValue) ?? .unknown)
    }
}

struct LayoutOptions: ParsableArguments {
    @Option(name: .customLong("host"), help: ArgumentHelp("This host only; repeatable. None: all.", valueName: "host"))
    var hosts: [String] = []

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var global: GlobalOptions
}

struct LayoutShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "What hosts are made of, and who runs where (the default).")
    @OptionGroup var options: LayoutOptions
    func run() async throws { try await LayoutCommand.run(.show, options) }
}

struct LayoutPlan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "What an apply would change, and why the declared layout can't be had where it can't.")
    @OptionGroup var options: LayoutOptions
    func run() async throws { try await LayoutCommand.run(.plan, options) }
}

struct LayoutApply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Reserves hugepages and places interrupts as declared, and reads back what was granted.",
        discussion: "Touches nothing of a live worker unless that worker is named with --override.")
    @OptionGroup var options: LayoutOptions
    @OptionGroup var why: ReasonOption
    @Option(name: .customLong("override"), help: ArgumentHelp("A live worker that may be touched; repeatable.", valueName: "worker"))
    var overrides: [String] = []

    func run() async throws {
        try await LayoutCommand.run(.apply, options, overrides: overrides, reason: why.reason)
    }
}

struct LayoutVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "verify", abstract: "What is unlike the declaration now.")
    @OptionGroup var options: LayoutOptions
    func run() async throws { try await LayoutCommand.run(.verify, options) }
}
