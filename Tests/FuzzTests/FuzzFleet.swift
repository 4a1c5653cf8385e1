import FleetAPI
import FleetClient
import FleetCore
import FleetInventory
import FleetJournal
import FleetTrust
import Foundation
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

@testable import FleetAgent
@testable import FleetCoordinator
@testable import FleetWire

/// A coordinator or a relay of the demo's fleet, and the agent of its host st-1, in this process.
final class FuzzFleet {
    let directory: String
    let trust: TLSTrust
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let log = Logger(label: "fuzz", factory: { _ in SwiftLogNoOpLogHandler() })
    private var journals: [Journal] = []
    private var agents: [Agent] = []
    /// In a process of its own an agent lives to the end of it: what it has put off may look at it after its stop.
    private static let all = Mutex<[Agent]>([])

    init() throws {
        directory = try makeTestDirectory("fuzz")
        let authority = try CertificateAuthority.create(directory: directory + "/pki", fleet: "demo", force: false)
        let issued = try authority.issue(.coordinator, name: "ctl-1")
        trust = try TLSTrust(
            paths: TLSPaths(cert: issued.certificatePath, key: issued.keyPath, ca: directory + "/pki/ca.pem", crl: directory + "/pki/crl.pem"), fleet: "demo",
            log: log)
    }

    deinit {
        for agent in agents { agent.stop() }
        for journal in journals { journal.close() }
        do { try Files.removeTree(directory) } catch { Issue.record(error) }
    }

    static func identity(_ role: FleetIdentity.Role, _ name: String) throws -> FleetIdentity {
        try #require(FleetIdentity(role: role, name: name, fleet: "demo"))
    }

    func coordinator(relay: Bool) async throws -> Coordinator {
        let name = relay ? "ctl-2" : "ctl-1"
        let state = "\(directory)/\(name)"
        try Files.makeDirectory(state, mode: 0o750)
        let fleet = Corpus.directory.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("inventory/demo/fleet.yaml")
        let inventory = try InventoryLoader.load(text: String(contentsOf: fleet, encoding: .utf8), file: "fleet.yaml")
        var journal: Journal?
        var fold = CoordinatorFold([])
        if !relay {
            let opened = try Journal.open(path: state + "/journal")
            journals.append(opened.journal)
            journal = opened.journal
            fold = CoordinatorFold(opened.records)
        }
        let settings = Coordinator.Settings(
            name: CoordinatorName(name), stateDirectory: state, relay: relay, commandBound: .milliseconds(200), certificatePath: trust.paths.cert,
            keyPath: trust.paths.key)
        let coordinator = try Coordinator(settings: settings, inventory: inventory, journal: journal, fold: fold, trust: trust, home: group.next(), log: log)
        try await coordinator.begin(fold: fold)
        return coordinator
    }

    /// Nothing that it could launch is installed.
    func agent() throws -> Agent {
        var settings = AgentSettings()
        settings.fleet = "demo"
        settings.host = "st-1"
        settings.stateDirectory = directory + "/st-1"
        settings.runDirectory = directory + "/run"
        settings.shim = ShimFuzzTests.program("trading-shim")
        settings.programDirectories = [directory + "/none"]
        settings.allowedDirectories = [directory + "/none"]
        settings.allowedLogDirectories = [directory + "/none"]
        settings.allowedSecretDirectories = [directory + "/none"]
        settings.cgroupRoot = "none"
        let agent = try Agent(settings: settings, group: group, log: log)
        agents.append(agent)
        Self.all.withLock { $0.append(agent) }
        try agent.start()
        return agent
    }

    /// What people are shown of it can be made, too.
    static func look(_ status: APIFleetStatus) throws {
        let read = try APIJSON.decode(APIFleetStatus.self, from: APIJSON.encode(status))
        let style = ScreenStyle(width: 100)
        let zone = FleetZone(named: "UTC")
        _ = StatusScreen.lines(read, zone: zone, style: style)
    }
}
