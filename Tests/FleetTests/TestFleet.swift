import Foundation
import Glibc
import TestSupport
import Testing

/// A whole fleet of real programs on loopback: a Redis, a coordinator, a relay, four agents, the pipeline of the demo's
/// inventory or another one. Everything lies in one directory; everything is ended by `end()`.
final class TestFleet {
    let directory: String
    let ports: Ports
    let hosts: [String]
    private(set) var redis: TestProcess?
    private(set) var coordinator: TestProcess?
    private(set) var relay: TestProcess?
    private(set) var agents: [String: TestProcess] = [:]
    /// Where each host's state lies; a test may point one at a small file system.
    var stateDirectories: [String: String] = [:]
    /// More of the coordinator's environment, and of the commands'.
    var environment: [String: String] = [:]
    /// More of the agents' flags.
    var flags: [String] = []
    /// Where services of a test's own keep what they write.
    let work: String

    struct Ports {
        let coordinator, relay, api, relayAPI, redis, gateway: Int
    }

    typealias Output = Program.Output

    static let bin = Program.bin

    /// `edit` changes the demo's inventory, after its ports were replaced.
    init(hosts: [String] = ["md-1", "md-2", "st-1", "ex-1"], work: String? = nil, edit: (String) -> String = { $0 }) throws {
        self.hosts = hosts
        directory = "/tmp/tf-\(UUID().uuidString.prefix(8).lowercased())"
        self.work = work ?? directory
        try FileManager.default.createDirectory(atPath: directory + "/log", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
        for name in ["run", "state", "redis"] { try FileManager.default.createDirectory(atPath: "\(directory)/\(name)", withIntermediateDirectories: true) }
        let free = try Self.freePorts(6)
        ports = Ports(coordinator: free[0], relay: free[1], api: free[2], relayAPI: free[3], redis: free[4], gateway: free[5])
        var text = try String(contentsOfFile: Program.root + "/inventory/demo/fleet.yaml", encoding: .utf8)
        for (old, new) in [
            (7443, ports.coordinator), (7444, ports.relay), (7480, ports.api), (7481, ports.relayAPI), (16379, ports.redis), (18081, ports.gateway),
        ] {
            text = text.replacingOccurrences(of: "127.0.0.1:\(old)", with: "127.0.0.1:\(new)")
        }
        try edit(text).write(toFile: inventory, atomically: true, encoding: .utf8)
        try prepareIdentities()
    }

    var inventory: String { directory + "/fleet.yaml" }
    var config: String { directory + "/client.conf" }

    // MARK: Parts

    /// More of an identity, as an attacker would have it: `issue("agent", "eve")`.
    func issue(_ role: String, _ name: String, _ more: String...) throws {
        let output = try raw("trading", ["certs", "issue", role, name, "--dir", directory + "/pki"] + more)
        #expect(output.status == 0, "\(output.text)")
    }

    private func prepareIdentities() throws {
        let pki = directory + "/pki"
        #expect(try raw("trading", ["certs", "init", "--dir", pki, "--fleet", "demo"]).status == 0)
        for host in hosts { #expect(try raw("trading", ["certs", "issue", "agent", host, "--dir", pki]).status == 0) }
        for (role, name) in [("coordinator", "ctl-1"), ("relay", "ctl-2")] {
            #expect(try raw("trading", ["certs", "issue", role, name, "--inventory", inventory, "--dir", pki]).status == 0)
        }
        for name in ["alice", "bob"] { #expect(try raw("trading", ["certs", "issue", "operator", name, "--dir", pki]).status == 0) }
        try """
        fleet = demo
        coordinator = ctl-1 127.0.0.1:\(ports.api)
        relay = ctl-2 127.0.0.1:\(ports.relayAPI)
        ca = \(pki)/ca.pem
        crl = \(pki)/crl.pem
        cert = \(pki)/operator-alice.pem
        key = \(pki)/operator-alice.key

        """.write(toFile: config, atomically: true, encoding: .utf8)
    }

    func identity(_ name: String) -> [String] {
        let pki = directory + "/pki"
        return ["--cert", "\(pki)/\(name).pem", "--key", "\(pki)/\(name).key", "--ca", "\(pki)/ca.pem", "--crl", "\(pki)/crl.pem"]
    }

    /// Starts everything and waits until every host reports.
    func begin() throws {
        try startRedis()
        try startCoordinator()
        try startRelay()
        for host in hosts { try startAgent(host) }
        #expect(try eventually(within: 20) { try reportingHosts() == hosts.count }, "the hosts do not report: \(logs)")
    }

    func startRedis() throws {
        redis = try TestProcess(
            "redis", "/usr/bin/redis-server",
            ["--bind", "127.0.0.1", "--port", "\(ports.redis)", "--save", "", "--appendonly", "no", "--dir", directory + "/redis"],
            log: directory + "/log/redis")
        #expect(eventually(within: 5) { Self.connects(ports.redis) })
    }

    func startCoordinator() throws {
        coordinator = try TestProcess(
            "ctl-1", Self.bin + "/trading-coordinator",
            ["--name", "ctl-1", "--inventory", inventory, "--state-dir", directory + "/state/ctl-1", "--socket", directory + "/run/ctl-1.sock"]
                + identity("coordinator-ctl-1"), log: directory + "/log/ctl-1", environment: environment)
    }

    func startRelay(as certificate: String = "relay-ctl-2") throws {
        relay = try TestProcess(
            "ctl-2", Self.bin + "/trading-coordinator",
            ["--name", "ctl-2", "--relay", "--inventory", inventory, "--state-dir", directory + "/state/ctl-2"] + identity(certificate),
            log: directory + "/log/ctl-2")
    }

    func startAgent(_ host: String) throws {
        agents[host] = try agentProcess(host, state: stateDirectories[host] ?? "\(directory)/state/\(host)", run: "\(directory)/run/\(host)", log: host)
    }

    /// Another host with the same name and key. The test ends it, and what it runs.
    ///
    /// With `bootID` it takes its boot for that one, and has been up as long as this machine; needs root.
    func startClone(of host: String, bootID: String? = nil) throws -> TestProcess {
        try agentProcess(host, state: "\(directory)/state/\(host)-clone", run: "\(directory)/run/\(host)-clone", log: "\(host)-clone", bootID: bootID)
    }

    private func agentProcess(_ host: String, state: String, run: String, log: String, bootID: String? = nil) throws -> TestProcess {
        var front = [Self.bin + "/trading-agent"]
        if let bootID {
            let file = "\(directory)/boot-id"
            try "\(bootID)\n".write(toFile: file, atomically: true, encoding: .utf8)
            front = ["/usr/bin/unshare", "-m", "/bin/sh", "-c", "mount --bind \(file) /proc/sys/kernel/random/boot_id && exec \"$@\"", "sh"] + front
        }
        return try TestProcess(
            host, front[0],
            front.dropFirst() + [
                "--host", host, "--fleet", "demo", "--coordinator", "127.0.0.1:\(ports.coordinator)", "--coordinator", "127.0.0.1:\(ports.relay)",
                "--state-dir", state, "--run-dir", run, "--program-dir", Self.bin,
            ] + flags + identity("agent-\(host)"), log: "\(directory)/log/\(log)")
    }

    // MARK: Commands

    private func raw(_ program: String, _ arguments: [String]) throws -> Output {
        try Program.run("\(Self.bin)/\(program)", arguments, environment: environment)
    }

    @discardableResult
    func trading(_ arguments: String...) throws -> Output { try raw("trading", ["--config", config] + arguments) }

    /// `trading --local` against one host's agent and directories.
    @discardableResult
    func local(_ host: String, _ arguments: String...) throws -> Output {
        let path = "\(directory)/local-\(host).conf"
        let run = "\(directory)/run/\(host)"
        try "fleet = demo\nagent_socket = \(run)/agent.sock\nrun_dir = \(run)\nstate_dir = \(stateDirectories[host] ?? "\(directory)/state/\(host)")\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        return try raw("trading", ["--config", path, "--local"] + arguments)
    }

    /// A command that goes on while the test looks at something else.
    func background(_ arguments: String...) throws -> TestProcess {
        try TestProcess("trading", Self.bin + "/trading", ["--config", config] + arguments, log: "\(directory)/log/cli-\(UUID().uuidString.prefix(6))")
    }

    /// The coordinator's own word: while it starts, a relay that knows the hosts already would answer in its place.
    func status() throws -> [String: Any] {
        let output = try trading("--via", "ctl-1", "status", "--json")
        return try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any] ?? [:]
    }

    func hostStatuses() throws -> [[String: Any]] {
        // Before the coordinator listens there is no JSON: nobody reports.
        guard let status = try? status() else { return [] }
        return status["hosts"] as? [[String: Any]] ?? []
    }

    func reportingHosts() throws -> Int { try hostStatuses().count { $0["known"] as? Bool == true } }

    func worker(_ service: String) throws -> [String: Any]? {
        for host in try hostStatuses() {
            let report = host["report"] as? [String: Any]
            let workers = report?["workers"] as? [[String: Any]] ?? []
            if let found = workers.first(where: { $0["service"] as? String == service }) { return found }
        }
        return nil
    }

    func state(_ service: String) throws -> String { try worker(service)?["state"] as? String ?? "STOPPED" }

    /// Its main process; 0 if none is reported within 5 s: a run may end before the host's next report.
    func pid(_ service: String) throws -> Int32 {
        var pid: Int32 = 0
        _ = try eventually(within: 5) {
            pid = (try worker(service)?["pid"] as? NSNumber)?.int32Value ?? 0
            return pid > 0
        }
        return pid
    }

    /// The coordinator's audit.
    func audit(_ name: String = "ctl-1") throws -> [[String: Any]] {
        try journalRecords(at: "\(stateDirectories[name] ?? "\(directory)/state/\(name)")/journal")
    }

    func verifyAudits() throws {
        for name in ["ctl-1"] + hosts {
            let output = try trading("audit", "verify", "\(stateDirectories[name] ?? "\(directory)/state/\(name)")/journal")
            // Whole in itself, and no more is claimed without an anchor.
            #expect(output.status == 4 && output.text.contains("UNANCHORED"), "\(name): \(output.text)")
        }
    }

    var logs: String {
        ([coordinator, relay].compactMap { $0 } + agents.values).map { "--- \($0.name)\n\($0.log.suffix(3_000))" }.joined(separator: "\n")
    }

    /// Ends workers through the run directories, then every process of this fleet.
    func end() {
        for host in hosts {
            agents[host]?.signal(SIGCONT)
            _ = try? local(host, "emergency-stop", "--everything", "--yes", "--reason", "the test ended")
        }
        for agent in agents.values { agent.end() }
        coordinator?.end()
        relay?.end()
        redis?.end()
        for path in [directory, work] { try? FileManager.default.removeItem(atPath: path) }
    }

    // MARK: Ports

    static func connects(_ port: Int) -> Bool {
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(fd) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        }
    }

    /// Ports that the kernel gave out and took back just now.
    static func freePorts(_ count: Int) throws -> [Int] {
        var sockets: [Int32] = []
        defer { for fd in sockets { close(fd) } }
        return (0..<count).map { _ in
            let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            sockets.append(fd)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = bind(fd, $0, length)
                    _ = getsockname(fd, $0, &length)
                }
            }
            return Int(UInt16(bigEndian: address.sin_port))
        }
    }
}
