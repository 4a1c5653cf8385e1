internal import COpenSSL
internal import FleetAgent
internal import FleetCore
internal import FleetWire
internal import Glibc
internal import LinuxHost
internal import Logging
internal import NIOPosix

/// The per-host daemon: reads its settings, starts the agent, and waits for signals.
@main
struct TradingAgent {
    /// As sysexits(3) has it: wrong usage or settings.
    private static let exitUsage: Int32 = 2
    private static let exitFailure: Int32 = 1

    static func main() {
        let request: AgentSettings.Request
        do {
            request = try AgentSettings.parse(
                Array(CommandLine.arguments.dropFirst()), executableDirectory: executableDirectory(), workingDirectory: workingDirectory(),
                userID: geteuid(),
                judgeFile: { geteuid() == 0 ? AgentSettings.distrust($0) : nil },
                readFile: { try Files.read($0, limit: 1 << 20) })
        } catch {
            end(exitUsage, "\(error)")
        }
        switch request {
        case .help: print(AgentSettings.help)
        case .version:
            print("trading-agent \(Agent.version)\nTLS: BoringSSL of swift-nio-ssl; certificates: \(String(cString: OpenSSL_version(OPENSSL_VERSION)))")
        case .run(let settings): run(settings)
        }
    }

    private static func run(_ settings: AgentSettings) {
        // Before any thread exists, so that all of them leave these signals to this one.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGHUP, SIGTERM, SIGINT] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        // A reader that is gone is an error of a write, not the agent's end. Shims reset it for their workers.
        signal(SIGPIPE, SIG_IGN)

        LoggingSystem.bootstrap { CleanLogHandler(label: $0) }
        var log = Logger(label: "trading-agent")
        log.logLevel = Logger.Level(rawValue: settings.logLevel) ?? .info

        let agent: Agent
        do {
            agent = try Agent(settings: settings, group: MultiThreadedEventLoopGroup(numberOfThreads: 1), log: log)
            try agent.start()
        } catch {
            end(exitFailure, "trading-agent: \(error)")
        }
        while true {
            var number: Int32 = 0
            guard sigwait(&signals, &number) == 0 else { continue }
            if number == SIGHUP {
                agent.reload()
                continue
            }
            log.notice("ending; workers go on", metadata: ["signal": "\(Signals.name(number))"])
            agent.stop()
            exit(0)
        }
    }

    private static func workingDirectory() -> String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    private static func executableDirectory() -> String {
        guard let path = realpath("/proc/self/exe", nil) else { return "." }
        defer { free(path) }
        let text = String(cString: path)
        return text.lastIndex(of: "/").map { String(text[..<$0]) } ?? "."
    }

    private static func end(_ status: Int32, _ text: String) -> Never {
        let line = text + "\n"
        _ = write(STDERR_FILENO, line, line.utf8.count)
        exit(status)
    }
}
