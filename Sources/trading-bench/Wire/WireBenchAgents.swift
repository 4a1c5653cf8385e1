import ArgumentParser
import FleetCore
import FleetTrust
import FleetWire
import LinuxHost
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import SwiftProtobuf

/// The agents' process of the wire benchmark: connects, answers, and ends with its standard input.
struct WireBenchAgents: ParsableCommand {
    static let name = "wire-agents"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    @Option var side: WireBenchSide
    @Option var directory: String
    @Option var agents: Int
    @Option var port: Int

    func run() throws {
        Descriptors.raiseLimit()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: port)
        switch side {
        case .fleet:
            var log = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
            log.logLevel = .warning
            let trust = try TLSTrust(
                paths: WireBenchFiles(directory: directory).paths(.agent), fleet: WireBenchFiles.fleet, log: log)
            let answering = Answering(log)
            let dialers = (0..<agents).map { _ in
                WireDialer(
                    group: group, address: address, trust: trust,
                    hello: {
                        .with {
                            $0.fleet = WireBenchFiles.fleet.raw
                            $0.host = WireBenchFiles.agent
                        }
                    }, delegate: answering, log: log)
            }
            for dialer in dialers { dialer.start() }
            BenchProcess.waitForEndOfInput()
            withExtendedLifetime((dialers, answering)) {}
        case .echo:
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.certificateVerification = .none
            configuration.minimumTLSVersion = .tlsv13
            let context = try NIOSSLContext(configuration: configuration)
            let answer = try WireBenchFiles.answer(WireBenchFiles.firstRound)
            for _ in 0..<agents {
                ClientBootstrap(group: group)
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            let pipeline = channel.pipeline.syncOperations
                            try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                            try pipeline.addHandler(BareEchoClientHandler(answer))
                        }
                    }
                    .connect(to: address)
                    .whenFailure { print("cannot connect: \($0)") }
            }
            BenchProcess.waitForEndOfInput()
        }
    }
}

/// Answers every ping.
private final class Answering: WireSessionDelegate {
    private let log: Logger

    init(_ log: Logger) { self.log = log }

    func opened(_ session: WireSession) {}
    func closed(_ session: WireSession, why: String) {}

    func received(_ envelope: WireEnvelope, on session: WireSession) {
        guard case .ping(let ping) = envelope.body else { return }
        do {
            session.send(encoded: try WireBenchFiles.answer(ping.id))
        } catch {
            log.error("no answer could be made", metadata: ["why": "\(error)"])
        }
    }
}
