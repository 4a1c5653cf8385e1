import FleetAPI
import FleetClient
import FleetCoordinator
import FleetCore
import FleetServer
import FleetTrust
import FleetWire
import Glibc
import Logging

/// A real server with a fake coordinator behind it, on a Unix socket, on TLS and on loopback, for as long as a body runs.
struct ServedAPI {
    let directory: String
    let service: FakeService
    var tlsPort = 0
    var loopbackPort = 0

    static let token = "0123456789abcdef0123456789abcdef"

    var socket: String { "\(directory)/api.sock" }

    var unix: APIClient { APIClient(.unix(name: "coordinator", path: socket)) }

    /// A client with the certificate `ROLE-NAME` of the directory.
    func tls(_ file: String) throws -> APIClient {
        let trust = try TLSTrust(paths: Self.paths(directory, file), fleet: "ld4", log: Self.quiet)
        return APIClient(.tls(name: "ctl-1", isRelay: false, host: "127.0.0.1", port: tlsPort, trust: trust))
    }

    static var quiet: Logger { Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }) }

    static func paths(_ directory: String, _ file: String) -> TLSPaths {
        TLSPaths(cert: "\(directory)/\(file).pem", key: "\(directory)/\(file).key", ca: "\(directory)/ca.pem", crl: "\(directory)/crl.pem")
    }

    static func run(
        _ service: FakeService = FakeService(), tls: Bool = false, loopback: Bool = false, afterCrash: Bool = false,
        _ body: @Sendable (ServedAPI) async throws -> Void
    ) async throws {
        let directory = try temporaryDirectory()
        defer { remove(directory) }
        var api = ServedAPI(directory: directory, service: service)
        if afterCrash { try leaveSocket(api.socket) }
        var settings = FleetServerSettings(unixSocket: api.socket)
        var trust: TLSTrust?
        if tls {
            let authority = try CertificateAuthority.create(directory: directory, fleet: "ld4", force: false)
            _ = try authority.issue(.coordinator, name: "ctl-1")
            _ = try authority.issue(.operator, name: "alice")
            _ = try authority.issue(.agent, name: "md-1")
            trust = try TLSTrust(paths: paths(directory, "coordinator-ctl-1"), fleet: "ld4", log: quiet)
            settings.tls = .init(host: "127.0.0.1", port: 0)
        }
        if loopback { settings.loopback = .init(address: .init(host: "127.0.0.1", port: 0), token: token) }
        settings.keepAlive = .milliseconds(20)
        let server = FleetServer(service: service, settings: settings, trust: trust, log: quiet)
        let (listening, said) = AsyncStream.makeStream(of: (String, Int).self)
        let serving = Task {
            defer { said.finish() }
            try await server.run(listening: { said.yield(($0, $1)) })
        }
        var expected: Set<String> = ["unix"]
        if tls { expected.insert("tls") }
        if loopback { expected.insert("loopback") }
        for await (name, port) in listening {
            if name == "tls" { api.tlsPort = port }
            if name == "loopback" { api.loopbackPort = port }
            expected.remove(name)
            if expected.isEmpty { break }
        }
        let served = api
        do {
            if expected.isEmpty { try await body(served) }
        } catch {
            serving.cancel()
            _ = await serving.result
            throw error
        }
        serving.cancel()
        let result = await serving.result
        // A listener that could not be bound is the test's failure; being cancelled is how it ends.
        if !expected.isEmpty { try result.get() }
    }

    /// A socket that nobody listens on, as a killed server leaves it.
    private static func leaveSocket(_ path: String) throws {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard bound == 0 else { throw APIProblem(slug: "internal", what: "bind \(path): \(String(cString: strerror(errno)))") }
    }

    static func temporaryDirectory() throws -> String {
        var template = Array("/tmp/fleet-client-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw APIProblem(slug: "internal", what: "mkdtemp: \(String(cString: strerror(errno)))") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Everything in it was made by this test, one level deep.
    static func remove(_ directory: String) {
        if let stream = opendir(directory) {
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
                if name != ".", name != ".." { unlink("\(directory)/\(name)") }
            }
            closedir(stream)
        }
        rmdir(directory)
    }
}
