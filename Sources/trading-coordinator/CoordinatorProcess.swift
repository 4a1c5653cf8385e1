import Dispatch
import FleetCoordinator
import FleetCore
import FleetInventory
import FleetJournal
import FleetServer
import FleetTrust
import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOCore
import NIOPosix

/// Puts the parts together: journal, coordinator, the agents' listener, the API.
struct CoordinatorProcess {
    let options: TradingCoordinator
    let log: Logger

    func run() async throws {
        let inventory = try InventoryLoader.load(options.inventory, digest: Digest.sha256Hex)
        let name = CoordinatorName(options.coordinator)
        guard let spec = inventory.coordinators.first(where: { $0.name == name }) else {
            let known = inventory.coordinators.map(\.name.raw).joined(separator: ", ")
            throw StartError("\(options.inventory) has no coordinator \(name); it has \(known). Name one of them with --name")
        }
        guard options.relay == (spec.role == .emergency) else {
            throw StartError(
                options.relay
                    ? "\(name) has the role full in \(options.inventory). Start it without --relay, or give it role: emergency"
                    : "\(name) has the role emergency in \(options.inventory). Start it with --relay")
        }
        let paths = TLSPaths(cert: options.cert, key: options.key, ca: options.ca, crl: options.crl)
        try Files.makeDirectory(options.stateDir, mode: 0o750)
        // The whole fleet may reconnect at once; whoever only connects must leave descriptors for it.
        let handshakesMax = min(max(TLSTrust.handshakesMax, 2 * inventory.hosts.count), max(256, Descriptors.raiseLimit() / 4))
        let trust = try TLSTrust(
            paths: paths, fleet: inventory.fleet, lists: .kept("\(options.stateDir)/crl-last-good.pem"), handshakesMax: handshakesMax, log: log)
        // Its fleet was looked at already. Under another name it would sign what it did not do.
        let roles: Set<FleetIdentity.Role> = options.relay ? [.relay, .coordinator] : [.coordinator]
        guard let own = trust.ownIdentity, roles.contains(own.role), own.name == name.raw else {
            let role = options.relay ? "relay" : "coordinator"
            throw StartError(
                "\(options.cert) is the certificate of \(trust.ownIdentity?.uri ?? "nobody"), this is the \(role) \(name). "
                    + "Issue one: trading certs issue \(role) \(name)")
        }
        if options.relay, own.role == .coordinator {
            log.warning(
                "a relay with a coordinator's certificate: whoever takes its key can do all that a coordinator can. The next version refuses it",
                metadata: ["then": "trading certs issue relay \(name)"])
        }
        let (journal, fold) = try openJournal()
        let storeKey = try openStoreKey(fold)
        // The loop that decides is shared with nothing: no handshake and no slow reader ever stands in its way.
        let deciding = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let network = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let coordinator = try Coordinator(
            settings: Coordinator.Settings(
                name: name, stateDirectory: options.stateDir, relay: options.relay, certificatePath: options.cert, keyPath: options.key),
            inventory: inventory, journal: journal, fold: fold, storeKey: storeKey, trust: trust, home: deciding.next(), log: log)
        try await coordinator.begin(fold: fold)
        let agents = try address(spec.address)
        let listener = WireListener(
            group: network, address: try SocketAddress(ipAddress: agents.host, port: agents.port), trust: trust,
            welcome: { coordinator.welcome($0, $1) }, timing: .coordinator, delegate: coordinator, log: log)
        // Before anybody is told that it runs: a reload that comes sooner would end it.
        let signals = SignalSources(log: log, trust: trust, listener: listener)
        let ends = signals.ends
        let bound = try await naming("the agents' listener", spec.address) { try await listener.start() }
        log.notice("agents may dial in", metadata: ["address": "\(bound)", "fleet": "\(inventory.fleet)", "relay": "\(options.relay)"])
        var settings = FleetServerSettings(
            tls: try spec.api.map(address).map { FleetServerSettings.Address(host: $0.host, port: $0.port) }, unixSocket: options.socket)
        settings.loopback = try loopback()
        let server = FleetServer(service: coordinator, settings: settings, trust: trust, log: log)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let places = [spec.api, options.plainHTTP].compactMap(\.self).joined(separator: " or ")
            group.addTask { try await naming("the API", places) { try await server.run() } }
            group.addTask { for await _ in ends { return } }
            _ = try await group.next()
            signals.cancel()
            listener.stop()
            coordinator.close()
            if let socket = options.socket {
                do { try Files.remove(socket) } catch { log.warning("a socket is left", metadata: ["why": "\(error)"]) }
            }
            log.notice("ended; no worker was touched")
            // The API's listeners keep nothing: they end with the process.
            exit(0)
        }
    }

    private func openJournal() throws -> (Journal?, CoordinatorFold) {
        guard !options.relay else { return (nil, CoordinatorFold([])) }
        let opened = try Journal.open(path: "\(options.stateDir)/journal")
        if let repair = opened.repair { log.error("the audit's last line was torn", metadata: ["repair": "\(repair)"]) }
        if let warning = opened.warning { log.warning("audit", metadata: ["warning": "\(warning)"]) }
        return (opened.journal, CoordinatorFold(opened.records))
    }

    private func openStoreKey(_ fold: CoordinatorFold) throws -> StoreKey? {
        guard !options.relay else { return nil }
        let path = "\(options.stateDir)/store.key"
        let (key, isNew) = try StoreKey.load(orMakeAt: path)
        if !fold.storeKey.isEmpty, fold.storeKey != key.publicText {
            log.error(
                "the store's key is not the one of the last start: hosts take no orders until they are told",
                metadata: [
                    "path": "\(path)", "why": isNew ? "it was gone; a new one was made" : "another is there now",
                    "then": "trading coordinator succeed --reason …",
                ])
        }
        log.notice("the store's key", metadata: ["key": "\(StoreKey.fingerprint(key.publicText))", "path": "\(path)", "new": "\(isNew)"])
        return key
    }

    /// The kernel's word on a listener doesn't say which one it was.
    private func naming<Value>(_ listener: String, _ address: String, _ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as IOError where error.errnoCode == EADDRINUSE {
            throw StartError("\(listener) can't listen on \(address): the port is taken. Is another coordinator running? ss -ltnp shows who has it")
        } catch let error as IOError where [EADDRNOTAVAIL, EACCES].contains(error.errnoCode) {
            throw StartError("\(listener) can't listen on \(address): \(String(cString: strerror(error.errnoCode))). Correct it in \(options.inventory)")
        }
    }

    private func loopback() throws -> FleetServerSettings.Loopback? {
        guard let plain = options.plainHTTP else { return nil }
        guard let file = options.tokenFile else { throw StartError("--plain-http needs --token-file: a bearer token of at least 16 bytes") }
        let at = try address(plain)
        // Whoever can read it orders as the coordinator's own user.
        if let about = try FileStatus.read(file), about.mode & 0o077 != 0 {
            throw StartError("the token file \(file) is open to other users: chmod 0600 \(file), and make a new token if others could log in")
        }
        let text = String(decoding: try Files.read(file, limit: 4096), as: UTF8.self)
        let token = String(text.prefix { !$0.isNewline }).trimmingBlanks
        return FleetServerSettings.Loopback(address: .init(host: at.host, port: at.port), token: token)
    }

    private func address(_ text: String) throws -> (host: String, port: Int) {
        let address = try WireAddress.parse(text)
        guard let host = address.ipAddress, let port = address.port, port > 0 else { throw StartError("\(text) has no port; write for example 127.0.0.1:7480") }
        return (host, port)
    }

    struct StartError: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }
}

