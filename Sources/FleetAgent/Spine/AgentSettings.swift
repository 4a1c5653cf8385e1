internal import FleetCore
internal import LinuxHost

/// What a host's own administrator decides about its agent: who it is, where it dials, what may run here (law 10).
///
/// Comes from a file of `key = value` lines, from flags of the same names, or both; a flag given once replaces what the
/// file says under that name. Unknown or repeated single keys are errors, never ignored.
package struct AgentSettings: Equatable, Sendable {
    package var fleet = ""
    package var host = ""
    /// `IP:port` of each coordinator and relay; all are dialled.
    package var coordinators: [String] = []
    package var stateDirectory = ""
    package var runDirectory = ""
    package var certificate = ""
    package var key = ""
    package var authority = ""
    package var revocations = ""
    package var shim = ""
    /// Where a bare program name in `run` is looked up, in this order.
    package var programDirectories: [String] = []
    /// Below which an absolute program path must lie; as a default the program directories.
    package var allowedDirectories: [String] = []
    /// Where log files that workers write themselves may lie, besides their own directories; empty: `LogReach.usual`, and that only
    /// for workers that don't run as root.
    package var allowedLogDirectories: [String] = []
    /// Where `secrets` of an inventory may lie.
    package var allowedSecretDirectories: [String] = []
    /// Accounts that workers may run as, besides the agent's own.
    package var allowedUsers: [String] = []
    /// Groups that workers may run in, besides those of their user.
    package var allowedGroups: [String] = []
    /// Ambient capabilities that workers may be given, without `cap_`, lower case.
    package var allowedCapabilities: [String] = []
    /// The highest real-time priority that workers may have; 0: none.
    package var realtimeMax = 0
    /// The group whose members may order on the local socket, beside root and the agent's own user; empty: nobody else.
    package var localGroup = ""
    /// Below which launches get a cgroup of their own; empty: where the agent's own is delegated, else /sys/fs/cgroup/trading
    /// where it can be written; `none`: no cgroups.
    package var cgroupRoot = ""
    package var logLevel = "info"
    /// How often the host's and its workers' facts are read.
    package var factsEvery: Duration = .seconds(10)
    /// How often the layout is compared with what is declared; nil: only when asked.
    package var driftEvery: Duration? = .seconds(10)
    /// Below which the layout's part of /sys and /proc is read and written; no setting: this machine's own.
    package var layoutRoot = ""
    /// Where these came from, for sentences that say what to change; empty: from flags alone.
    package var file = ""

    package enum Request: Equatable, Sendable {
        case run(AgentSettings)
        case help
        case version
    }

    /// A sentence for the terminal that says where and what to write instead.
    package struct Fault: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// One setting: its name in both forms, whether it may stand more than once, and what `--help` says of it.
    private struct Setting: Sendable {
        let name: String
        let repeated: Bool
        let argument: String
        let text: String
    }

    private static let all: [Setting] = [
        Setting(name: "fleet", repeated: false, argument: "NAME", text: "the fleet's name, as in the certificates"),
        Setting(name: "host", repeated: false, argument: "NAME", text: "this host's name in the inventory"),
        Setting(name: "coordinator", repeated: true, argument: "IP:PORT", text: "a coordinator or relay to dial; repeat for more"),
        Setting(name: "state-dir", repeated: false, argument: "DIR", text: "journal, worker state and logs; on a disk"),
        Setting(
            name: "run-dir", repeated: false, argument: "DIR",
            text: "sockets and launches; on a tmpfs. Default: /run/trading as root, else /run/user/UID/trading_pipeline"),
        Setting(name: "cert", repeated: false, argument: "FILE", text: "this agent's certificate (PEM)"),
        Setting(name: "key", repeated: false, argument: "FILE", text: "its private key (PEM, mode 0600)"),
        Setting(name: "ca", repeated: false, argument: "FILE", text: "the fleet's authority (PEM)"),
        Setting(name: "crl", repeated: false, argument: "FILE", text: "the authority's revocation list (PEM)"),
        Setting(name: "shim", repeated: false, argument: "FILE", text: "trading-shim. Default: beside this program"),
        Setting(name: "program-dir", repeated: true, argument: "DIR", text: "where bare program names are looked up; repeat for more"),
        Setting(name: "allow-dir", repeated: true, argument: "DIR", text: "where absolute program paths may lie. Default: the program directories"),
        Setting(
            name: "allow-log-dir", repeated: true, argument: "DIR",
            text: "where logs.files of an inventory may lie, besides workers' own directories. Default: /var/log, but not for workers that run as root"),
        Setting(
            name: "allow-secret-dir", repeated: true, argument: "DIR",
            text: "where the files of an inventory's secrets may lie. Default: /etc/trading/secrets"),
        Setting(name: "allow-user", repeated: true, argument: "USER", text: "an account that workers may run as, besides the agent's own"),
        Setting(name: "allow-group", repeated: true, argument: "GROUP", text: "a group that workers may run in, besides those of their user"),
        Setting(name: "allow-capability", repeated: true, argument: "NAME", text: "a capability that workers may have: net_raw, ipc_lock, … Default: none"),
        Setting(name: "allow-realtime", repeated: false, argument: "MAXPRIO", text: "the highest fifo or rr priority of a worker, 1 to 99. Default: none"),
        Setting(name: "local-group", repeated: false, argument: "GROUP", text: "whose members may use trading --local, beside root and the agent's user"),
        Setting(
            name: "cgroup-root", repeated: false, argument: "DIR",
            text: "where launches get their cgroups, or none. Default: the agent's own where delegated"),
        Setting(name: "facts-every", repeated: false, argument: "TIME", text: "how often memory, open files and the like are read: 1s to 1h. Default: 10s"),
        Setting(
            name: "drift-every", repeated: false, argument: "TIME",
            text: "how often the layout is compared with the inventory: 1s to 1h, or off. Default: 10s"),
        Setting(name: "log-level", repeated: false, argument: "LEVEL", text: "debug, info, notice, warning or error. Default: info"),
    ]

    package static var help: String {
        var lines = [
            "trading-agent: supervises this host's workers and answers to the fleet's coordinators.",
            "",
            "usage: trading-agent [--settings FILE] [--NAME VALUE ...]",
            "",
            "  --settings FILE      lines of `name = value` with the names below; # begins a comment",
        ]
        for setting in all {
            let head = "  --\(setting.name) \(setting.argument)"
            lines.append(head + String(repeating: " ", count: max(1, 25 - head.utf8.count)) + setting.text)
        }
        lines += [
            "  --version            this program's version and its TLS libraries", "  --help",
            "",
            "SIGHUP reloads certificates and the revocation list. SIGTERM ends the agent and touches no worker.",
        ]
        return lines.joined(separator: "\n")
    }

    package init() {}

    /// Reads the command line (without the program's name) and the settings file it names.
    ///
    /// `readFile` exists so that tests need no files; `executableDirectory` is where `trading-shim` is looked for,
    /// `workingDirectory` what relative paths among the flags are relative to.
    /// `judgeFile` says why a file can't be relied on.
    package static func parse(
        _ arguments: [String], executableDirectory: String, workingDirectory: String = "/", userID: UInt32, judgeFile: (String) -> String? = { _ in nil },
        readFile: (String) throws -> [UInt8]
    ) throws -> Request {
        var flags: [(name: String, value: String)] = []
        var file: String?
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            if argument == "--version" { return .version }
            guard argument.hasPrefix("--") else {
                throw Fault(description: "trading-agent: \"\(argument)\" is not a flag; write --NAME VALUE (trading-agent --help lists them)")
            }
            var name = String(argument.dropFirst(2))
            let value: String
            if let equals = name.firstIndex(of: "=") {
                value = String(name[name.index(after: equals)...])
                name = String(name[..<equals])
            } else if let next = rest.popFirst() {
                value = next
            } else {
                throw Fault(description: "trading-agent: --\(name) stands without its value")
            }
            if name == "settings" {
                guard file == nil else { throw Fault(description: "trading-agent: --settings stands twice; one file holds all settings") }
                file = value
            } else {
                flags.append((name, value))
            }
        }
        var settings = AgentSettings()
        if let file {
            let bytes: [UInt8]
            do { bytes = try readFile(file) } catch {
                throw Fault(description: "trading-agent: cannot read the settings: \(error)")
            }
            if let problem = judgeFile(file) { throw Fault(description: "trading-agent: \(problem)") }
            settings.file = file
            try settings.take(fileEntries(String(decoding: bytes, as: UTF8.self), file: file))
        }
        // A name given by flag replaces the file's entries of that name as a whole.
        for name in Set(flags.map(\.name)) { settings.clear(name) }
        try settings.take(
            flags.map { flag in
                // A person types a path from where they stand; a file's paths are from nowhere and must be whole.
                let isRelative = pathFlags.contains(flag.name) && !flag.value.hasPrefix("/") && flag.value != "none" && !flag.value.isEmpty
                let value = isRelative ? "\(workingDirectory == "/" ? "" : workingDirectory)/\(flag.value)" : flag.value
                return Entry(place: "trading-agent: --\(flag.name)", name: flag.name, value: value)
            })
        try settings.complete(executableDirectory: executableDirectory, userID: userID)
        return .run(settings)
    }

    private static let pathFlags: Set<String> = [
        "state-dir", "run-dir", "cert", "key", "ca", "crl", "shim", "program-dir", "allow-dir", "allow-log-dir", "allow-secret-dir", "cgroup-root",
    ]

    struct Entry {
        let place: String
        let name: String
        let value: String
    }

    static func fileEntries(_ text: String, file: String) throws -> [Entry] {
        var entries: [Entry] = []
        for (index, raw) in TextLines.of(text).enumerated() {
            let place = "\(file):\(index + 1)"
            let line = trim(raw)
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let equals = line.firstIndex(of: "=") else {
                throw Fault(description: "\(place): no \"=\" in this line; write: name = value")
            }
            let name = trim(line[..<equals])
            let value = trim(line[line.index(after: equals)...])
            guard !value.isEmpty else { throw Fault(description: "\(place): \(name) has no value; write: \(name) = …, or remove the line") }
            entries.append(Entry(place: place, name: String(name), value: String(value)))
        }
        return entries
    }

    private mutating func take(_ entries: [Entry]) throws {
        var seen: Set<String> = []
        for entry in entries {
            guard let setting = Self.all.first(where: { $0.name == entry.name }) else {
                let names = Self.all.map(\.name).joined(separator: ", ")
                throw Fault(description: "\(entry.place): there is no setting \"\(entry.name)\"; the settings are \(names)")
            }
            if !seen.insert(entry.name).inserted, !setting.repeated {
                throw Fault(description: "\(entry.place): \(entry.name) stands twice; keep one")
            }
            switch entry.name {
            case "fleet": fleet = entry.value
            case "host": host = entry.value
            case "coordinator": coordinators.append(entry.value)
            case "state-dir": stateDirectory = entry.value
            case "run-dir": runDirectory = entry.value
            case "cert": certificate = entry.value
            case "key": key = entry.value
            case "ca": authority = entry.value
            case "crl": revocations = entry.value
            case "shim": shim = entry.value
            case "program-dir": programDirectories.append(entry.value)
            case "allow-dir": allowedDirectories.append(entry.value)
            case "allow-log-dir": allowedLogDirectories.append(entry.value)
            case "allow-secret-dir": allowedSecretDirectories.append(entry.value)
            case "allow-user": allowedUsers.append(entry.value)
            case "allow-group": allowedGroups.append(entry.value)
            case "allow-capability":
                let name = entry.value.lowercased()
                allowedCapabilities.append(name.hasPrefix("cap_") ? String(name.dropFirst(4)) : name)
            case "allow-realtime":
                guard let priority = Int(entry.value), (0...99).contains(priority) else {
                    throw Fault(description: "\(entry.place): allow-realtime is a priority from 1 to 99, or 0 for none, not \"\(entry.value)\"")
                }
                realtimeMax = priority
            case "local-group": localGroup = entry.value
            case "cgroup-root": cgroupRoot = entry.value
            case "facts-every": factsEvery = try Self.rate(entry)
            case "drift-every": driftEvery = entry.value == "off" ? nil : try Self.rate(entry)
            case "log-level":
                guard ["debug", "info", "notice", "warning", "error"].contains(entry.value) else {
                    throw Fault(description: "\(entry.place): log-level is debug, info, notice, warning or error, not \"\(entry.value)\"")
                }
                logLevel = entry.value
            default: preconditionFailure("setting \(entry.name) is listed and not taken")
            }
        }
    }

    /// `500ms` is too often for anything that a host should pay for.
    private static func rate(_ entry: Entry) throws -> Duration {
        let digits = entry.value.prefix { $0.isASCII && $0.isNumber }
        let unit: Int64? =
            switch entry.value.dropFirst(digits.count) {
            case "s": 1
            case "min": 60
            case "h": 3_600
            default: nil
            }
        guard let number = Int64(digits), let unit, number <= 3_600, (1...3_600).contains(number * unit) else {
            throw Fault(description: "\(entry.place): \(entry.name) is a time from 1s to 1h, like 10s or 5min, not \"\(entry.value)\"")
        }
        return .seconds(number * unit)
    }

    private mutating func clear(_ name: String) {
        switch name {
        case "coordinator": coordinators = []
        case "program-dir": programDirectories = []
        case "allow-dir": allowedDirectories = []
        case "allow-log-dir": allowedLogDirectories = []
        case "allow-secret-dir": allowedSecretDirectories = []
        case "allow-user": allowedUsers = []
        case "allow-group": allowedGroups = []
        case "allow-capability": allowedCapabilities = []
        default: break
        }
    }

    private mutating func complete(executableDirectory: String, userID: UInt32) throws {
        var needed = [("fleet", fleet), ("host", host), ("state-dir", stateDirectory)]
        if !coordinators.isEmpty { needed += [("cert", certificate), ("key", key), ("ca", authority), ("crl", revocations)] }
        let missing = needed.filter(\.1.isEmpty).map(\.0)
        if !missing.isEmpty {
            let flags = missing.map { "--\($0)" }
            let names = flags.count == 1 ? "\(flags[0]) is" : "\(flags.dropLast().joined(separator: ", ")) and \(flags[flags.count - 1]) are"
            let lines = missing.map { "`\($0) = …`" }.joined(separator: ", ")
            throw Fault(
                description:
                    "trading-agent: \(names) missing; give \(missing.count == 1 ? "it as a flag or as" : "them as flags or as") \(lines) in the settings file")
        }
        if runDirectory.isEmpty { runDirectory = userID == 0 ? "/run/trading" : "/run/user/\(userID)/trading_pipeline" }
        if shim.isEmpty { shim = executableDirectory + "/trading-shim" }
        if allowedDirectories.isEmpty { allowedDirectories = programDirectories }
        if allowedSecretDirectories.isEmpty { allowedSecretDirectories = ["/etc/trading/secrets"] }
        for (name, paths) in [
            ("state-dir", [stateDirectory]), ("run-dir", [runDirectory]), ("shim", [shim]), ("program-dir", programDirectories),
            ("allow-dir", allowedDirectories), ("allow-log-dir", allowedLogDirectories), ("allow-secret-dir", allowedSecretDirectories),
            ("cgroup-root", ["", "none"].contains(cgroupRoot) ? [] : [cgroupRoot]),
        ] {
            for path in paths where !path.hasPrefix("/") {
                throw Fault(description: "trading-agent: --\(name) \(path) is not an absolute path; write it from /")
            }
        }
    }

    /// Why whoever is not root could decide by this file what runs here (law 10); nil: nobody else can write it.
    ///
    /// For an agent that runs as root.
    package static func distrust(_ path: String) -> String? {
        do {
            let real = ProgramPolicy.realPath(path) ?? path
            let directory = real.lastIndex(of: "/").map { String(real[..<$0]) } ?? "."
            for place in [real, directory.isEmpty ? "/" : directory] {
                guard let status = try FileStatus.read(place) else { continue }
                if status.user != 0 {
                    let owner = Account.name(of: status.user) ?? "\(status.user)"
                    return "\(place) belongs to \(owner): it decides what root runs here, so it must be root's. chown root \(place)"
                }
                let writers: UInt32 = status.group == 0 ? 0o002 : 0o022
                if status.mode & writers != 0, status.kind == .file || status.mode & 0o1000 == 0 {
                    return "\(place) can be written by others than root: it decides what root runs here. chmod go-w \(place)"
                }
            }
            return nil
        } catch {
            return "cannot judge the settings: \(error)"
        }
    }

    private static func trim(_ text: some StringProtocol) -> Substring {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" || $0 == "\r\n" }
        var out = Substring(text)
        while let first = out.first, isSpace(first) { out.removeFirst() }
        while let last = out.last, isSpace(last) { out.removeLast() }
        return out
    }
}
