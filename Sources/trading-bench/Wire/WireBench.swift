import ArgumentParser
import FleetCore
import FleetTrust
import Glibc

/// `trading-bench wire`: the fleet's wire beside a bare SwiftNIO SSL echo of the same sizes, each with its server and its
/// agents in processes of their own.
struct WireBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wire",
        abstract: "Fan-out and back over mutual TLS, beside a bare SwiftNIO SSL echo of the same sizes.",
        discussion: """
            The agents are real dialers in a second process; a round broadcasts a command of 100 bytes and ends with the \
            last answer of 200. Memory is the growth of the coordinator process's resident set, after traffic. The two sides take \
            turns, a block of rounds each, and the one that waits is stopped, so that both meet the same machine.
            """)

    @Option(help: "How many agents connect.") var agents = 1_000
    @Option(help: "Rounds a block, after a tenth as many to warm up.") var rounds = 20
    @Option(help: "Blocks of each side.") var blocks = 15
    @Flag(help: "Exit 1 unless memory is at most 40 KB a connection and p50 at most 1.5 times the echo's.") var check = false

    static let bytesPerConnectionMax = 40_000.0
    static let ratioMax = 1.5

    func validate() throws {
        guard (1...20_000).contains(agents), (1...100).contains(rounds), (1...10_000).contains(blocks) else {
            throw ValidationError("use 1 to 20000 agents, 1 to 100 rounds and 1 to 10000 blocks")
        }
    }

    func run() async throws {
        var template = Array("/tmp/trading-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TrustError("make", "a temporary directory", String(cString: strerror(errno))) }
        let directory = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let ca = try CertificateAuthority.create(directory: directory, fleet: WireBenchFiles.fleet, force: false)
        _ = try ca.issue(.coordinator, name: WireBenchFiles.coordinator, days: 1)
        _ = try ca.issue(.agent, name: WireBenchFiles.agent, days: 1)
        defer { WireBenchFiles(directory: directory).remove() }

        let sides = try [WireBenchSide.fleet, .echo].map { try WireBenchServerProcess(start: $0, directory, agents: agents) }
        for _ in 0..<blocks {
            for side in sides { try side.run(rounds: rounds) }
        }
        let found = try sides.map { try $0.finish() }
        let (ours, bare) = (found[0], found[1])
        let ratio = bare.p50 > 0 ? ours.p50 / bare.p50 : 0
        func row(_ name: String, _ value: (WireBenchFigures) -> Double) -> [String] {
            [name, BenchLine.number(value(ours)), BenchLine.number(value(bare))]
        }
        print(
            BenchLine.table([
                ["\(agents) agents, \(blocks) x \(rounds) rounds", "fleet", "bare echo"],
                row("connect all, ms", \.connect), row("round p50, ms", \.p50), row("round p99, ms", \.p99),
                row("bytes per connection", \.bytes),
            ]))
        print("round p50: \(BenchLine.number(ratio)) x the bare echo\n")
        BenchLine.print(
            bench: "wire",
            [
                BenchLine("agents", "count", Double(agents)),
                BenchLine("connect_ms", "ms", ours.connect), BenchLine("echo_connect_ms", "ms", bare.connect),
                BenchLine("round_p50_ms", "ms", ours.p50), BenchLine("echo_round_p50_ms", "ms", bare.p50),
                BenchLine("round_p99_ms", "ms", ours.p99), BenchLine("echo_round_p99_ms", "ms", bare.p99),
                BenchLine("bytes_per_connection", "B", ours.bytes), BenchLine("echo_bytes_per_connection", "B", bare.bytes),
                BenchLine("round_ratio_to_echo", "x", ratio),
            ])
        if check, ours.bytes > Self.bytesPerConnectionMax || ratio > Self.ratioMax { throw ExitCode(1) }
    }
}

/// Which of the two is measured.
enum WireBenchSide: String, ExpressibleByArgument, Sendable { case fleet, echo }

/// What was found for one side.
struct WireBenchFigures: Sendable {
    let connect: Double
    let p50: Double
    let p99: Double
    let bytes: Double
}
