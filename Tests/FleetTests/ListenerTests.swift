import Foundation
import Glibc
import TestSupport
import Testing

/// What strangers get at the API's listener and at the fleet's, asked with the real openssl.
@Suite(.serialized) struct ListenerTests {
    private func connect(_ fleet: TestFleet, port: Int, _ arguments: [String], alpn: String) throws -> TestFleet.Output {
        try fleet.run(
            "/usr/bin/timeout",
            ["5", "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-alpn", alpn, "-CAfile", fleet.directory + "/pki/ca.pem", "-ign_eof", "-quiet"]
                + arguments,
            input: "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    @Test("no certificate, a foreign one, another role, TLS 1.2 and a resumed session of a revoked one are refused at both listeners, and the log says which")
    func refusals() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        let foreign = fleet.directory + "/foreign"
        for arguments in [
            ["init", "--dir", foreign, "--fleet", "demo"], ["issue", "operator", "eve", "--dir", foreign], ["issue", "agent", "md-1", "--dir", foreign],
        ] {
            #expect(try fleet.run(TestFleet.bin + "/trading", ["certs"] + arguments).status == 0)
        }
        let pki = fleet.directory + "/pki"
        func pair(_ directory: String, _ name: String) -> [String] { ["-cert", "\(directory)/\(name).pem", "-key", "\(directory)/\(name).key"] }
        for (port, alpn, good, wrongRole, stranger) in [
            (fleet.ports.api, "http/1.1", "operator-bob", "agent-md-1", "operator-eve"),
            (fleet.ports.coordinator, "trading/1", "agent-md-2", "operator-bob", "agent-md-1"),
        ] {
            let mark = fleet.coordinator?.log.count ?? 0
            func logged(_ slug: String) -> Bool { eventually(within: 5) { fleet.coordinator?.log.dropFirst(mark).contains(slug) == true } }
            _ = try connect(fleet, port: port, [], alpn: alpn)
            #expect(logged("no-certificate"), "\(fleet.coordinator?.log ?? "")")
            _ = try connect(fleet, port: port, pair(foreign, stranger), alpn: alpn)
            #expect(logged("foreign-ca"))
            _ = try connect(fleet, port: port, pair(pki, wrongRole), alpn: alpn)
            #expect(logged("wrong-role"))
            _ = try connect(fleet, port: port, pair(pki, good) + ["-tls1_2"], alpn: alpn)
            #expect(logged("tls-version"))
        }

        // A session ticket from before the revocation.
        let ticket = fleet.directory + "/ticket"
        let first = try connect(fleet, port: fleet.ports.api, pair(pki, "operator-bob") + ["-sess_out", ticket], alpn: "http/1.1")
        #expect(first.text.contains("200 OK"), "\(first.text)")
        #expect(try fleet.run(TestFleet.bin + "/trading", ["certs", "revoke", "operator-bob", "--dir", pki]).status == 0)
        fleet.coordinator?.signal(SIGHUP)
        #expect(eventually(within: 5) { fleet.coordinator?.log.contains("certificates reloaded") == true })
        let revoked = try connect(fleet, port: fleet.ports.api, pair(pki, "operator-bob"), alpn: "http/1.1")
        #expect(!revoked.text.contains("200 OK"), "\(revoked.text)")
        #expect(eventually(within: 5) { fleet.coordinator?.log.contains("revoked") == true })
        let resumed = try connect(fleet, port: fleet.ports.api, pair(pki, "operator-bob") + ["-sess_in", ticket], alpn: "http/1.1")
        #expect(!resumed.text.contains("200 OK"), "\(resumed.text)")
        // Nobody else was disturbed.
        #expect(try fleet.reportingHosts() == 4)
    }

    @Test("garbage at either listener costs its sender the connection and nobody else anything")
    func garbage() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        for port in [fleet.ports.coordinator, fleet.ports.api, fleet.ports.relay] {
            for payload in ["\u{0}\u{0}\u{0}\u{0}", "GET / HTTP/1.0\r\n\r\n", String(repeating: "\u{7f}", count: 100_000)] {
                _ = try fleet.run("/usr/bin/timeout", ["3", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(port); cat >&3; cat <&3 >/dev/null"], input: payload)
            }
        }
        // An agent's identity, then lengths that no frame has.
        let pki = fleet.directory + "/pki"
        for bytes in ["\\x80\\x00\\x00\\x00", "\\x00\\x00\\x00\\x00", "\\x00\\x00\\x00\\x05hello", "\\x00\\x00\\x01\\x00half"] {
            _ = try fleet.run(
                "/usr/bin/timeout",
                [
                    "8", "bash", "-c",
                    "printf '\(bytes)' | openssl s_client -connect 127.0.0.1:\(fleet.ports.coordinator) -alpn trading/1 -CAfile \(pki)/ca.pem -cert \(pki)/agent-md-1.pem -key \(pki)/agent-md-1.key -ign_eof -quiet",
                ])
        }
        #expect(fleet.coordinator?.log.contains("bad-frame") == true, "\(fleet.coordinator?.log ?? "")")
        #expect(try fleet.reportingHosts() == 4)
        #expect(try fleet.trading("start", "--all", "--reason", "still works").status == 0)
    }

    @Test("the API on its Unix socket answers curl, and bad requests get one clear problem")
    func unixSocket() throws {
        let fleet = try TestFleet()
        defer { fleet.end() }
        try fleet.begin()
        func curl(_ arguments: String...) throws -> String {
            try fleet.run("/usr/bin/curl", ["-s", "--unix-socket", fleet.directory + "/run/ctl-1.sock"] + arguments).text
        }
        #expect(try curl("http://x/api/v1/status").contains("\"fleet\":\"demo\""))
        #expect(try curl("-X", "POST", "http://x/api/v1/stop", "-d", "{\"scope\":{\"all\":true}}").contains("no-reason"))
        #expect(try curl("-X", "POST", "http://x/api/v1/stop", "-d", "{").contains("bad-request"))
        #expect(try curl("http://x/api/v1/nothing").contains("not-found"))
        #expect(try curl("http://x/api/v1/runs/77").contains("unknown-run"))
        #expect(try curl("-X", "POST", "http://x/api/pipeline/start").contains("\"run\":1"))
        let events = try curl("-N", "-m", "20", "http://x/api/v1/runs/1/events")
        #expect(events.contains("event: ended"), "\(events)")
        let mode = try FileManager.default.attributesOfItem(atPath: fleet.directory + "/run/ctl-1.sock")[.posixPermissions] as? NSNumber
        #expect(mode?.intValue == 0o660)
    }
}
