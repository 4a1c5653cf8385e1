import FleetCore
import FleetTrust
import FleetWire
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import SwiftProtobuf
import Testing

/// Real handshakes, of our own and of `openssl s_client`, that must be refused.
@Suite struct TLSRefusalTests {
    private static let quick = WireTiming(heartbeat: .milliseconds(50), greeting: .milliseconds(500))

    /// `openssl s_client` against the listener until the listener closes, or 20 s.
    private func openssl(_ port: Int, _ arguments: [String]) async throws -> (status: Int32, output: String) {
        let command =
            ["/usr/bin/timeout", "20", "/usr/bin/openssl", "s_client", "-connect", "127.0.0.1:\(port)"] + arguments
        return try await NIOThreadPool.singleton.runIfActive { SClient.run(command) }
    }

    private func credentials(_ issued: CertificateAuthority.Issued, _ fleet: TestFleet) -> [String] {
        ["-cert", issued.certificatePath, "-key", issued.keyPath, "-CAfile", fleet.ca.certificatePath]
    }

    @Test("openssl without a certificate is refused, and the log says no-certificate")
    func noCertificate() async throws {
        let server = try await TestListener(try TestFleet(), timing: Self.quick)
        _ = try await openssl(server.port, ["-tls1_3"])
        try await server.refused("no-certificate")
    }

    @Test("openssl with a foreign certificate is refused, and the log says foreign-ca")
    func foreign() async throws {
        let server = try await TestListener(try TestFleet(), timing: Self.quick)
        let other = try TestFleet()
        _ = try await openssl(server.port, credentials(try other.ca.issue(.agent, name: "md-1"), other))
        try await server.refused("foreign-ca")
    }

