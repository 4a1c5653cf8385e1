import Dispatch
import FleetAPI
import FleetClient
import FleetCoordinator
import FleetServer
import FleetTrust
import FleetWire
import Glibc
import LinuxHost
import Synchronization
import Testing

@Suite("The API, served and called")
struct ServerTests {
    private func problem(_ body: () async throws -> Void) async -> APIProblem? {
        do {
            try await body()
            return nil
        } catch {
            return error as? APIProblem
        }
    }

    private func request(_ reason: String, all: Bool = true, services: [String] = []) -> APIRunRequest {
        var request = APIRunRequest()
        request.reason = reason
        request.scope.all = all
        request.scope.services = services
        return request
    }

    @Test("the Unix socket's caller is the peer's user, and its mode is 0660")
    func unixSocket() async throws {
        try await ServedAPI.run { api in
            let accepted: APIRunAccepted = try await api.unix.post(Route.stop, request("end of day"))
            #expect(accepted.run == 311)
            #expect(api.service.asked.first?.verb == "stop all")
            #expect(api.service.asked.first?.caller.hasPrefix("local:") == true)
            #expect(Files.mode(of: api.socket) == 0o660)
        }
    }

    @Test("a stop without a reason is refused with no-reason, a start is not")
    func reasons() async throws {
        try await ServedAPI.run { api in
            for path in [Route.stop, Route.restart, Route.quiesce, Route.resume] {
                let refused = await problem { let _: APIRunAccepted = try await api.unix.post(path, request("  ")) }
                #expect(refused?.slug == "no-reason")
            }
            let started: APIRunAccepted = try await api.unix.post(Route.start, request(""))
            #expect(started.run == 311)
            let emergency = await problem { let _: APIEmergencyAnswer = try await api.unix.post(Route.emergencyStop, APIEmergencyRequest()) }
            #expect(emergency?.slug == "no-reason")
        }
    }

    @Test("the pipeline aliases mean everything, and have a reason of their own")
    func aliases() async throws {
        try await ServedAPI.run { api in
            let _: APIRunAccepted = try await api.unix.post(Route.pipelineStop, APIRunRequest())
            #expect(api.service.asked.first?.verb == "stop all")
            #expect(api.service.asked.first?.reason == "pipeline api")
        }
    }

