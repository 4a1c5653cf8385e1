import FleetCore
import FleetJournal
import FleetTrust
import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import FleetAgent

/// An agent in this process, without coordinators, with directories of its own and real shims; `end` leaves nothing running.
final class AgentFixture {
    let scratch: Scratch
    private var agent: Agent?
    /// In a process of its own an agent lives to the end of it: what it has put off may look at it after its stop.
    private static let all = Mutex<[Agent]>([])

    var state: String { scratch.path + "/state" }
    var run: String { scratch.path + "/run" }

    struct Missing: Error, CustomStringConvertible {
        let description: String
    }

    /// Beside the test bundle, or where TRADING_BIN points.
    static let shim: String = {
        if let directory = getenv("TRADING_BIN") { return String(cString: directory) + "/trading-shim" }
        let beside = CommandLine.arguments[0]
        return String(beside[..<(beside.lastIndex(of: "/") ?? beside.startIndex)]) + "/trading-shim"
    }()

    init() throws { scratch = try Scratch() }

    /// A worker that sleeps and is ready at once.
    static func worker(_ service: String = "feed", _ tier: String = "market-data", _ change: (inout WireWorkerSpec) -> Void = { _ in }) -> WireWorkerSpec {
        var worker = WireWorkerSpec()
        worker.service = service
        worker.tier = tier
        worker.run = ["/bin/sleep", "1000"]
        worker.ready.delay = true
        worker.stop.graceNs = 10_000_000_000
        worker.emergencyKilled = true
        change(&worker)
        return worker
    }

    /// A part with one worker, `feed`; as a coordinator would have sent it before.
    func savePart(_ change: (inout WireWorkerSpec) -> Void = { _ in }) throws { try savePart([Self.worker("feed", "market-data", change)]) }

    func savePart(_ workers: [WireWorkerSpec], timezone: String = "") throws {
        var part = WireHostPart()
        part.fleet = "demo"
        part.host = "md-1"
        part.workers = workers
        part.timezone = timezone
        part.digest = try PartStore.digest(of: part)
        try Files.makeDirectory(state, mode: 0o750)
        try PartStore.save(part, to: state + "/part.pb")
    }

    /// What an agent before this one wrote.
    func saveJournal(_ records: AuditRecord...) throws {
        try Files.makeDirectory(state, mode: 0o750)
        let journal = try Journal.open(path: state + "/journal").journal
        journal.append(records) { _ in }
        journal.close()
    }

    func start(_ change: (inout AgentSettings) -> Void = { _ in }) throws -> Agent {
        guard Files.isExecutable(Self.shim) else { throw Missing(description: "no shim at \(Self.shim); build it, or set TRADING_BIN") }
        var settings = AgentSettings()
        settings.fleet = "demo"
        settings.host = "md-1"
        settings.stateDirectory = state
        settings.runDirectory = run
        settings.shim = Self.shim
        settings.programDirectories = ["/bin", "/usr/bin"]
        settings.allowedDirectories = ["/bin", "/usr/bin"]
        change(&settings)
        var log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        log.logLevel = .critical
        let agent = try Agent(settings: settings, group: MultiThreadedEventLoopGroup.singleton, log: log)
        self.agent = agent
        Self.all.withLock { $0.append(agent) }
        try agent.start()
        // Its socket is what it opens last.
        guard eventually({ Files.isSocket(run + "/agent.sock") }) else { throw Missing(description: "the agent did not come up") }
        return agent
    }

    func onLoop<T: Sendable>(_ body: @escaping @Sendable () throws -> T) throws -> T {
        guard let agent else { throw Missing(description: "no agent") }
        return try agent.loop.submit(body).wait()
    }

    /// Orders and waits for the outcome.
    @discardableResult
    func order(
        _ verb: Agent.Ask, of service: String = "feed", by: String = "test", reason: String = "test", notAfter: BootTime? = nil,
        meanwhile: () throws -> Void = {}
    ) throws -> WireCommandResult {
        guard let agent else { throw Missing(description: "no agent") }
        let promise = agent.loop.makePromise(of: WireCommandResult.self)
        agent.loop.execute {
            guard let shell = agent.shell(service) else { return promise.fail(Missing(description: "no worker")) }
            agent.order(verb, shell, by: by, reason: reason, run: nil, notAfter: notAfter) { result in
                if result.outcome != .progress { promise.succeed(result) }
            }
        }
        try meanwhile()
        return try promise.futureResult.wait()
    }

    func phase(of service: String = "feed") throws -> String {
        try onLoop { [agent] in agent?.shell(service).map { ReportBuilder.word($0.machine.phase) } ?? "none" }
    }

    func pid() throws -> Int32? { try onLoop { [agent] in agent?.shell("feed")?.machine.pid } }

    func journalText() throws -> String { String(decoding: try Files.read(state + "/journal", limit: 1 << 20), as: UTF8.self) }

    /// Stops what runs, then the agent.
    func end() {
        do {
            for service in try onLoop({ [agent] in agent?.shells.filter { $0.machine.launch != nil }.map(\.service) ?? [] }) {
                if try onLoop({ [agent] in agent?.shell(service)?.machine.lock != nil }) { try order(.unlock, of: service) }
                try order(.stop(killNow: true), of: service)
            }
        } catch {
            Issue.record(error)
        }
        agent?.stop()
        agent = nil
    }
}
