package import FleetCore
package import FleetTrust
package import Logging
import NIOConcurrencyHelpers
package import NIOCore
import NIOSSL

/// One side's TLS: its own identity, whom it accepts, and every live connection that was accepted.
///
/// Makes the handlers for the fleet's listener and dialer, for the API's and for the command line's. TLS 1.3 only, both
/// sides authenticated, verification by libcrypto with revocation lists (``PeerVerifier``).
package final class TLSTrust: Sendable {
    /// The contexts are made per ALPN list; these are made at once, so that no event loop ever builds one for them.
    package static let wireALPN = ["trading/1"]
    package static let httpALPN = ["http/1.1"]

    package let paths: TLSPaths
    package let fleet: FleetName
    private let lists: ListPolicy
    let log: Logger
    let peerLog = PeerLog()
    private let state: NIOLockedValueBox<State>
    private let handshakes: NIOLockedValueBox<HandshakeQueue>

    /// What happens where the revocation list can't be used: missing, unreadable, signed by nobody, older than the last.
    package enum ListPolicy: Equatable, Sendable {
        /// It is an error: a command that is no emergency.
        case required
        /// A daemon's: the last good list is kept in this file and used instead; where there never was one, peers are unlisted.
        case kept(String)
        /// Of an emergency stop: without it peers are unlisted.
        case optional
    }

    /// Everything that a reload replaces, whole.
    private struct Material: Sendable {
        let own: Certificate
        let certificates: [NIOSSLCertificateSource]
        let key: NIOSSLPrivateKeySource
        let verifier: PeerVerifier
        /// Why the list in `paths` is not the one in use; nil: it is.
        let listProblem: String?
        let generation: UInt64
    }

    private struct Contexts: Sendable {
        let server: NIOSSLContext
        let client: NIOSSLContext
    }

    private struct Live: Sendable {
        let gate: NIOLoopBound<VerifiedHandshakeGate>
        let eventLoop: any EventLoop
        let peer: VerifiedPeer
        let roles: Set<FleetIdentity.Role>
    }

    private struct State {
        var material: Material
        var contexts: [[String]: Contexts]
        var live: [ObjectIdentifier: Live] = [:]
        /// Why the last reload took nothing; nil: it took all, or there was none.
        var reloadProblem: String?
    }

    /// Unfinished handshakes that are kept unless told otherwise; a whole fleet may reconnect at once.
    package static let handshakesMax = 4_096

    /// Reads the four files.
    ///
    /// Blocks: not for an event loop. Of accepted connections whose handshake is not over it keeps `handshakesMax`, the newest.
    package init(
        paths: TLSPaths, fleet: FleetName, lists: ListPolicy = .required, handshakesMax: Int = TLSTrust.handshakesMax, log: Logger = Logger(label: "tls")
    ) throws {
        handshakes = NIOLockedValueBox(HandshakeQueue(countMax: handshakesMax))
        self.paths = paths
        self.fleet = fleet
        self.lists = lists
        self.log = log
        let material = try Self.load(paths, fleet, lists, generation: 0)
        if let problem = material.listProblem { log.error("the revocation list is not the one in use", metadata: ["why": "\(problem)"]) }
        // No reason to keep a fleet down, but one to say.
        if CredentialFile.isOpenToOthers(paths.key) {
            log.warning("the private key is open to other users: chmod 0600, and issue a new one if others could log in", metadata: ["key": "\(paths.key)"])
        }
        var contexts: [[String]: Contexts] = [:]
        for alpn in [Self.wireALPN, Self.httpALPN] { contexts[alpn] = try Self.makeContexts(material, alpn) }
        state = NIOLockedValueBox(State(material: material, contexts: contexts))
        // What is in use, and nothing that was refused just now.
        if case .kept(let path) = lists, material.listProblem == nil { keep(paths.crl, as: path) }
    }

    /// Who this side is.
    package var ownIdentity: FleetIdentity? { state.withLockedValue { $0.material.own.identity } }

    /// The last second of this side's own certificate, since 1970; zero when it can't be read.
    package var ownNotAfterUnix: Int64 { state.withLockedValue { $0.material.own.notAfterUnix } ?? 0 }

    /// Clocks of two sides may differ by this much, in seconds.
    private static let clocksDifferSecondsMax: Int64 = 3_600

    /// Whether sessions from before a reload should begin anew: peers met this side when its certificate had ended, or may have by their
    /// clocks, and the new one is better. Seconds since 1970.
    package static func isRevived(notAfter before: Int64, by after: Int64, now: Int64) -> Bool {
        before < now + clocksDifferSecondsMax && after > max(before, now)
    }

    /// What could not be used of the revocation list, in a sentence; nil: nothing.
    package var listProblem: String? { state.withLockedValue { $0.material.listProblem } }

    /// What a person must see to, a sentence each: of the revocation list, and of files that the last reload could not take.
    package var problems: [String] { state.withLockedValue { [$0.material.listProblem, $0.reloadProblem].compactMap { $0 } } }

    /// Judges signatures and chains with the present authorities and lists. Any thread; blocks for half a millisecond at most.
    package var verifier: PeerVerifier { state.withLockedValue { $0.material.verifier } }

    /// When the loaded revocation list is due to be replaced, seconds since 1970.
    package var listDueUnix: Int64? { state.withLockedValue { $0.material.verifier.listsDueUnix } }

    /// Reads the files again, swaps contexts and verifier whole, and holds the new ones against every live connection:
    /// who is refused now is closed, who is restricted now (or no longer) is told so by a new ``PeerVerified``.
    ///
    /// Blocks: not for an event loop. After an error everything is as it was. Tickets die with the old contexts.
    package func reload() throws {
        do {
            try replaceAll()
            state.withLockedValue { $0.reloadProblem = nil }
        } catch {
            let why = "the files of the last reload could not be used, and the old ones are still in use: \(error). A restart would take the new ones"
            state.withLockedValue { $0.reloadProblem = why }
            throw error
        }
    }

    private func replaceAll() throws {
        let before = state.withLockedValue { (material: $0.material, alpns: Array($0.contexts.keys)) }
        // A list that can't be used never takes the place of one that is in use.
        let material = try Self.load(paths, fleet, .required, generation: before.material.generation + 1)
        guard !material.verifier.isRolledBack(from: before.material.verifier) else {
            throw TrustError(
                "reload", paths.crl, "the list is older than the one in use",
                advice: "install the newest list: an older one would let revoked certificates back in")
        }
        var contexts: [[String]: Contexts] = [:]
        for alpn in before.alpns { contexts[alpn] = try Self.makeContexts(material, alpn) }
        let made = contexts
        let live = try state.withLockedValue { state throws -> [Live] in
            guard state.material.generation < material.generation else {
                throw TrustError("reload", paths.cert, "another reload has just finished", advice: "reload again")
            }
            state.material = material
            state.contexts = made
            return Array(state.live.values)
        }
        for connection in live {
            let verdict = material.verifier.verify(chainDER: connection.peer.chainDER, roles: connection.roles)
            connection.eventLoop.execute { connection.gate.value.reverified(verdict) }
        }
        if case .kept(let path) = lists { keep(paths.crl, as: path) }
        log.notice("certificates reloaded", metadata: ["connections": "\(live.count)"])
    }

    /// Handlers for an accepted connection, in order: TLS, then the gate.
    ///
    /// Add whatever speaks behind them.
    ///
    /// Behind the gate nothing is read before the peer is verified; then `onVerified` is called and the user event
    /// ``PeerVerified`` fired, both on the event loop. An ALPN list other than ``wireALPN`` and ``httpALPN`` has its
    /// context made on first use, by the caller.
    package func serverHandlers(
        roles: Set<FleetIdentity.Role>, alpn: [String],
        onVerified: (@Sendable (VerifiedPeer, any Channel) -> Void)? = nil
    ) throws -> [any ChannelHandler & RemovableChannelHandler] {
        let context = try contexts(alpn).server
        let gate = VerifiedHandshakeGate(trust: self, roles: roles, isAccepted: true, onVerified: onVerified)
        let tls = NIOSSLServerHandler(
            context: context, customVerificationCallback: { gate.verify($0, $1) }, configuration: Self.handlerConfiguration)
        return [tls, gate]
    }

    /// Handlers for a dialled connection, as ``serverHandlers(roles:alpn:onVerified:)``.
    ///
    /// Host names play no part: the peer's role and fleet do. Nothing secret may be written before ``PeerVerified``.
    package func clientHandlers(
        roles: Set<FleetIdentity.Role> = [.coordinator], alpn: [String],
        onVerified: (@Sendable (VerifiedPeer, any Channel) -> Void)? = nil
    ) throws -> [any ChannelHandler & RemovableChannelHandler] {
        let context = try contexts(alpn).client
        let gate = VerifiedHandshakeGate(trust: self, roles: roles, isAccepted: false, onVerified: onVerified)
        let tls = try NIOSSLClientHandler(
            context: context, serverHostname: nil, customVerificationCallback: { gate.verify($0, $1) },
            configuration: Self.handlerConfiguration)
        return [tls, gate]
    }

    // MARK: for the gate

    /// Returns the ticket to give back when the handshake is over.
    func handshakeBegan(_ gate: NIOLoopBound<VerifiedHandshakeGate>, on eventLoop: any EventLoop) -> UInt64 {
        let (ticket, evicted) = handshakes.withLockedValue { $0.enter(HandshakeQueue.Waiting(gate: gate, eventLoop: eventLoop)) }
        if let evicted { evicted.eventLoop.execute { evicted.gate.value.giveWay() } }
        return ticket
    }

    func handshakeEnded(_ ticket: UInt64) { handshakes.withLockedValue { $0.leave(ticket) } }

    func verdict(on chainDER: [[UInt8]], roles: Set<FleetIdentity.Role>) -> (verdict: PeerVerdict, generation: UInt64) {
        let material = state.withLockedValue { $0.material }
        return (material.verifier.verify(chainDER: chainDER, roles: roles), material.generation)
    }

    /// Enters an accepted connection in the register that a reload goes through.
    ///
    /// False when a reload has happened since `generation`: verify again first.
    func register(
        _ gate: NIOLoopBound<VerifiedHandshakeGate>, id: ObjectIdentifier, on eventLoop: any EventLoop,
        _ peer: VerifiedPeer, roles: Set<FleetIdentity.Role>, generation: UInt64
    ) -> Bool {
        state.withLockedValue { state in
            guard state.material.generation == generation else { return false }
            state.live[id] = Live(gate: gate, eventLoop: eventLoop, peer: peer, roles: roles)
            return true
        }
    }

    func unregister(_ id: ObjectIdentifier) {
        // What was held is released after the lock.
        let gone = state.withLockedValue { $0.live.removeValue(forKey: id) }
        _ = gone
    }

    // MARK: building

    private static var handlerConfiguration: NIOSSLHandler.Configuration {
        var configuration = NIOSSLHandler.Configuration()
        // One full record: a large report must not leave its buffer behind for the life of a connection.
        configuration.maximumPreservedOutboundBufferCapacity = 16 << 10
        return configuration
    }

    private static func load(_ paths: TLSPaths, _ fleet: FleetName, _ lists: ListPolicy, generation: UInt64) throws -> Material {
        let certPEM = try CredentialFile.read(paths.cert)
        let own = try Certificate.all(pem: certPEM, object: paths.cert)[0]
        guard own.identity?.fleet == fleet else {
            let found = own.uris.isEmpty ? "no URI name" : own.uris.joined(separator: " ")
            throw TrustError(
                "use", paths.cert, "it names \(found), this is the fleet \(fleet)",
                advice: "issue one with `trading certs issue`, or correct the fleet's name")
        }
        let keyPEM = try CredentialFile.read(paths.key)
        let certificates: [NIOSSLCertificate]
        let key: NIOSSLPrivateKey
        do {
            certificates = try NIOSSLCertificate.fromPEMBytes(certPEM)
        } catch {
            throw TrustError("use", paths.cert, "\(error)", advice: "it must hold PEM certificates, this side's own first")
        }
        do {
            key = try NIOSSLPrivateKey(bytes: keyPEM, format: .pem)
        } catch {
            throw TrustError("use", paths.key, "\(error)", advice: "it must be an unencrypted private key in PEM")
        }
        let (verifier, listProblem) = try loadLists(paths, fleet, lists)
        return Material(
            own: own, certificates: certificates.map { .certificate($0) }, key: .privateKey(key), verifier: verifier, listProblem: listProblem,
            generation: generation)
    }

    private static func loadLists(_ paths: TLSPaths, _ fleet: FleetName, _ policy: ListPolicy) throws -> (PeerVerifier, problem: String?) {
        let caPEM = try CredentialFile.read(paths.ca)
        let given = Result { try PeerVerifier(caPEM: caPEM, crlPEM: CredentialFile.read(paths.crl), fleet: fleet) }
        switch policy {
        case .required: return (try given.get(), nil)
        case .optional:
            if case .success(let verifier) = given { return (verifier, nil) }
            let problem = given.failure.map { "\($0)" }
            return (try PeerVerifier(caPEM: caPEM, crlPEM: nil, fleet: fleet), problem)
        case .kept(let path):
            let kept = CredentialFile.exists(path) ? Result { try PeerVerifier(caPEM: caPEM, crlPEM: CredentialFile.read(path), fleet: fleet) } : nil
            switch (given, kept) {
            case (.success(let verifier), .success(let last)?) where verifier.isRolledBack(from: last):
                return (last, "\(paths.crl) is older than the list that was in use before: that one stays. Install the newest list")
            case (.success(let verifier), _): return (verifier, nil)
            case (.failure(let error), .success(let last)?): return (last, "\(error); the last good list, in \(path), is used instead")
            case (.failure(let error), _):
                // Another authority's files are no lack of a list.
                return (try PeerVerifier(caPEM: caPEM, crlPEM: nil, fleet: fleet), "\(error); \(SessionLimit.unlisted.words)")
            }
        }
    }

    /// For the next start. Where it can't be kept the list in use is good all the same, which is no reason to keep a fleet down.
    private func keep(_ list: String, as path: String) {
        do {
            let bytes = try CredentialFile.read(list)
            if CredentialFile.exists(path), try CredentialFile.read(path) == bytes { return }
            try CredentialFile.replace(path, bytes, mode: 0o644)
        } catch {
            log.error("the revocation list is not kept for the next start", metadata: ["why": "\(error)"])
        }
    }

    private static func makeContexts(_ material: Material, _ alpn: [String]) throws -> Contexts {
        func prepared(_ base: TLSConfiguration) -> TLSConfiguration {
            var configuration = base
            configuration.minimumTLSVersion = .tlsv13
            configuration.maximumTLSVersion = .tlsv13
            // Whatever the callback says counts, but without this it is never asked.
            configuration.certificateVerification = .noHostnameVerification
            // The callback's verifier has the authorities; the system's would only be loaded for nothing.
            configuration.trustRoots = .certificates([])
            configuration.certificateChain = material.certificates
            configuration.privateKey = material.key
            configuration.applicationProtocols = alpn
            // A peer that doesn't answer close_notify is gone, or hung.
            configuration.shutdownTimeout = .seconds(1)
            return configuration
        }
        do {
            return Contexts(
                server: try NIOSSLContext(
                    configuration: prepared(
                        .makeServerConfiguration(certificateChain: material.certificates, privateKey: material.key))),
                client: try NIOSSLContext(configuration: prepared(.makeClientConfiguration())))
        } catch {
            throw TrustError(
                "use", "the certificate with its key", "they don't belong together (\(error))", advice: "name the key that was issued with it")
        }
    }

    private func contexts(_ alpn: [String]) throws -> Contexts {
        let (found, material) = state.withLockedValue { ($0.contexts[alpn], $0.material) }
        if let found { return found }
        let made = try Self.makeContexts(material, alpn)
        state.withLockedValue { state in
            // A reload meanwhile makes this one old: it serves this connection only, which the gate then checks anyway.
            if state.material.generation == material.generation { state.contexts[alpn] = made }
        }
        return made
    }
}

extension Result {
    fileprivate var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
