import Foundation
import Glibc
import TestSupport
import Testing

/// Fleets of services that a test names itself, without the demo's pipeline.
extension TestFleet {
    /// `services` and `more` (top-level keys) stand in the inventory as they are; `hosts` are `NAME: {…}` lines or bare names.
    convenience init(
        hosts: [String], settings: [String: String] = [:], tiers: [String], more: String = "", services: (_ directory: String) -> String
    ) throws {
        let directory = "/tmp/ts-\(UUID().uuidString.prefix(8).lowercased())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        let declared = services(directory)
        try self.init(hosts: hosts, work: directory) { text in
            return """
                fleet: demo
                format: 1
                timezone: UTC
                coordinators:
                \(Self.coordinators(of: text))
                tiers: {\(tiers.map { "\($0): {}" }.joined(separator: ", "))}
                defaults:
                  env: {TORTURE_LOG: \(directory)/$service}
                  workdir: \(directory)
                  ready: {notify: 10s}
                  stop: {signal: TERM, grace: 500ms, extend_to: 2s, then: kill}
                  restart: {policy: never}
                hosts:
                \(hosts.map { "  \($0): {\(settings[$0] ?? "")}" }.joined(separator: "\n"))
                services:
                \(declared)
                \(more)
                """
        }
    }

    /// Of the demo's inventory: coordinators with their ports.
    static func coordinators(of text: String) -> String {
        text.split(separator: "\n").filter { $0.contains("ctl-1:") || $0.contains("ctl-2:") }.joined(separator: "\n")
    }

    /// Coordinator and agents alone.
    func beginWithoutRelay() throws {
        try startCoordinator()
        for host in hosts { try startAgent(host) }
        #expect(try eventually(within: 20) { try reportingHosts() == hosts.count }, "the hosts do not report: \(logs)")
    }

    /// This fleet, begun; ended if that fails: the test has nothing yet that it could end.
    func begun(_ begin: (TestFleet) throws -> Void) throws -> TestFleet {
        do { try begin(self) } catch {
            end()
            throw error
        }
        return self
    }

    /// Coordinator and agents alone, which may run programs from these directories, and all services started.
    func started(allowing directories: String...) throws -> TestFleet {
        flags += directories.flatMap { ["--allow-dir", $0] }
        return try begun { fleet in
            try fleet.beginWithoutRelay()
            #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        }
    }

    func killAgent(_ host: String) throws {
        agents[host]?.signal(SIGKILL)
        #expect(eventually(within: 10) { agents[host]?.process.isRunning == false })
    }
}
