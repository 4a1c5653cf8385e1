import ArgumentParser
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

/// The central daemon, and with `--relay` the stateless second path.
@main
struct TradingCoordinator: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trading-coordinator",
        abstract: "Runs fleet-wide operations over the agents that dial in, and answers the API.",
        discussion: """
            SIGHUP reads certificates and the revocation list again; sessions of revoked peers end, others go on.
            SIGTERM ends it. No worker is touched by its end, restart or loss.
            With --relay it keeps no journal and answers status, emergency stop, its signed release and quiesce only.
            """,
        version: "trading-coordinator \(Version.number) (\(Version.libraries))")

    @Option(name: .customLong("name"), help: "Which coordinator of the inventory this is.")
    var coordinator: String

    @Option(help: "The inventory.")
    var inventory: String

    @Option(help: "Where the journal, certificates and snapshots are kept.")
    var stateDir: String = "/var/lib/trading/coordinator"

    @Option(help: "The coordinator's certificate chain (PEM).")
    var cert: String

    @Option(help: "Its key (PEM, mode 0600).")
    var key: String

    @Option(help: "The fleet's CA (PEM).")
    var ca: String

    @Option(help: "The CA's revocation list (PEM).")
    var crl: String

    @Option(help: "Also serve the API on this Unix socket (mode 0660).")
    var socket: String?

    @Option(help: "Also serve plain HTTP on this loopback address, as 127.0.0.1:PORT; needs --token-file.")
    var plainHTTP: String?

    @Option(help: "The bearer token of --plain-http, at least 16 bytes.")
    var tokenFile: String?

    @Flag(help: "Be a relay: no journal; emergency stop, its signed release, quiesce and status only.")
    var relay = false

    @Option(help: "Log level: debug, info, notice, warning, error.")
    var logLevel: String = "notice"

    mutating func validate() throws {
        guard Logger.Level(rawValue: logLevel) != nil else {
            throw ValidationError("--log-level \(logLevel): write one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
    }

    mutating func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let level = Logger.Level(rawValue: logLevel) ?? .notice
        LoggingSystem.bootstrap { label in
            var handler = CleanLogHandler(label: label)
            handler.logLevel = level
            return handler
        }
        let log = Logger(label: "coordinator")
        do {
            try await CoordinatorProcess(options: self, log: log).run()
        } catch let errors as InventoryErrors {
            complain(errors.description)
            throw ExitCode(2)
        } catch {
            complain("trading-coordinator: \(error)")
            throw ExitCode(1)
        }
    }

    private func complain(_ text: String) {
        let line = Array((text + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
