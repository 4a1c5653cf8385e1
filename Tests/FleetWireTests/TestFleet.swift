import FleetCore
import FleetTrust
import FleetWire
import Glibc
import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf

/// A fleet's certificates in a directory of its own, and the ends of a wire made from them.
final class TestFleet: Sendable {
    static let allocator = ByteBufferAllocator()
    static let group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton

    let directory: String
    let ca: CertificateAuthority

    init(fleet: FleetName = "demo") throws {
        var template = Array("/tmp/fleet-wire-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil, "no temporary directory")
        directory = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        ca = try CertificateAuthority.create(directory: directory, fleet: fleet, force: false)
    }

    deinit {
        guard let stream = opendir(directory) else { return }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            unlink("\(directory)/\(name)")
        }
        closedir(stream)
        rmdir(directory)
    }

    func paths(_ issued: CertificateAuthority.Issued) -> TLSPaths {
        TLSPaths(cert: issued.certificatePath, key: issued.keyPath, ca: ca.certificatePath, crl: ca.revocationListPath)
    }

    func trust(
        _ role: FleetIdentity.Role, _ name: String, handshakesMax: Int = TLSTrust.handshakesMax,
        log: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    ) throws -> TLSTrust {
        try TLSTrust(paths: paths(ca.issue(role, name: name)), fleet: ca.fleet, handshakesMax: handshakesMax, log: log)
    }
}

/// A listener of one coordinator, and all that it saw.
final class TestListener: Sendable {
    let fleet: TestFleet
    let trust: TLSTrust
    let delegate: RecordingDelegate
    let log: Recorder<RecordingLog.Entry>
    let listener: WireListener
    let address: SocketAddress

    init(
        _ fleet: TestFleet, timing: WireTiming = WireTiming(), handshakesMax: Int = TLSTrust.handshakesMax, delegate: RecordingDelegate = RecordingDelegate(),
        welcome: @escaping @Sendable (WireHello, VerifiedPeer) -> Result<WireWelcome, WireRefusal> = { _, _ in
            .success(.with { $0.coordinator = "ctl-1" })
        }
    ) async throws {
        self.fleet = fleet
        let log = Recorder<RecordingLog.Entry>()
        self.log = log
        self.delegate = delegate
        let logger = RecordingLog.logger(log)
        trust = try fleet.trust(.coordinator, "ctl-1", handshakesMax: handshakesMax, log: logger)
        listener = WireListener(
            group: TestFleet.group, address: try WireAddress.parse("127.0.0.1:0"), trust: trust, welcome: welcome,
            timing: timing, delegate: delegate, log: logger)
        address = try await listener.start()
    }

    deinit { listener.stop() }

    var port: Int { address.port ?? 0 }

    /// Waits until a refusal with `slug` is in the log.
    func refused(_ slug: String) async throws {
        try await log.wait(for: "a refusal \(slug)") { $0.contains { $0.slug == slug } }
    }

    func dialer(
        _ trust: TLSTrust, host: String, delegate: RecordingDelegate, timing: WireTiming = WireTiming(),
        roles: Set<FleetIdentity.Role> = [.coordinator, .relay], log: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
        hello: @escaping @Sendable (inout WireHello) -> Void = { _ in }
    ) -> TestDialer {
        let name = fleet.ca.fleet.raw
        return TestDialer(
            WireDialer(
                group: TestFleet.group, address: address, trust: trust, roles: roles,
                hello: {
                    var message = WireHello.with {
                        $0.fleet = name
                        $0.host = host
                    }
                    hello(&message)
                    return message
                }, timing: timing, delegate: delegate, log: log))
    }
}

/// A dialer that stops with its test.
final class TestDialer: Sendable {
    let dialer: WireDialer

    init(_ dialer: WireDialer) {
        self.dialer = dialer
        dialer.start()
    }

    deinit { dialer.stop() }
}
