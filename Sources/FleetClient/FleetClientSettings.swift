package import FleetCore
import FleetWire
import Glibc
import NIOCore

/// What the command line needs to know to reach a fleet: read from one small file, strictly.
///
/// The file has lines `key = value`, comments from `#` on, and nothing else. Keys: `fleet`, `coordinator = NAME ADDRESS`
/// and `relay = NAME ADDRESS` (both repeatable; ADDRESS is an IP literal with a port, so that no name is ever resolved),
/// `ca`, `crl`, `cert`, `key`, `socket` (a coordinator's Unix socket on this host), `run_dir`, `state_dir`, `agent_socket`
/// (without it `agent.sock` in the run directory).
package struct FleetClientSettings: Equatable, Sendable {
    package var fleet: FleetName?
    package var coordinators: [Node] = []
    package var relays: [Node] = []
    package var ca: String?
    package var crl: String?
    package var certificate: String?
    package var key: String?
    package var coordinatorSocket: String?
    package var agentSocket: String?
    package var runDirectory: String?
    package var stateDirectory: String?
    /// Where it was read from; empty: nowhere.
    package var file = ""

    /// A coordinator's or a relay's API.
    package struct Node: Equatable, Sendable {
        package var name: String
        /// An IPv4 or IPv6 literal, without brackets.
        package var host: String
        package var port: Int

        package var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    package init() {}
}

/// Why the settings can't be used: every fault of the file at once.
package struct FleetClientSettingsError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

extension FleetClientSettings {
    /// The places looked at, first to last: the option, the environment, the user's file, the host's.
    package static func places(option: String?, environment: [String: String]) -> (must: String?, may: [String]) {
        if let option { return (option, []) }
        if let named = environment["TRADING_CONFIG"], !named.isEmpty { return (named, []) }
        var may: [String] = []
        if let home = environment["HOME"], !home.isEmpty { may.append("\(home)/.config/trading/client.conf") }
        may.append("/etc/trading/client.conf")
        return (nil, may)
    }

    /// Reads the first file there is.
    ///
    /// A file named by option or environment must exist; with no file at all the settings
    /// are empty, and what needs a coordinator says what to write (``nothingConfigured``).
    package static func load(option: String?, environment: [String: String]) throws(FleetClientSettingsError) -> FleetClientSettings {
        let (must, may) = places(option: option, environment: environment)
        if let must {
            guard let text = try read(must) else {
                throw FleetClientSettingsError("cannot read the settings \(must): No such file or directory")
            }
            return try parse(text, file: must)
        }
        for path in may {
            if let text = try read(path) { return try parse(text, file: path) }
        }
        return FleetClientSettings()
    }

    package static let nothingConfigured = FleetClientSettingsError(
        """
        No fleet is configured: --config, $TRADING_CONFIG, ~/.config/trading/client.conf and /etc/trading/client.conf name none.
        Write one of them, for example:
          fleet = ld4
          coordinator = ctl-1 10.20.0.11:7480
          relay = ctl-2 10.20.0.12:7480
          ca = /etc/trading/pki/ca.pem
          crl = /etc/trading/pki/crl.pem
          cert = /etc/trading/pki/operator-alice.pem
          key = /etc/trading/pki/operator-alice.key
        On a trading host, `run_dir` and `state_dir` make --local work.
        """)

    /// Parses the whole text; reports every fault as `file:line: what; what to write`.
    package static func parse(_ text: String, file: String) throws(FleetClientSettingsError) -> FleetClientSettings {
        var settings = FleetClientSettings()
        settings.file = file
        var faults: [String] = []
        var seen: Set<String> = []
        for (index, raw) in TextLines.of(text).enumerated() {
            let line = trimmed(raw.prefix { $0 != "#" })
            if line.isEmpty { continue }
            let place = "\(file):\(index + 1)"
            guard let equals = line.firstIndex(of: "=") else {
                // Without its text: somebody may have named a private key's file.
                faults.append("\(place): it is not `key = value`")
                continue
            }
            let key = trimmed(line[..<equals])
            let value = trimmed(line[line.index(after: equals)...])
            if value.isEmpty {
                faults.append("\(place): \(key) has no value; leave the line out, or write one")
            } else if !repeatable.contains(key), !seen.insert(key).inserted {
                faults.append("\(place): \(key) is there twice; leave one of them")
            } else if let fault = settings.set(key, value) {
                faults.append("\(place): \(fault)")
            }
        }
        let names = settings.coordinators.map(\.name) + settings.relays.map(\.name)
        for (index, name) in names.enumerated() where names.firstIndex(of: name) != index {
            faults.append("\(file): two coordinators or relays are called \(name); give each its own name")
        }
        if !settings.coordinators.isEmpty || !settings.relays.isEmpty {
            for (key, value) in [
                ("fleet", settings.fleet?.raw), ("ca", settings.ca), ("cert", settings.certificate), ("key", settings.key),
            ] where value == nil {
                faults.append("\(file): \(key) is missing; a coordinator over TLS needs it")
            }
        }
        guard faults.isEmpty else { throw FleetClientSettingsError(faults.joined(separator: "\n")) }
        // Where `certs init` puts it.
        if settings.crl == nil, let ca = settings.ca { settings.crl = (ca.lastIndex(of: "/").map { String(ca[...$0]) } ?? "") + "crl.pem" }
        // Where an agent puts it.
        if settings.agentSocket == nil, let directory = settings.runDirectory { settings.agentSocket = "\(directory)/agent.sock" }
        return settings
    }

    private static let repeatable: Set<String> = ["coordinator", "relay"]
    private static let keys = [
        "fleet", "coordinator", "relay", "ca", "crl", "cert", "key", "socket", "agent_socket", "run_dir", "state_dir",
    ]

    /// Sets one key; the fault, if it is one.
    private mutating func set(_ key: String, _ value: String) -> String? {
        switch key {
        case "fleet":
            guard isValidName(value) else { return "\"\(value)\" is not a fleet's name: letters, digits, `-`, `_`, `.`" }
            fleet = FleetName(value)
        case "coordinator", "relay":
            let words = value.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count == 2, isValidName(String(words[0])), let (host, port) = Self.address(words[1]) else {
                return "\"\(value)\" is not NAME ADDRESS; write for example `\(key) = ctl-1 10.20.0.11:7480` (an IP address, not a host name)"
            }
            let node = Node(name: String(words[0]), host: host, port: port)
            if key == "relay" { relays.append(node) } else { coordinators.append(node) }
        case "ca": ca = value
        case "crl": crl = value
        case "cert": certificate = value
        case "key": self.key = value
        case "socket": coordinatorSocket = value
        case "agent_socket": agentSocket = value
        case "run_dir": runDirectory = value
        case "state_dir": stateDirectory = value
        default:
            return "unknown key \(key); the keys are \(Self.keys.joined(separator: ", "))"
        }
        return nil
    }

    /// `10.20.0.11:7480` or `[fd00::11]:7480`.
    private static func address(_ text: Substring) -> (String, Int)? {
        do {
            let address = try WireAddress.parse(String(text))
            guard let host = address.ipAddress, let port = address.port, port > 0 else { return nil }
            return (host, port)
        } catch {
            return nil
        }
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
        return String(text.drop(while: blank).reversed().drop(while: blank).reversed())
    }

    /// The file's text; nil when there is none.
    private static func read(_ path: String) throws(FleetClientSettingsError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw FleetClientSettingsError("cannot read the settings \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { room in
                Glibc.read(descriptor, room.baseAddress?.advanced(by: filled), room.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw FleetClientSettingsError("cannot read the settings \(path): \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            filled += count
        }
        guard filled <= bytesMax else { throw FleetClientSettingsError("\(path) is larger than \(bytesMax) bytes: these are not the settings") }
        return String(decoding: bytes[..<filled], as: UTF8.self)
    }

    private static let bytesMax = 65_536
}
