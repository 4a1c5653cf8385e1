import FleetClient
import FleetCore
import Testing

@Suite("The client's settings")
struct SettingsTests {
    @Test("a whole file is read")
    func whole() throws {
        let settings = try FleetClientSettings.parse(
            """
            # ours
            fleet = ld4
            coordinator = ctl-1 10.20.0.11:7444   # first
            coordinator = ctl-2 [fd00::11]:7444
            relay = r-1 10.20.0.12:7444
            ca = /etc/ca.pem
            crl = /etc/crl.pem
            cert = /etc/me.pem
            key = /etc/me.key
            socket = /run/api.sock
            agent_socket = /run/agent.sock
            run_dir = /run/trading
            state_dir = /var/lib/trading
            """, file: "client.conf")
        #expect(settings.coordinators.map(\.address) == ["10.20.0.11:7444", "[fd00::11]:7444"])
        #expect(settings.relays.map(\.name) == ["r-1"])
        #expect(settings.stateDirectory == "/var/lib/trading")
    }

    @Test("a file of another system is read: lines that end in CRLF, a byte order mark", arguments: ["\n", "\r\n"], ["", "\u{FEFF}"])
    func otherSystems(end: String, mark: String) throws {
        let lines = ["# ours", "fleet = ld4", "", "run_dir = /run/trading", "state_dir = /var/lib/trading"]
        let settings = try FleetClientSettings.parse(mark + lines.joined(separator: end) + end, file: "client.conf")
        #expect(settings.fleet?.raw == "ld4" && settings.runDirectory == "/run/trading" && settings.stateDirectory == "/var/lib/trading")
        #expect { try FleetClientSettings.parse(mark + "fleet = ld4\(end)colour = red\(end)", file: "client.conf") } throws: {
            "\($0)".contains("client.conf:2:")
        }
    }

    @Test("every fault is reported at once, each with its line")
    func faults() {
        let text = """
            fleet = ld4
            fleet = ld5
            coordinator = ctl-1 ctl-1.example:7444
            colour = red
            nonsense
            ca =
            relay = r-1 10.0.0.1:99999
            """
        #expect {
            try FleetClientSettings.parse(text, file: "f")
        } throws: { error in
            let lines = String(describing: error).split(separator: "\n")
            return lines.count == 6
                && lines.map { $0.prefix(4) } == ["f:2:", "f:3:", "f:4:", "f:5:", "f:6:", "f:7:"]
        }
    }

    @Test("an agent's socket is where agents put it, unless another is named")
    func agentSocket() throws {
        #expect(try FleetClientSettings.parse("run_dir = /run/trading", file: "c").agentSocket == "/run/trading/agent.sock")
        #expect(try FleetClientSettings.parse("run_dir = /run/trading\nagent_socket = /a", file: "c").agentSocket == "/a")
        #expect(try FleetClientSettings.parse("", file: "c").agentSocket == nil)
    }

    @Test("a file that was named must be there; without any file the settings are empty")
    func places() throws {
        #expect(throws: FleetClientSettingsError.self) { try FleetClientSettings.load(option: "/nonexistent/c", environment: [:]) }
        #expect(throws: FleetClientSettingsError.self) { try FleetClientSettings.load(option: nil, environment: ["TRADING_CONFIG": "/nonexistent/c"]) }
        #expect(
            FleetClientSettings.places(option: nil, environment: ["HOME": "/home/a"]).may == [
                "/home/a/.config/trading/client.conf", "/etc/trading/client.conf",
            ])
    }
}
