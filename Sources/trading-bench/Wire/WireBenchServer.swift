import ArgumentParser
import FleetCore
import FleetTrust
import FleetWire
import Glibc
import LinuxHost
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// One server process of the wire benchmark: starts the agents' process, waits for all, and measures.
struct WireBenchServer: AsyncParsableCommand {
    static let name = "wire-server"
    static let configuration = CommandConfiguration(commandName: name, shouldDisplay: false)

    /// All agents must have connected, and a round must have ended, within this.
    private static let waitMax = TimeAmount.seconds(60)

    @Option var side: WireBenchSide
    @Option var directory: String
    @Option var agents: Int

    func run() async throws {
        Descriptors.raiseLimit()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let tally = RoundTally(agents: agents, loop: group.next())
        let files = WireBenchFiles(directory: directory)
        let target: any BroadcastTarget =
            switch side {
            case .fleet: try FleetTarget(files, group, tally)
            case .echo: try BareEchoServer(files, group, tally)
            }
        let address = try await target.start()
        guard let port = address.port else { throw BenchProcess.Failure(description: "no port to listen on") }
        let before = BenchProcess.residentBytes()

        let began = Clock.boottime()
        let everyone = tally.connectedAll.futureResult
        let second = try BenchProcess.start([
            WireBenchAgents.name, "--side", side.rawValue, "--directory", directory, "--agents", "\(agents)", "--port", "\(port)",
        ])
        try await bounded(everyone, group, "\(agents) connections")
        let connect = (Clock.boottime() - began).milliseconds

        say("\(connect)")
        var round = WireBenchFiles.firstRound
        // A number is a block of so many rounds; anything else asks for the memory; the end of input ends it.
        while let command = readLine() {
            guard let rounds = Int(command) else {
                say("\((Double(BenchProcess.residentBytes() - before) / Double(agents)).rounded())")
                continue
            }
            var times: [Double] = []
            let warmUp = rounds / 10 + 1
            for index in 0..<(warmUp + rounds) {
                round += 1
                let frame = try WireBenchFiles.command(round)
                let answered = tally.begin(round)
                let start = Clock.boottime()
                target.broadcast(frame)
                try await bounded(answered, group, "the answers of round \(round)")
                if index >= warmUp { times.append((Clock.boottime() - start).milliseconds) }
            }
            say(times.map { "\($0)" }.joined(separator: " "))
        }
        second.finish()
    }

    /// A line to the parent, at once.
    private func say(_ line: String) {
        print(line)
        fflush(nil)
    }

    private func bounded(_ future: EventLoopFuture<Void>, _ group: any EventLoopGroup, _ what: String) async throws {
        let deadline = group.next().makePromise(of: Void.self)
        let timer = group.next().scheduleTask(in: Self.waitMax) {
            deadline.fail(BenchProcess.Failure(description: "waited for \(what) in vain"))
        }
        future.cascade(to: deadline)
        defer { timer.cancel() }
        try await deadline.futureResult.get()
    }
}

/// What a round is broadcast to.
protocol BroadcastTarget: Sendable {
    func start() async throws -> SocketAddress
    func broadcast(_ frame: ByteBuffer)
}

/// Counts connections and answers, for both sides alike.
///
/// The counts belong to the one event loop.
final class RoundTally: Sendable {
    let connectedAll: EventLoopPromise<Void>
    private let agents: Int
    private let loop: any EventLoop
    private let state: NIOLockedValueBox<State>

    private struct State: Sendable {
        var connected = 0
        var round: UInt64 = 0
        var answers = 0
        var answered: EventLoopPromise<Void>?
    }

    init(agents: Int, loop: any EventLoop) {
        self.agents = agents
        self.loop = loop
        connectedAll = loop.makePromise()
        state = NIOLockedValueBox(State())
    }

    func connected() {
        let all = state.withLockedValue { state in
            state.connected += 1
            return state.connected == agents
        }
        if all { connectedAll.succeed() }
    }

    /// The answers to come; done with the last.
    func begin(_ round: UInt64) -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        state.withLockedValue { state in
            state.round = round
            state.answers = 0
            state.answered = promise
        }
        return promise.futureResult
    }

    /// `round` nil: the answer doesn't say (the bare echo).
    func answered(_ round: UInt64?) {
        let done = state.withLockedValue { state -> EventLoopPromise<Void>? in
            guard round == nil || round == state.round else { return nil }
            state.answers += 1
            return state.answers == agents ? state.answered : nil
        }
        done?.succeed()
    }
}

/// The fleet's own listener.
private final class FleetTarget: BroadcastTarget, WireSessionDelegate {
    private let tally: RoundTally
    private let listener: NIOLockedValueBox<WireListener?>

    init(_ files: WireBenchFiles, _ group: any EventLoopGroup, _ tally: RoundTally) throws {
        self.tally = tally
        listener = NIOLockedValueBox(nil)
        var log = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        log.logLevel = .warning
        let trust = try TLSTrust(paths: files.paths(.coordinator), fleet: WireBenchFiles.fleet, log: log)
        let made = WireListener(
            group: group, address: try WireAddress.parse("127.0.0.1:0"), trust: trust,
            welcome: { _, _ in .success(WireWelcome()) }, delegate: self, log: log)
        listener.withLockedValue { $0 = made }
    }

    private var bound: WireListener {
        guard let made = listener.withLockedValue({ $0 }) else { preconditionFailure("the listener is made in init") }
        return made
    }

    func start() async throws -> SocketAddress { try await bound.start() }
    func broadcast(_ frame: ByteBuffer) { bound.broadcast(frame) }
    func opened(_ session: WireSession) { tally.connected() }
    func received(_ envelope: WireEnvelope, on session: WireSession) { tally.answered(envelope.pong.id) }
    func closed(_ session: WireSession, why: String) {}
}
