import FleetCore
import FleetTrust
import Foundation
import LinuxHost

/// A fleet of real programs in one directory, for the emergency stop's benchmark.
final class EstopFleet {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let agents: Int
    private let workers: Int
    private let directory: String
    /// A tmpfs, as the agents' own default is (/run/trading, /run/user/UID).
    private let runDirectory: String
    private let bin: String
    private let ports: [Int]
    private var processes: [Process] = []

    init(agents: Int, workers: Int, worker: EstopWorker) throws {
        self.agents = agents
        self.workers = workers
        directory = "/tmp/trading-estop-\(ProcessInfo.processInfo.processIdentifier)"
        bin = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path
        // A block of its own well below the ephemeral range; the coordinator says so when one is taken.
        ports = [17_443, 17_444, 17_480, 17_481]
        for program in ["trading", "trading-coordinator", "trading-agent", "trading-shim", "trading-demo"]
        where !FileManager.default.isExecutableFile(atPath: "\(bin)/\(program)") {
            throw Failure(description: "\(bin)/\(program) is not built. Run: swift build -c release")
        }
        runDirectory = "/dev/shm/trading-estop-\(ProcessInfo.processInfo.processIdentifier)"
        for name in ["log", "state"] { try Files.makeDirectory("\(directory)/\(name)", mode: 0o750) }
        try prepare(worker)
    }

    private var hosts: [String] { (1...agents).map { "h-\($0)" } }
    private var config: String { directory + "/client.conf" }
    private var pki: String { directory + "/pki" }

    private func prepare(_ worker: EstopWorker) throws {
        let authority = try CertificateAuthority.create(directory: pki, fleet: "estop", force: false)
        for host in hosts { _ = try authority.issue(.agent, name: host) }
        for name in ["ctl-1", "ctl-2"] { _ = try authority.issue(.coordinator, name: name) }
        _ = try authority.issue(.operator, name: "bench")
        let ready = worker == .demo ? "notify: 60s" : "delay: 1ms"
        let run = command(worker).joined(separator: ", ")
        let services = hosts.flatMap { host in
            (1...workers).map { "  w-\($0)-\(host): {tier: execution, hosts: [\(host)], run: [\(run)], ready: {\(ready)}}" }
        }
        let inventory = """
            fleet: estop
            format: 1
            timezone: UTC
            coordinators:
              ctl-1: {address: "127.0.0.1:\(ports[0])", api: "127.0.0.1:\(ports[2])"}
              ctl-2: {address: "127.0.0.1:\(ports[1])", api: "127.0.0.1:\(ports[3])", role: emergency}
            tiers: {execution: {}}
            hosts:
            \(hosts.map { "  \($0): {}" }.joined(separator: "\n"))
            services:
            \(services.joined(separator: "\n"))

            """
        try Files.writeAtomically(directory + "/fleet.yaml", Array(inventory.utf8), sync: false)
        let client = """
            fleet = estop
            coordinator = ctl-1 127.0.0.1:\(ports[2])
            relay = ctl-2 127.0.0.1:\(ports[3])
            ca = \(pki)/ca.pem
            crl = \(pki)/crl.pem
            cert = \(pki)/operator-bench.pem
            key = \(pki)/operator-bench.key

            """
        try Files.writeAtomically(config, Array(client.utf8), sync: false)
    }

    /// A worker's argument vector.
    func command(_ worker: EstopWorker) -> [String] {
        switch worker {
        case .sleep: ["/usr/bin/sleep", "infinity"]
        case .demo: ["\(bin)/trading-demo", "test-worker"]
        }
    }

    private func identity(_ name: String) -> [String] {
        ["--cert", "\(pki)/\(name).pem", "--key", "\(pki)/\(name).key", "--ca", "\(pki)/ca.pem", "--crl", "\(pki)/crl.pem"]
    }

    private func launch(_ name: String, _ program: String, _ arguments: [String]) throws {
        let log = "\(directory)/log/\(name)"
        try Files.writeAtomically(log, [], sync: false)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "\(bin)/\(program)")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        processes.append(process)
    }

    func begin() throws {
        let fleet = directory + "/fleet.yaml"
        try launch(
            "ctl-1", "trading-coordinator",
            ["--name", "ctl-1", "--inventory", fleet, "--state-dir", directory + "/state/ctl-1"] + identity("coordinator-ctl-1"))
        try launch(
            "ctl-2", "trading-coordinator",
            ["--name", "ctl-2", "--relay", "--inventory", fleet, "--state-dir", directory + "/state/ctl-2"] + identity("coordinator-ctl-2"))
        for host in hosts {
            try launch(
                host, "trading-agent",
                [
                    "--host", host, "--fleet", "estop", "--coordinator", "127.0.0.1:\(ports[0])", "--coordinator", "127.0.0.1:\(ports[1])", "--state-dir",
                    "\(directory)/state/\(host)", "--run-dir", "\(runDirectory)/\(host)", "--program-dir", bin, "--allow-dir", bin, "--allow-dir", "/usr/bin",
                ] + identity("agent-\(host)"))
        }
    }

    @discardableResult
    private func trading(_ arguments: String...) throws -> (status: Int32, text: String) {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "\(bin)/trading")
        process.arguments = ["--config", config] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    /// Starts every worker; tries until all hosts report, at most a minute.
    func startWorkers() throws {
        let end = Clock.boottime() + .seconds(60)
        while true {
            let started = try trading("start", "--all", "--reason", "bench")
            if started.status == 0 { return }
            guard Clock.boottime() < end else { throw Failure(description: "the workers do not start: \(started.text)\nlogs: \(directory)/log") }
            poll(nil, 0, 200)
        }
    }

    /// Milliseconds from the command's start to the last worker gone, and to the command's end.
    func emergencyStop() throws -> (lastGone: Double, command: Double) {
        var handles: [PIDFD] = []
        for host in hosts {
            for launch in try LaunchDirectory.all(runDirectory: "\(runDirectory)/\(host)") {
                guard let worker = try launch.worker, try worker.isAlive() else { continue }
                handles.append(try PIDFD(opening: worker))
            }
        }
        guard handles.count == agents * workers else {
            throw Failure(description: "\(handles.count) of \(agents * workers) workers run. Logs: \(directory)/log")
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "\(bin)/trading")
        process.arguments = ["--config", config, "emergency-stop", "--yes", "--reason", "bench"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let start = Clock.boottime()
        try process.run()
        for handle in handles where try !handle.isGone(within: .seconds(10)) {
            throw Failure(description: "a worker outlived the emergency stop by 10 s. Logs: \(directory)/log")
        }
        let gone = (Clock.boottime() - start).milliseconds
        process.waitUntilExit()
        return (gone, (Clock.boottime() - start).milliseconds)
    }

    func release() throws {
        let released = try trading("emergency-stop", "release", "--reason", "bench")
        guard released.status == 0 else { throw Failure(description: "the latch was not released: \(released.text)") }
    }

    /// Ends the workers by their run directories, then every process that was started here.
    func end() {
        for host in hosts {
            let latch = LatchFile(
                id: "bench-end", by: "trading-bench", reason: "the benchmark ended", unixMicroseconds: Clock.unixMicroseconds(), scope: .init(everything: true))
            _ = LocalEmergencyStop.run(runDirectory: "\(runDirectory)/\(host)", stateDirectory: nil, latch: latch, isIncluded: { _ in true })
        }
        for process in processes { process.terminate() }
        for process in processes { process.waitUntilExit() }
        for path in [directory, runDirectory] {
            do { try Files.removeTree(path) } catch { print("\(error)") }
        }
    }
}