    @Test("an order with a field that is not known is refused, an emergency stop is not")
    func unknownFields() async throws {
        try await ServedAPI.run(loopback: true) { api in
            // A mistyped dry_run would stop the fleet, a forgotten scope would make it all of it.
            for (path, body) in [
                (Route.stop, #"{"scope":{"all":true},"reason":"x","dryrun":true}"#), (Route.pipelineStop, #"{"services":["strategy"]}"#),
                // Twice, in one spelling or in two, at any depth: one of the two was meant.
                (Route.stop, #"{"scope":{"all":true},"reason":"x","dry_run":true,"dry_run":false}"#),
                (Route.stop, #"{"scope":{"all":true},"reason":"x","dry_run":true,"dryRun":false}"#),
                (Route.stop, #"{"scope":{"services":["a"],"services":[],"all":true},"reason":"x"}"#),
            ] {
                try await #expect(PlainHTTP.post(port: api.loopbackPort, path, body) == 400)
            }
            #expect(api.service.asked.isEmpty)
            try await #expect(PlainHTTP.post(port: api.loopbackPort, Route.stop, #"{"scope":{"all":true},"reason":"x","dry_run":true}"#) == 200)
            try await #expect(PlainHTTP.post(port: api.loopbackPort, Route.emergencyStop, #"{"reason":"x","colour":"red"}"#) == 200)
        }
    }

    @Test("an unknown path, a bad body and a refusal are problems with their slugs")
    func problems() async throws {
        try await ServedAPI.run { api in
            let unknown = await problem { let _: APIDone = try await api.unix.get("/api/v1/nothing") }
            #expect(unknown?.slug == "not-found")
            let refused = await problem { let _: APIRunAccepted = try await api.unix.post(Route.stop, request("x", all: false, services: ["gone"])) }
            #expect(refused?.slug == "unknown-service")
            #expect(refused?.then == "then")
            let run = await problem { let _: APIRun = try await api.unix.get("\(Route.runs)/abc") }
            #expect(run?.slug == "unknown-run")
            var large = request("x")
            large.reason = String(repeating: "x", count: 2 << 20)
            let tooLarge = await problem { let _: APIRunAccepted = try await api.unix.post(Route.stop, large) }
            #expect(tooLarge?.slug == "body-too-large")
        }
    }

    @Test("events are followed to the one that ends the run, and taken up again after the last one known")
    func events() async throws {
        let events = (1...3).map { number in
            var event = APIRunEvent()
            event.run = 311
            event.sequence = UInt64(number)
            event.kind = number == 3 ? "ended" : "step"
            return event
        }
        let service = FakeService(events: events)
        try await ServedAPI.run(service) { api in
            var seen: [String] = []
            for try await event in try await api.unix.events("\(Route.run(311))/events") { seen.append("\(event.id ?? "") \(event.name)") }
            #expect(seen == ["1 step", "2 step", "3 ended"])
            seen = []
            for try await event in try await api.unix.events("\(Route.run(311))/events", after: 2) { seen.append("\(event.id ?? "") \(event.name)") }
            #expect(seen == ["3 ended"])
            #expect(service.eventsFrom == [0, 3])
        }
    }

    @Test("logs are streamed to their end")
    func logs() async throws {
        try await ServedAPI.run { api in
            var texts: [String] = []
            var ended = false
            for try await event in try await api.unix.events("\(Route.logs)?service=a&service=b%20c&lines=7&host=md-1") {
                if event.name == "end" {
                    ended = true
                } else {
                    let entry = try APIJSON.decode(APILogEntry.self, from: event.data)
                    texts.append("\(entry.service) \(entry.host) \(entry.text)")
                }
            }
            #expect(texts == ["a+b c md-1 7 false"])
            #expect(ended)
        }
    }

    @Test("over TLS the caller is the certificate's operator; an agent's certificate is refused")
    func certificates() async throws {
        try await ServedAPI.run(tls: true) { api in
            let _: APIRunAccepted = try await api.tls("operator-alice").post(Route.stop, request("end of day"))
            #expect(api.service.asked.first?.caller == "operator/alice")
            let agent = await problem { let _: APIFleetStatus = try await api.tls("agent-md-1").get(Route.status) }
            #expect(agent?.slug == "no-coordinator")
            #expect(api.service.asked.count == 1)
        }
    }

    @Test("an operator whose certificate is out of date may look, stop, quiesce and set an emergency stop, and nothing else")
    func restricted() async throws {
        try await ServedAPI.run(tls: true) { api in
            let authority = try CertificateAuthority(directory: api.directory)
            _ = try authority.issue(.operator, name: "late", notBeforeUnix: 1_600_000_000, notAfterUnix: 1_600_086_400)
            let late = try api.tls("operator-late")
            let status: APIFleetStatus = try await late.get(Route.status)
            #expect(status.fleet == "ld4")
            // The one list: stop and quiesce go on, what starts, releases or decides waits for a renewal.
            for path in [Route.stop, Route.quiesce] { let _: APIRunAccepted = try await late.post(path, request("x")) }
            for path in [Route.start, Route.resume, Route.restart] {
                let refused = await problem { let _: APIRunAccepted = try await late.post(path, request("x")) }
                #expect(refused?.slug == "restricted", "\(path)")
            }
            var release = APILatchRelease()
            release.reason = "over"
            let kept = release
            let refused = await problem { let _: APIDone = try await late.post(Route.emergencyRelease, kept) }
            #expect(refused?.slug == "restricted")
            var emergency = APIEmergencyRequest()
            emergency.reason = "runaway"
            emergency.latch = "es-1"
            let answer: APIEmergencyAnswer = try await late.post(Route.emergencyStop, emergency)
            #expect(answer.latch == "es-1")
        }
    }

    @Test("an emergency stop is sent on every path at once, and one that is dead delays nothing")
    func emergency() async throws {
        try await ServedAPI.run(tls: true) { api in
            var request = APIEmergencyRequest()
            request.reason = "runaway"
            request.latch = "es-2"
            let dead = APIEndpoint.unix(name: "relay", path: "\(api.directory)/nobody.sock")
            let outcome = await EmergencyCall.send(request, to: [dead, api.unix.endpoint, try api.tls("operator-alice").endpoint], began: .now)
            #expect(outcome.allGone)
            #expect(outcome.workers.map(\.name) == ["order-gateway"])
            #expect(api.service.asked.filter { $0.verb == "emergency-stop es-2" }.count == 2)
        }
    }

    @Test("a stale socket is replaced, that of a live server is not, and neither is a file")
    func socketTaken() async throws {
        try await ServedAPI.run(afterCrash: true) { api in
            let second = FleetServer(
                service: api.service, settings: FleetServerSettings(unixSocket: api.socket), trust: nil, log: ServedAPI.quiet)
            await #expect(throws: FleetServerError.self) { try await second.run() }
            let file = "\(api.directory)/file"
            close(open(file, O_CREAT | O_WRONLY, 0o600))
            let third = FleetServer(service: api.service, settings: FleetServerSettings(unixSocket: file), trust: nil, log: ServedAPI.quiet)
            await #expect(throws: FleetServerError.self) { try await third.run() }
            #expect(access(file, F_OK) == 0)
            let status: APIFleetStatus = try await api.unix.get(Route.status)
            #expect(status.fleet == "ld4")
        }
    }

    /// NIO ends the process, this one with all its tests, for a connection that was accepted and then dropped.
    @Test("a server that ends while connections come in closes those that it has not served")
    func endedWhileAccepting() async throws {
        for _ in 0..<20 {
            let open = Mutex<[Int32]>([])
            defer { open.withLock { $0.forEach { close($0) } } }
            try await ServedAPI.run(loopback: true) { api in
                // The kernel has taken them; the server is cancelled while it does.
                for _ in 0..<50 {
                    let descriptor = try #require(PlainHTTP.connected(port: api.loopbackPort))
                    open.withLock { $0.append(descriptor) }
                }
            }
            #expect(open.withLock { $0 }.allSatisfy(PlainHTTP.isEnded))
        }
    }

    @Test("nobody listening is no-coordinator, with what to type")
    func unreachable() async throws {
        let directory = try ServedAPI.temporaryDirectory()
        defer { ServedAPI.remove(directory) }
        let nobody = APIClient(.unix(name: "coordinator", path: "\(directory)/none.sock"))
        let refused = await problem { let _: APIFleetStatus = try await nobody.get(Route.status) }
        #expect(refused?.slug == "no-coordinator")
        #expect(refused?.then.contains("--local") == true)
    }

    @Test("plain HTTP on loopback wants the token, and is refused anywhere else")
    func loopback() async throws {
        try await ServedAPI.run(loopback: true) { api in
            try await #expect(PlainHTTP.status(port: api.loopbackPort, token: nil) == 401)
            try await #expect(PlainHTTP.status(port: api.loopbackPort, token: "wrong") == 401)
            try await #expect(PlainHTTP.status(port: api.loopbackPort, token: ServedAPI.token + "0") == 401)
            try await #expect(PlainHTTP.status(port: api.loopbackPort, token: ServedAPI.token) == 200)
        }
        let anywhere = FleetServerSettings(loopback: .init(address: .init(host: "0.0.0.0", port: 0), token: ServedAPI.token))
        let server = FleetServer(service: FakeService(), settings: anywhere, trust: nil, log: ServedAPI.quiet)
        await #expect(throws: FleetServerError.self) { try await server.run() }
    }
}

/// The least HTTP there is, over a blocking socket: the client under test can't speak without TLS to a port.
enum PlainHTTP {
    static func status(port: Int, token: String?) async throws -> Int {
        try await answer(
            port: port, "GET \(Route.status) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(token.map { "Authorization: Bearer \($0)\r\n" } ?? "")\r\n")
    }

    static func post(port: Int, _ path: String, _ body: String) async throws -> Int {
        try await answer(
            port: port,
            "POST \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \(ServedAPI.token)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }

    /// The HTTP status of the answer; -1 when there is none.
    ///
    /// It blocks, and not a thread that the server under test needs.
    private static func answer(port: Int, _ text: String) async throws -> Int {
        await withCheckedContinuation { done in
            DispatchQueue.global().async { done.resume(returning: exchange(port: port, text)) }
        }
    }

    private static func exchange(port: Int, _ text: String) -> Int {
        guard let descriptor = connected(port: port) else { return -1 }
        defer { close(descriptor) }
        _ = send(descriptor, text, text.utf8.count, 0)
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count > 12 else { return -1 }
        return Int(String(decoding: bytes[9..<12], as: UTF8.self)) ?? -1
    }

    /// A connection whose reads wait 5 s at most; nil when nobody takes it.
    static func connected(port: Int) -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var bound = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &bound, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Whether the other side has ended it, within 5 s.
    static func isEnded(_ descriptor: Int32) -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }
}
