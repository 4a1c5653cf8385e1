import Glibc
import LinuxHost
import Testing

@testable import FleetAgent

struct AgentSettingsTests {
    private static let least = ["--fleet", "demo", "--host", "md-1", "--state-dir", "/s"]

    private func parse(_ arguments: [String], file: String? = nil, userID: UInt32 = 1_000) throws -> AgentSettings.Request {
        try AgentSettings.parse(arguments, executableDirectory: "/opt/bin", userID: userID) { path in
            guard let file, path == "agent.conf" else { throw LinuxError("open", path, errno: 2) }
            return Array(file.utf8)
        }
    }

    private func settings(_ arguments: [String] = [], file: String? = nil, userID: UInt32 = 1_000) throws -> AgentSettings {
        guard case .run(let settings) = try parse((file == nil ? Self.least : ["--settings", "agent.conf"]) + arguments, file: file, userID: userID)
        else { throw AgentSettings.Fault(description: "no settings") }
        return settings
    }

    private func fault(_ arguments: [String] = [], file: String? = nil) -> String {
        do {
            _ = try parse((file == nil ? [] : ["--settings", "agent.conf"]) + arguments, file: file)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    private static let file = """
        # which host this is
        fleet = demo
        host=md-1
        state-dir = /var/lib/trading

        coordinator = 10.0.0.1:7443
        coordinator = 10.0.0.2:7443
        cert = /c
        key = /k
        ca = /a
        crl = /r
        program-dir = /opt/trading/bin
        """

    @Test("a file of lines is read; comments, blank lines and spaces don't matter")
    func file() throws {
        let settings = try settings(file: Self.file)
        #expect(settings.fleet == "demo" && settings.host == "md-1" && settings.stateDirectory == "/var/lib/trading")
        #expect(settings.coordinators == ["10.0.0.1:7443", "10.0.0.2:7443"])
        #expect(settings.programDirectories == ["/opt/trading/bin"])
    }

    @Test("a file of another system is read: lines that end in CRLF, a byte order mark", arguments: ["\n", "\r\n"], ["", "\u{FEFF}"])
    func otherSystems(end: String, mark: String) throws {
        let settings = try settings(file: mark + Self.file.replacing("\n", with: end))
        #expect(settings.fleet == "demo" && settings.host == "md-1" && settings.programDirectories == ["/opt/trading/bin"])
    }

    @Test("where log files may lie is the host's to say, from / and as often as needed; flags replace the file's")
    func logDirectories() throws {
        let file = Self.file + "\nallow-log-dir = /srv/log\nallow-log-dir = /var/log/trd"
        #expect(try settings(file: file).allowedLogDirectories == ["/srv/log", "/var/log/trd"])
        #expect(try settings(["--allow-log-dir", "/x"], file: file).allowedLogDirectories == ["/x"])
        #expect(try settings().allowedLogDirectories.isEmpty)
        #expect(fault(Self.least, file: "allow-log-dir = log").contains("--allow-log-dir log is not an absolute path"))
        #expect(AgentSettings.help.contains("--allow-log-dir DIR"))
    }

    @Test("what isn't given has a default that does no harm")
    func defaults() throws {
        let user = try settings()
        #expect(user.runDirectory == "/run/user/1000/trading_pipeline" && user.shim == "/opt/bin/trading-shim" && user.logLevel == "info")
        #expect(user.allowedDirectories.isEmpty && user.allowedUsers.isEmpty && user.coordinators.isEmpty)
        #expect(try settings(userID: 0).runDirectory == "/run/trading")
        #expect(try settings(["--program-dir", "/p"]).allowedDirectories == ["/p"])
        #expect(try settings(["--program-dir", "/p", "--allow-dir", "/q"]).allowedDirectories == ["/q"])
    }

    @Test("flags replace what the file says under their name, lists as a whole")
    func flags() throws {
        let settings = try settings(["--host=md-2", "--coordinator", "127.0.0.1:1"], file: Self.file)
        #expect(settings.host == "md-2" && settings.coordinators == ["127.0.0.1:1"])
        #expect(settings.programDirectories == ["/opt/trading/bin"])
    }

    @Test("a fault in the file says where it is and what to write")
    func located() {
        #expect(fault(file: "fleet = demo\nhots = md-1\n").hasPrefix("agent.conf:2: there is no setting \"hots\"; the settings are fleet, host, "))
        #expect(fault(file: "fleet demo") == "agent.conf:1: no \"=\" in this line; write: name = value")
        #expect(fault(file: "\nhost =  \n").hasPrefix("agent.conf:2: host has no value"))
        #expect(fault(file: "host = a\nhost = b") == "agent.conf:2: host stands twice; keep one")
        #expect(fault(file: "log-level = loud").hasPrefix("agent.conf:1: log-level is debug, info, "))
    }

    @Test("a fault on the command line names its flag")
    func flagFaults() {
        #expect(fault(["--hots", "md-1"]).hasPrefix("trading-agent: --hots: there is no setting"))
        #expect(fault(["md-1"]).contains("\"md-1\" is not a flag"))
        #expect(fault(["--host"]) == "trading-agent: --host stands without its value")
        #expect(fault(["--host", "a", "--host", "b"]).contains("host stands twice"))
        #expect(fault(["--settings", "a", "--settings", "b"]).contains("--settings stands twice") || fault(["--settings", "a"]).contains("cannot read"))
        #expect(fault(["--settings", "none"]).contains("cannot read the settings"))
    }

    @Test(
        "what must be given is asked for by name",
        arguments: [
            ("--fleet is missing", ["--host", "a", "--state-dir", "/s"]), ("--host is missing", ["--fleet", "a", "--state-dir", "/s"]),
            ("--state-dir is missing", ["--fleet", "a", "--host", "b"]),
            ("--cert, --key, --ca and --crl are missing", least + ["--coordinator", "127.0.0.1:1"]),
            ("--crl is missing", least + ["--coordinator", "127.0.0.1:1", "--cert", "/c", "--key", "/k", "--ca", "/a"]),
        ])
    func missing(what: String, arguments: [String]) {
        #expect(fault(arguments).contains(what))
    }

    @Test("a path on the command line is relative to where one stands; one in a file must be whole")
    func relativePaths() throws {
        guard
            case .run(let settings) = try AgentSettings.parse(
                ["--fleet", "a", "--host", "b", "--state-dir", "state/box", "--allow-dir", "bin", "--program-dir", "/opt/bin"], executableDirectory: "/usr/bin",
                workingDirectory: "/home/ops", userID: 1, readFile: { _ in [] })
        else { preconditionFailure("no settings") }
        #expect(
            settings.stateDirectory == "/home/ops/state/box" && settings.allowedDirectories == ["/home/ops/bin"] && settings.programDirectories == ["/opt/bin"])
        #expect(fault(file: "fleet = a\nhost = b\nstate-dir = s").contains("--state-dir s is not an absolute path"))
    }

    @Test("everything that is missing is named at once")
    func allMissing() {
        #expect(
            fault([])
                == "trading-agent: --fleet, --host and --state-dir are missing; give them as flags or as `fleet = …`, `host = …`, `state-dir = …` in the settings file"
        )
        #expect(fault(Self.least + ["--coordinator", "127.0.0.1:1"]).contains("--cert, --key, --ca and --crl are missing"))
    }

