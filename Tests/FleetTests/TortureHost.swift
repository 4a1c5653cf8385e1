import FleetWire
import Foundation
import Glibc
import LinuxHost
import TestSupport
import Testing

@testable import FleetAgent

/// One real agent with real shims and workers that misbehave, driven through `trading --local`: no coordinator anywhere.
final class TortureHost {
    let directory: String
    /// Shell words in front of the agent's command line; a test may put it into namespaces.
    var wrapper: [String] = []
    /// More of the agent's flags.
    var flags: [String] = []
    private(set) var agent: TestProcess?
    private(set) var workers: [WireWorkerSpec] = []

    init() throws {
        directory = "/tmp/torture-\(UUID().uuidString.prefix(8).lowercased())"
        for name in ["run", "state", "work"] {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/\(name)", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        }
        try "fleet = demo\nagent_socket = \(run)/agent.sock\nrun_dir = \(run)\nstate_dir = \(state)\n"
            .write(toFile: "\(directory)/local.conf", atomically: true, encoding: .utf8)
    }

    var run: String { directory + "/run" }
    var state: String { directory + "/state" }

    /// A worker with a habit (Tests/TortureWorker/main.c); its grace is short.
    func add(_ service: String, _ habit: String..., change: (inout WireWorkerSpec) -> Void = { _ in }) {
        var worker = WireWorkerSpec()
        worker.service = service
        worker.tier = "market-data"
        worker.run = [TestFleet.bin + "/torture-worker"] + habit
        worker.env = ["TORTURE_LOG": "\(directory)/work/\(service)"]
        worker.workdir = directory + "/work"
        worker.ready.notify = true
        worker.ready.withinNs = 10_000_000_000
        worker.stop.signal = "TERM"
        worker.stop.graceNs = 400_000_000
        worker.stop.extendToNs = 2_000_000_000
        worker.emergencyKilled = true
        worker.restart.policy = .never
        change(&worker)
        workers.append(worker)
    }

    /// A worker that does what it is told by `tell`.
    func addObedient(_ service: String, change: (inout WireWorkerSpec) -> Void = { _ in }) {
        add(service, "obey", "\(directory)/work/\(service).fifo", change: change)
    }

    /// Has an obedient worker do `line`, and waits until it says that it did, `with` the word.
    func tell(_ service: String, _ line: String, with word: String? = nil) throws {
        let word = word ?? String(line.prefix { $0 != " " })
        let before = said(service).count { $0.word == word }
        // Never one without a reader: opening it would wait for ever.
        let fd = open("\(directory)/work/\(service).fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
        try #require(fd >= 0, "\(service) does not listen: \(screen)")
        defer { close(fd) }
        let text = line + "\n"
        #expect(write(fd, text, text.utf8.count) == text.utf8.count)
        #expect(eventually(within: 5) { said(service).count { $0.word == word } > before }, "\(service) has not done: \(line)")
    }

    func startAgent() throws {
        var part = WireHostPart()
        part.fleet = "demo"
        part.host = "md-1"
        part.workers = workers
        part.digest = try PartStore.digest(of: part)
        try PartStore.save(part, to: state + "/part.pb")
        let command =
            wrapper + [
                TestFleet.bin + "/trading-agent", "--host", "md-1", "--fleet", "demo", "--state-dir", state, "--run-dir", run, "--program-dir",
                TestFleet.bin, "--log-level", "info",
            ] + flags
        agent = try TestProcess("agent", command[0], Array(command.dropFirst()), log: "\(directory)/agent-\(UUID().uuidString.prefix(6)).log")
        #expect(try eventually(within: 20) { try [0, 3].contains(local("status").status) }, "the agent does not answer: \(agent?.log ?? "")")
    }

    func killAgent() {
        agent?.killNow()
        agent = nil
    }

    @discardableResult
    func local(_ arguments: String...) throws -> Program.Output {
        try Program.run(TestFleet.bin + "/trading", ["--config", directory + "/local.conf", "--local"] + arguments)
    }

    func background(_ arguments: String...) throws -> TestProcess {
        try TestProcess(
            "trading", TestFleet.bin + "/trading", ["--config", directory + "/local.conf", "--local"] + arguments,
            log: "\(directory)/cli-\(UUID().uuidString.prefix(6))")
    }

    // MARK: What is

    var screen: String { (try? local("status").text) ?? "no status" }

    func report(_ service: String) throws -> [String: Any] { try reports().first { $0["service"] as? String == service } ?? [:] }

    /// What `status --json` printed instead.
    struct NoStatus: Error, CustomStringConvertible {
        let description: String
    }

    func reports() throws -> [[String: Any]] {
        let output = try local("status", "--json")
        guard let object = try? JSONSerialization.jsonObject(with: Data(output.text.utf8)) else {
            throw NoStatus(description: "exit \(output.status): \(output.text.prefix(2_000))\n\(agent?.log.suffix(30_000) ?? "no agent")")
        }
        let status = object as? [String: Any]
        let host = (status?["hosts"] as? [[String: Any]])?.first
        return (host?["report"] as? [String: Any])?["workers"] as? [[String: Any]] ?? []
    }

    func state(_ service: String) throws -> String {
        try reports().first { $0["service"] as? String == service }?["state"] as? String ?? "?"
    }

    func pid(_ service: String) throws -> Int32 {
        (try reports().first { $0["service"] as? String == service }?["pid"] as? NSNumber)?.int32Value ?? 0
    }

    /// What the workers themselves wrote: (word, pid, launch).
    func said(_ service: String) -> [(word: String, pid: Int32, launch: String)] {
        let text = (try? String(contentsOfFile: "\(directory)/work/\(service)", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map(String.init)
            return words.count == 3 ? (words[0], Int32(words[1]) ?? 0, words[2]) : nil
        }
    }

    func audit() throws -> [[String: Any]] { try journalRecords(at: state + "/journal") }

    /// The fields of a worker's records of one kind, oldest first.
    func records(_ event: String, of service: String) throws -> [[String: String]] {
        try audit().filter { $0["event"] as? String == event && $0["worker"] as? String == "\(service)@md-1" }
            .map { ($0["fields"] as? [String: Any] ?? [:]).mapValues { "\($0)" } }
    }

    /// Processes that hold the lock file of a service's tree: whoever descends from a start of it, wherever it went.
    func tree(_ service: String) throws -> [Int32] {
        let path = "\(directory)/work/\(service).lock"
        return try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { Int32($0) }.filter { pid in
            let links = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd")) ?? []
            return links.contains { (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\($0)")) == path }
        }
    }

    // MARK: What must hold, whatever happened

    /// None doubled; every start has an intent on record, and between two intents of a worker stands its end.
    func verify() throws {
        let records = try audit()
        for worker in workers {
            let said = said(worker.service)
            #expect(!said.contains { $0.word == "DOUBLE" }, "\(worker.service) ran twice at once: \(said)")
            let mine = records.filter { $0["worker"] as? String == "\(worker.service)@md-1" }
            var intents: Set<String> = []
            var open: String?
            for record in mine {
                let fields = record["fields"] as? [String: Any] ?? [:]
                switch record["event"] as? String {
                case "WORKER_START", "WORKER_RESTART":
                    let launch = fields["launch"] as? String ?? ""
                    #expect(open == nil, "\(worker.service): \(launch) was begun with no record of the end of \(open ?? "")")
                    intents.insert(launch)
                    open = launch
                case "WORKER_EXIT", "WORKER_LAUNCH_FAILED": open = nil
                case "WORKER_STOP" where fields["already"] == nil: open = nil
                default: break
                }
            }
            for start in said where start.word == "start" {
                #expect(intents.contains(start.launch), "\(worker.service): PID \(start.pid) ran without a record of launch \(start.launch)")
            }
        }
        let verdict = try Program.run(TestFleet.bin + "/trading", ["audit", "verify", state + "/journal"])
        #expect(verdict.status == 4 && verdict.text.contains("UNANCHORED"), "\(verdict.text)")
    }

    /// Ends every process of this host and removes everything.
    func end() {
        agent?.signal(SIGCONT)
        _ = try? local("emergency-stop", "--everything", "--yes", "--reason", "the test ended")
        for worker in workers {
            for pid in (try? tree(worker.service)) ?? [] { kill(pid, SIGKILL) }
        }
        agent?.end()
        try? FileManager.default.removeItem(atPath: directory)
    }
}