/// SIGHUP reloads, SIGTERM and SIGINT end. Kept for the life of the process.
private struct SignalSources {
    private let sources: [any DispatchSourceSignal]
    /// One element per order to end.
    let ends: AsyncStream<Void>

    init(log: Logger, trust: TLSTrust, listener: WireListener) {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        ends = stream
        let queue = DispatchQueue(label: "signals")
        func source(_ number: Int32, _ act: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler(handler: act)
            source.resume()
            return source
        }
        sources = [
            source(SIGTERM) { continuation.yield() },
            source(SIGINT) { continuation.yield() },
            source(SIGHUP) {
                do {
                    let before = trust.ownNotAfterUnix
                    try trust.reload()
                    if TLSTrust.isRevived(notAfter: before, by: trust.ownNotAfterUnix, now: Int64(Clock.unixMicroseconds() / 1_000_000)) {
                        listener.endSessions(why: "its certificate had ended, or was about to, and is renewed: dial again")
                    }
                } catch {
                    log.error("certificates were not reloaded, the old ones stay", metadata: ["why": "\(error)"])
                }
            },
        ]
    }

    func cancel() {
        for source in sources { source.cancel() }
    }
}

extension String {
    fileprivate var trimmingBlanks: String {
        let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        return String(drop(while: blank).reversed().drop(while: blank).reversed())
    }
}
