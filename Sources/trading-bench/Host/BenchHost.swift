import FleetCore
import FleetTrust
import Foundation
import LinuxHost

/// One host as the fleet has it, of real programs in one directory: a coordinator, an agent, and workers that do nothing
/// but say when they started.
final class BenchHost {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// A worker and the shim above it.
    struct Launch {
        let service: String
        let worker: ProcessIdentity
        let shim: ProcessIdentity
    }

    let name: String
    let workers: Int
    let directory: String
    /// A tmpfs, as the agent's own default is.
    let runDirectory: String
    let started: StartedFile
    private let bin: String
    private let port: Int
    /// Put in front of the agent's and the coordinator's arguments, for example `taskset -c 0`.
    private let prefix: [String]
    private var coordinator: Process?
    private var agent: Process?

    /// `port` and the next are used on 127.0.0.1; `prefix` starts with an absolute path.
    init(name: String, workers: Int, port: Int, prefix: [String] = []) throws {
        self.name = name
        self.workers = workers
        self.port = port
        self.prefix = prefix
        bin = try Self.programs(["trading", "trading-coordinator", "trading-agent", "trading-shim", "trading-bench-floor"])
        directory = "/tmp/trading-bench-\(name)-\(getpid())"
        runDirectory = "/dev/shm/trading-bench-\(name)-\(getpid())"
        for part in ["log", "state"] { try Files.makeDirectory("\(directory)/\(part)", mode: 0o750) }
        try Files.makeDirectory(runDirectory, mode: 0o750)
        started = try StartedFile(path: "\(runDirectory)/started")
        try prepare()
    }

    /// $TRADING_BIN, or where this program itself lies.
    static func programs(_ names: [String]) throws -> String {
        let own = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path
        let bin = ProcessInfo.processInfo.environment["TRADING_BIN"] ?? own
        for program in names where !Files.isExecutable("\(bin)/\(program)") {
            throw Failure(description: "\(bin)/\(program) is not built. Run: swift build -c release --static-swift-stdlib, or set TRADING_BIN")
        }
        return bin
    }

    var agentPID: Int32 { agent?.processIdentifier ?? 0 }
    var coordinatorPID: Int32 { coordinator?.processIdentifier ?? 0 }
    var floor: String { "\(bin)/trading-bench-floor" }
    var stateDirectory: String { "\(directory)/state/agent" }
    private var pki: String { "\(directory)/pki" }

    private func prepare() throws {
        let authority = try CertificateAuthority.create(directory: pki, fleet: "bench", force: false)
        _ = try authority.issue(.agent, name: "h-1")
        _ = try authority.issue(.coordinator, name: "ctl-1")
        _ = try authority.issue(.operator, name: "bench")
        let run = "[trading-bench-floor, worker, --exit-after-term-ms, \"50\", --started, \(started.path)]"
        let inventory = """
            fleet: bench
            format: 1
            timezone: UTC
            coordinators: {ctl-1: {address: "127.0.0.1:\(port)", api: "127.0.0.1:\(port + 1)"}}
            tiers: {execution: {}}
            defaults:
              ready: {delay: 1ms}
              stop: {signal: TERM, grace: 10s, then: kill}
              restart: {policy: always, delay: 0s, limit: {starts: 1000, within: 1s}}
            hosts: {h-1: {}}
            services:
            \((1...workers).map { "  w-\($0): {tier: execution, hosts: [h-1], stop: {then: kill}, restart: {policy: always}, run: \(run)}" }.joined(separator: "\n"))

            """
        try Files.writeAtomically("\(directory)/fleet.yaml", Array(inventory.utf8), sync: false)
        let client = """
            fleet = bench
            coordinator = ctl-1 127.0.0.1:\(port + 1)
            run_dir = \(runDirectory)
            state_dir = \(stateDirectory)
            ca = \(pki)/ca.pem
            crl = \(pki)/crl.pem
            cert = \(pki)/operator-bench.pem
            key = \(pki)/operator-bench.key

            """
        try Files.writeAtomically("\(directory)/client.conf", Array(client.utf8), sync: false)
    }