    @Test("what a host lets its workers have is none, unless it is given by name")
    func privileges() throws {
        let none = try settings()
        #expect(none.allowedCapabilities.isEmpty && none.realtimeMax == 0 && none.allowedGroups.isEmpty && none.localGroup.isEmpty && none.cgroupRoot.isEmpty)
        let some = try settings(
            file: Self.file + "\nallow-capability = CAP_NET_RAW\nallow-capability = ipc_lock\nallow-realtime = 60\nlocal-group = ops\ncgroup-root = none\n")
        #expect(some.allowedCapabilities == ["net_raw", "ipc_lock"] && some.realtimeMax == 60 && some.localGroup == "ops" && some.cgroupRoot == "none")
        #expect(some.file == "agent.conf")
        #expect(fault(file: Self.file + "\nallow-realtime = 100").contains("allow-realtime is a priority from 1 to 99"))
        #expect(fault(file: Self.file + "\ncgroup-root = x").contains("--cgroup-root x is not an absolute path"))
    }

    @Test("settings that others than root can write are not relied on by root")
    func distrust() throws {
        let scratch = try Scratch()
        let file = try scratch.write("agent.conf", Self.file)
        if geteuid() == 0 {
            #expect(AgentSettings.distrust(file) == nil)
            chmod(file, 0o666)
            #expect(AgentSettings.distrust(file)?.contains("chmod go-w \(file)") == true)
            chmod(file, 0o644)
            chown(file, 54_321, 0)
            #expect(AgentSettings.distrust(file)?.contains("belongs to 54321") == true)
            chown(file, 0, 0)
            chmod(scratch.path, 0o777)
            #expect(AgentSettings.distrust(file)?.contains("\(scratch.path) can be written by others") == true)
            chmod(scratch.path, 0o700)
        } else {
            #expect(AgentSettings.distrust(file)?.contains("must be root's") == true)
        }
        #expect(throws: AgentSettings.Fault.self) {
            try AgentSettings.parse(["--settings", file], executableDirectory: "/", userID: 0, judgeFile: { _ in "no" }) { try Files.read($0, limit: 4_096) }
        }
    }

    @Test("help and version are answered without settings, and help names every setting")
    func help() throws {
        #expect(try parse(["--help"]) == .help && parse(["--version"]) == .version)
        for name in ["fleet", "coordinator", "state-dir", "allow-dir", "allow-user", "log-level"] { #expect(AgentSettings.help.contains("--\(name) ")) }
    }
}
