import Foundation
import Glibc
import TestSupport
import Testing

/// A booted systemd with the units of deploy/systemd and this build's programs: a coordinator, a relay and one host's agent
/// with three workers, in namespaces of their own (process ids, mounts, network, control groups, host name).
///
/// It can be rebooted. `end()` kills its PID 1 and with it everything inside.
final class SystemdMachine {
    typealias Output = Program.Output

    let directory: String
    private let cgroup: String
    private var process: Process?
    private var input: Pipe?
    private(set) var boots = 0

    static let units = ["trading-agent.service", "trading-coordinator.service", "trading-relay.service", "trading-pipeline.service", "trading.slice"]

    /// Why no systemd can be booted here; nil: it can.
    static let problem: String? = {
        guard geteuid() == 0 else { return "a systemd of its own needs root: run these tests as root" }
        for program in ["/usr/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/nsenter"]
        where !FileManager.default.isExecutableFile(atPath: program) {
            return "\(program) is not there: install the Debian packages systemd and util-linux"
        }
        guard let mount = cgroupMount else { return "no cgroup v2 is mounted: systemd needs one" }
        guard access(mount, W_OK) == 0 else { return "\(mount) can't be written: systemd needs a control group of its own" }
        let overlay = (try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8))?.contains("overlay") ?? false
        return overlay ? nil : "the kernel has no overlay file system"
    }()

    /// Where cgroup v2 is mounted: alone, or beside version 1.
    static let cgroupMount: String? = {
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        for line in mounts.split(separator: "\n") where line.contains(" - cgroup2 ") { return String(line.split(separator: " ")[4]) }
        return nil
    }()

    /// `edit` changes unit files before the first boot: name and text in, text out.
    init(edit: (_ unit: String, _ text: String) -> String = { $1 }) throws {
        let name = "ts-\(UUID().uuidString.prefix(8).lowercased())"
        directory = "/tmp/\(name)"
        cgroup = try #require(Self.cgroupMount) + "/\(name)"
        do { try layOut(edit) } catch {
            end()
            throw error
        }
    }

    private func layOut(_ edit: (String, String) -> String) throws {
        for part in ["root", "over", "units/multi-user.target.wants", "opt/1", "state", "coordinator", "etc/pki"] {
            try FileManager.default.createDirectory(atPath: "\(directory)/\(part)", withIntermediateDirectories: true)
        }
        try FileManager.default.createDirectory(atPath: cgroup, withIntermediateDirectories: false)
        let deploy = Program.root + "/deploy/systemd"
        for unit in Self.units {
            try write(edit(unit, String(contentsOfFile: "\(deploy)/\(unit)", encoding: .utf8)), to: "units/\(unit)")
            guard unit.hasSuffix(".service") else { continue }
            try FileManager.default.createSymbolicLink(atPath: "\(directory)/units/multi-user.target.wants/\(unit)", withDestinationPath: "../\(unit)")
        }
        for file in ["trading.sysusers", "trading.tmpfiles"] {
            try FileManager.default.copyItem(atPath: "\(deploy)/\(file)", toPath: "\(directory)/etc/\(file)")
        }
        try FileManager.default.copyItem(atPath: "\(deploy)/pipeline", toPath: "\(directory)/pipeline")
        try FileManager.default.createSymbolicLink(atPath: "\(directory)/opt/current", withDestinationPath: "1")
        try write(Program.bin, to: "bin")
        try prepareSettings()
    }

    private func write(_ text: String, to path: String) throws {
        try text.write(toFile: "\(directory)/\(path)", atomically: true, encoding: .utf8)
    }

    // MARK: What is installed

    static let inventory = """
        fleet: demo
        format: 1
        timezone: UTC
        coordinators:
          ctl-1: {address: "127.0.0.1:7443", api: "127.0.0.1:7480"}
          ctl-2: {address: "127.0.0.1:7444", api: "127.0.0.1:7481", role: emergency}
        tiers: {market-data: {}, strategies: {}, execution: {}}
        defaults:
          ready: {notify: 30s}
          stop: {signal: TERM, grace: 10s, then: kill}
          restart: {policy: never}
        hosts: {h-1: {}}
        services:
          feed: {tier: market-data, hosts: [h-1], after_boot: start, run: [trading-bench-floor, worker, --ready, --exit-after-term-ms, "50"]}
          strategy: {tier: strategies, hosts: [h-1], run: [trading-bench-floor, worker, --ready, --eat-mib, "256"]}
          gateway: {tier: execution, hosts: [h-1], run: [trading-bench-floor, worker, --ready]}

        """
    static let services = ["feed", "strategy", "gateway"]

    private func prepareSettings() throws {
        let pki = "\(directory)/etc/pki"
        try certs("init", "--dir", pki, "--fleet", "demo")
        try certs("issue", "agent", "h-1", "--dir", pki)
        try certs("issue", "coordinator", "ctl-1", "--dir", pki)
        try certs("issue", "relay", "ctl-2", "--dir", pki)
        try certs("issue", "operator", "alice", "--dir", pki)
        try write(Self.inventory, to: "etc/fleet.yaml")
        try write("NAME=ctl-1\n", to: "etc/coordinator.env")
        try write("NAME=ctl-2\n", to: "etc/relay.env")
        let trust = "ca = /etc/trading/pki/ca.pem\ncrl = /etc/trading/pki/crl.pem\n"
        try write(
            "fleet = demo\nhost = h-1\ncoordinator = 127.0.0.1:7443\ncoordinator = 127.0.0.1:7444\nstate-dir = /var/lib/trading\n"
                + "program-dir = /opt/trading/1\ncert = /etc/trading/pki/agent-h-1.pem\nkey = /etc/trading/pki/agent-h-1.key\n" + trust,
            to: "etc/agent.conf")
        try write(
            "fleet = demo\ncoordinator = ctl-1 127.0.0.1:7480\nrelay = ctl-2 127.0.0.1:7481\nrun_dir = /run/trading\nstate_dir = /var/lib/trading\n"
                + "cert = /etc/trading/pki/operator-alice.pem\nkey = /etc/trading/pki/operator-alice.key\n" + trust,
            to: "etc/client.conf")
    }

    private func certs(_ arguments: String...) throws {
        let output = try Program.run("\(Program.bin)/trading", ["certs"] + arguments)
        try #require(output.status == 0, "\(output.text)")
    }

    // MARK: Power

    /// Boots it, with a boot id of its own, and waits until systemd has nothing more to start.
    func boot() throws {
        boots += 1
        try write("\(UUID().uuidString.lowercased())\n", to: "boot_id")
        try? FileManager.default.removeItem(atPath: "\(directory)/unshare.pid")
        let input = Pipe()
        try write("", to: "log")
        let log = try FileHandle(forWritingTo: URL(fileURLWithPath: "\(directory)/log"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Program.root + "/Tests/SystemdTests/machine")
        process.arguments = [directory, cgroup]
        process.standardInput = input
        process.standardOutput = log
        process.standardError = log
        try process.run()
        (self.process, self.input) = (process, input)
        let up = eventually(within: 30) {
            guard process.isRunning else { return true }
            return ["running", "degraded"].contains(systemctl("is-system-running").text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        try #require(up && process.isRunning, "systemd does not boot: \(logText)")
    }

    /// The machine's own orderly end, as a person types it; waits until PID 1 is gone.
    func shutDown(_ verb: String) throws {
        let process = try #require(process)
        _ = systemctl(verb)
        try #require(eventually(within: 60) { !process.isRunning }, "\(verb) does not end: \(logText)")
        self.process = nil
    }

    /// Kills PID 1, which takes everything inside with it, and removes what it left.
    func end() {
        // Its supervisor kills it when this closes.
        try? input?.fileHandleForWriting.close()
        if let process { _ = eventually(within: 10) { !process.isRunning } }
        _ = eventually(within: 10) {
            let directories = FileManager.default.enumerator(atPath: cgroup)?.compactMap { $0 as? String } ?? []
            for path in directories.sorted(by: { $0.count > $1.count }) { rmdir("\(cgroup)/\(path)") }
            return rmdir(cgroup) == 0 || errno == ENOENT
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Inside

    /// PID 1 as this machine's outside counts.
    var initPID: Int32? {
        guard let text = try? String(contentsOfFile: "\(directory)/unshare.pid", encoding: .utf8),
            let unshare = Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)),
            let children = try? String(contentsOfFile: "/proc/\(unshare)/task/\(unshare)/children", encoding: .utf8)
        else { return nil }
        return children.split(separator: " ").first.flatMap { Int32($0) }
    }

    @discardableResult
    func inside(_ words: String...) -> Output { inside(words) }

    func inside(_ words: [String]) -> Output {
        guard let pid = initPID else { return Output(status: 127, text: "the machine is off") }
        return (try? Program.run("/usr/bin/nsenter", ["--target", "\(pid)", "--all"] + words)) ?? Output(status: 127, text: "nsenter does not start")
    }

    @discardableResult
    func systemctl(_ words: String...) -> Output { inside(["systemctl", "--no-pager"] + words) }

    @discardableResult
    func trading(_ words: String...) -> Output { inside(["trading"] + words) }

    func property(_ unit: String, _ name: String) -> String {
        systemctl("show", unit, "--property", name, "--value").text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    var agentPID: Int32 { Int32(property("trading-agent.service", "MainPID")) ?? 0 }

    /// What this host's own agent says of its workers: service to process id, of those that run.
    func running() -> [String: Int32] {
        let data = Data(trading("--local", "status", "--json").text.utf8)
        guard let status = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any], let hosts = status["hosts"] as? [[String: Any]] else {
            return [:]
        }
        var found: [String: Int32] = [:]
        for host in hosts {
            let report = host["report"] as? [String: Any]
            for worker in report?["workers"] as? [[String: Any]] ?? [] where worker["state"] as? String == "RUNNING" {
                if let service = worker["service"] as? String, let pid = worker["pid"] as? NSNumber { found[service] = pid.int32Value }
            }
        }
        return found
    }

    /// The process itself, past everything that is tested: its start time in ticks, nil if there is no such process.
    func startTicks(_ pid: Int32) -> UInt64? {
        let stat = inside("cat", "/proc/\(pid)/stat")
        guard stat.status == 0, let paren = stat.text.lastIndex(of: ")") else { return nil }
        let fields = stat.text[paren...].split(separator: " ")
        return fields.count > 20 ? UInt64(fields[20]) : nil
    }

    /// The agent's audit, which outlives the machine.
    func audit() throws -> [[String: Any]] {
        try journalRecords(at: "\(directory)/state/journal")
    }

    /// Boots, waits for the coordinator's session, and starts the three workers.
    func bootWithWorkers() throws -> [String: Int32] {
        try boot()
        var pids: [String: Int32] = [:]
        let started = eventually(within: 30) {
            // Refused until the agent has dialled in.
            guard trading("--via", "ctl-1", "start", "--all", "--reason", "test").status == 0 else { return false }
            pids = running()
            return pids.count == Self.services.count
        }
        try #require(started, "the workers do not start: \(pids) \(logText)")
        return pids
    }

    var logText: String {
        let boot = (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? ""
        return "\(boot)\n\(inside("journalctl", "--no-pager", "-o", "cat", "-n", "60").text)"
    }
}

/// Looks until it holds, with a bound; false past it.
func eventually(within seconds: Double, _ holds: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while true {
        if try holds() { return true }
        if ContinuousClock.now > end { return false }
        poll(nil, 0, 50)
    }
}