    private func launch(_ name: String, _ program: String, _ arguments: [String]) throws -> Process {
        let log = "\(directory)/log/\(name)"
        if !Files.exists(log) { try Files.writeAtomically(log, [], sync: false) }
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        try handle.seekToEnd()
        let words = prefix + ["\(bin)/\(program)"] + arguments
        let process = Process()
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = handle
        process.standardError = handle
        try process.start()
        return process
    }

    private func identity(_ name: String) -> [String] {
        ["--cert", "\(pki)/\(name).pem", "--key", "\(pki)/\(name).key", "--ca", "\(pki)/ca.pem", "--crl", "\(pki)/crl.pem"]
    }

    func begin() throws {
        coordinator = try launch(
            "ctl-1", "trading-coordinator",
            ["--name", "ctl-1", "--inventory", "\(directory)/fleet.yaml", "--state-dir", "\(directory)/state/ctl-1"] + identity("coordinator-ctl-1"))
        try startAgent()
    }

    func startAgent() throws {
        agent = try launch(
            "agent", "trading-agent",
            [
                "--host", "h-1", "--fleet", "bench", "--coordinator", "127.0.0.1:\(port)", "--state-dir", stateDirectory, "--run-dir", runDirectory,
                "--program-dir", bin,
            ] + identity("agent-h-1"))
    }

    /// Ends the agent alone; its workers go on.
    func endAgent() {
        agent?.terminate()
        agent?.waitUntilExit()
        agent = nil
    }

    // MARK: Orders

    @discardableResult
    func trading(_ arguments: String...) throws -> (status: Int32, text: String) {
        try Program.run("\(bin)/trading", ["--config", "\(directory)/client.conf"] + arguments)
    }

    /// Through the coordinator, so that its link is up afterwards; tries until the host reports, at most a minute.
    func startWorkers() throws {
        let end = Clock.boottime() + .seconds(60)
        while true {
            let answer = try trading("start", "--all", "--reason", "bench")
            if answer.status == 0 { return }
            guard Clock.boottime() < end else { throw Failure(description: "the workers do not start: \(answer.text)\nlogs: \(directory)/log") }
            poll(nil, 0, 200)
        }
    }

    /// Whether the coordinator has this agent's reports.
    func isReporting() throws -> Bool { try trading("status", "--json").text.contains("\"known\":true") }

    func release() throws {
        let answer = try trading("--local", "emergency-stop", "release", "--reason", "bench")
        guard answer.status == 0 else { throw Failure(description: "the latch was not released: \(answer.text)") }
    }

    /// Writes one request to the agent's own socket and does not wait for its answer; closes with the result's end.
    func order(_ path: String, _ body: String) throws -> OpenRequest {
        try OpenRequest(directory: runDirectory, socket: "agent.sock", "POST \(path) HTTP/1.1", body: body, type: "application/json")
    }

    /// Those that run now.
    func launches() throws -> [Launch] {
        var found: [Launch] = []
        for directory in try LaunchDirectory.all(runDirectory: runDirectory) {
            guard let worker = try directory.worker, let shim = try directory.identity, try worker.isAlive() else { continue }
            found.append(Launch(service: directory.service, worker: worker, shim: shim))
        }
        return found
    }

    /// Exactly as many as are declared run, or this throws.
    func allLaunches() throws -> [Launch] {
        let found = try launches()
        guard found.count == workers else { throw Failure(description: "\(found.count) of \(workers) workers run. Logs: \(directory)/log") }
        return found
    }

    /// Ends the workers by their run directory, then both programs.
    func end() {
        let latch = LatchFile(
            id: "bench-end", by: "trading-bench", reason: "the benchmark ended", unixMicroseconds: Clock.unixMicroseconds(), scope: .init(everything: true))
        endAgent()
        _ = LocalEmergencyStop.run(runDirectory: runDirectory, stateDirectory: nil, latch: latch, isIncluded: { _ in true })
        coordinator?.terminate()
        coordinator?.waitUntilExit()
        for path in [directory, runDirectory] {
            do { try Files.removeTree(path) } catch { print("\(error)") }
        }
    }
}