    @Test("openssl with TLS 1.2 is refused, and the log says tls-version")
    func version() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let outcome = try await openssl(
            server.port, credentials(try fleet.ca.issue(.agent, name: "md-1"), fleet) + ["-tls1_2"])
        #expect(outcome.status != 0)
        try await server.refused("tls-version")
    }

    @Test("a session of a certificate revoked since isn't resumed: before the reload the gate closes it, after it the ticket is dead")
    func resumption() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let issued = try fleet.ca.issue(.agent, name: "md-1")
        let ticket = "\(fleet.directory)/ticket"
        _ = try await openssl(server.port, credentials(issued, fleet) + ["-tls1_3", "-sess_out", ticket])
        // The handshake itself was good: it was refused for its silence only.
        try await server.refused("no-hello")
        #expect(try !CredentialFile.read(ticket).isEmpty)

        let resumed = try await openssl(server.port, credentials(issued, fleet) + ["-tls1_3", "-sess_in", ticket])
        #expect(resumed.output.contains("Reused, TLSv1.3"), "\(resumed.output)")
        try await server.refused("resumed")

        _ = try fleet.ca.revoke("md-1")
        try server.trust.reload()
        let after = try await openssl(server.port, credentials(issued, fleet) + ["-tls1_3", "-sess_in", ticket])
        #expect(!after.output.contains("Reused, TLSv1.3"), "\(after.output)")
        try await server.refused("revoked")
        #expect(server.delegate.events.elements.isEmpty)
    }

    @Test("something that isn't TLS is refused")
    func garbage() async throws {
        let server = try await TestListener(try TestFleet(), timing: Self.quick)
        let channel = try await ClientBootstrap(group: TestFleet.group).connect(to: server.address).get()
        channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), promise: nil)
        try await server.log.wait(for: "a refusal") { $0.contains { $0.slug != nil } }
        try await channel.closeFuture.get()
    }

    @Test("another fleet and another role are refused by the listener, each with its slug")
    func fleetAndRole() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let agent = RecordingDelegate()
        let operatorDialer = server.dialer(try fleet.trust(.operator, "alice"), host: "alice", delegate: agent)
        try await server.refused("wrong-role")
        operatorDialer.dialer.stop()

        // The same authority, but this coordinator belongs to another fleet: its own certificate can't be loaded, so
        // the peer's side is where it shows.
        #expect(throws: TrustError.self) {
            try TLSTrust(paths: fleet.paths(fleet.ca.issue(.coordinator, name: "ctl-9")), fleet: "prod")
        }
        #expect(agent.events.elements.isEmpty)
    }

    @Test("a dialer refuses a listener of another authority or role, and says so")
    func dialerRefuses() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let other = try TestFleet()
        for (trust, role, slug) in [
            (try other.trust(.agent, "md-1", log: RecordingLog.logger(server.log)), FleetIdentity.Role.coordinator, "foreign-ca"),
            (try fleet.trust(.agent, "md-1", log: RecordingLog.logger(server.log)), .operator, "wrong-role"),
        ] {
            let dialer = server.dialer(trust, host: "md-1", delegate: RecordingDelegate(), roles: [role])
            try await server.refused(slug)
            withExtendedLifetime(dialer) {}
        }
        #expect(server.delegate.events.elements.isEmpty)
    }

    @Test("a client whose certificate the server refuses learns that it was refused")
    func refusedByPeer() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet, timing: Self.quick)
        let log = Recorder<RecordingLog.Entry>()
        let trust = try fleet.trust(.operator, "alice", log: RecordingLog.logger(log))
        let dialer = server.dialer(trust, host: "alice", delegate: RecordingDelegate())
        try await log.wait(for: "refused-by-peer") { $0.contains { $0.slug == "refused-by-peer" } }
        withExtendedLifetime(dialer) {}
    }

    @Test("a newly loaded list ends the revoked peer's session and nobody else's")
    func revokedWhileOpen() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let delegates = [RecordingDelegate(), RecordingDelegate()]
        let dialers = [
            server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: delegates[0]),
            server.dialer(try fleet.trust(.agent, "md-2"), host: "md-2", delegate: delegates[1]),
        ]
        _ = try await server.delegate.session(2)
        _ = try fleet.ca.revoke("md-1")
        try server.trust.reload()
        try await server.refused("revoked")
        #expect(try await server.delegate.whyClosed().hasPrefix("revoked: "))
        let closed = server.delegate.events.elements.compactMap { event -> String? in
            if case .closed(let session, _) = event { session.hello.host } else { nil }
        }
        #expect(closed == ["md-1"])
        withExtendedLifetime(dialers) {}
    }

    @Test("a stale list restricts live sessions at a reload, and a fresh one lifts it")
    func restrictionFollowsReload() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let dialer = server.dialer(try fleet.trust(.agent, "md-1"), host: "md-1", delegate: RecordingDelegate())
        let session = try await server.delegate.session()
        #expect(!session.isRestricted)
        let now = Int64(time(nil))
        try fleet.ca.renewRevocationList(lastUpdateUnix: now - 1_000, nextUpdateUnix: now - 10)
        try server.trust.reload()
        try await server.log.wait(for: "a second verification") { $0.contains { $0.message == "the peer was verified again" } }
        #expect(session.isRestricted)
        try fleet.ca.renewRevocationList()
        try server.trust.reload()
        try await server.log.wait(for: "a third") { $0.filter { $0.message == "the peer was verified again" }.count == 2 }
        #expect(!session.isRestricted)
        withExtendedLifetime(dialer) {}
    }

    @Test("a session that opened under a stale list goes on without the restriction once a fresh one is loaded, on both sides")
    func renewed() async throws {
        let fleet = try TestFleet()
        let trust = try fleet.trust(.agent, "md-1")
        let now = Int64(time(nil))
        try fleet.ca.renewRevocationList(lastUpdateUnix: now - 1_000, nextUpdateUnix: now - 10)
        let server = try await TestListener(fleet)
        let agent = RecordingDelegate()
        let dialer = server.dialer(trust, host: "md-1", delegate: agent)
        let session = try await server.delegate.session()
        let other = try await agent.session()
        #expect(session.isRestricted && other.isRestricted)
        try fleet.ca.renewRevocationList()
        try server.trust.reload()
        try await agent.events.wait(for: "the agent to be told") { _ in !other.isRestricted }
        #expect(!session.isRestricted)
        let start = WireEnvelope.with { $0.command.start = WireEmpty() }
        #expect(session.refusal(of: start) == nil && other.refusal(of: start) == nil)
        // And back.
        try fleet.ca.renewRevocationList(lastUpdateUnix: now - 900, nextUpdateUnix: now - 10)
        try server.trust.reload()
        try await agent.events.wait(for: "the agent to be told again") { _ in other.isRestricted }
        #expect(session.refusal(of: start)?.slug == "restricted")
        withExtendedLifetime(dialer) {}
    }

    @Test("a reload of an older list, or of broken files, changes nothing")
    func rollback() async throws {
        let fleet = try TestFleet()
        let server = try await TestListener(fleet)
        let list = try CredentialFile.read(fleet.ca.revocationListPath)
        let issued = try fleet.ca.issue(.agent, name: "md-1")
        _ = try fleet.ca.revoke("md-1")
        try server.trust.reload()
        try overwrite(fleet.ca.revocationListPath, list)
        #expect(throws: TrustError.self) { try server.trust.reload() }
        try overwrite(fleet.ca.revocationListPath, Array("nothing".utf8))
        #expect(throws: TrustError.self) { try server.trust.reload() }
        let dialer = server.dialer(
            try TLSTrust(paths: TLSPaths(cert: issued.certificatePath, key: issued.keyPath, ca: fleet.ca.certificatePath, crl: fresh(fleet)), fleet: "demo"),
            host: "md-1", delegate: RecordingDelegate())
        try await server.refused("revoked")
        withExtendedLifetime(dialer) {}
    }

    @Test("handlers for HTTP give the peer on the event loop")
    func http() async throws {
        let fleet = try TestFleet()
        let server = try fleet.trust(.coordinator, "ctl-1")
        let client = try fleet.trust(.operator, "alice")
        let seen = Recorder<String>()
        let listening = try await ServerBootstrap(group: TestFleet.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handlers = try server.serverHandlers(roles: [.operator], alpn: TLSTrust.httpALPN) { peer, channel in
                        seen.append(peer.identity.uri)
                        seen.append(VerifiedPeer.of(channel)?.identity.uri ?? "nobody")
                    }
                    try channel.pipeline.syncOperations.addHandlers(handlers)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let address = try #require(listening.localAddress)
        let channel = try await ClientBootstrap(group: TestFleet.group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(client.clientHandlers(alpn: TLSTrust.httpALPN))
                }
            }
            .connect(to: address).get()
        try await seen.wait(for: "the operator") { $0.count == 2 }
        #expect(seen.elements == ["spiffe://demo/operator/alice", "spiffe://demo/operator/alice"])
        channel.close(promise: nil)
        try await listening.close().get()
    }

    private func fresh(_ fleet: TestFleet) throws -> String {
        try fleet.ca.renewRevocationList(days: 1)
        return fleet.ca.revocationListPath
    }

    private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
        let file = try #require(fopen(path, "w"))
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        fclose(file)
    }
}

/// Runs a program with its standard input held open until it ends; blocks.
private enum SClient {
    static func run(_ arguments: [String]) -> (status: Int32, output: String) {
        var input: [Int32] = [0, 0]
        var output: [Int32] = [0, 0]
        // Socket pairs, because they are born close-on-exec: another test's child must not inherit them.
        let kind = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &input) == 0, socketpair(AF_UNIX, kind, 0, &output) == 0 else {
            return (-1, "no socket pair: errno \(errno)")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        posix_spawn_file_actions_adddup2(&actions, output[1], 2)
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        var pid: pid_t = 0
        let spawned = posix_spawn(&pid, arguments[0], &actions, nil, &argv, environ)
        close(input[0])
        close(output[1])
        defer {
            close(input[1])
            close(output[0])
        }
        guard spawned == 0 else { return (-1, "cannot run \(arguments[0]): errno \(spawned)") }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = read(output[0], &chunk, chunk.count)
            if count <= 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return ((status >> 8) & 0xff, String(decoding: bytes, as: UTF8.self))
    }
}
