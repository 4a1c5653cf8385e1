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
            last answer of 200. Memory is the growth of the coordinator process's resident set, after traffic. Passes \
            alternate between the two sides; figures are medians over the passes.
            """)

    @Option(help: "How many agents connect.") var agents = 1_000
    @Option(help: "Rounds a pass, after a tenth as many to warm up.") var rounds = 200
    @Option(help: "Passes of each side.") var passes = 3
    @Flag(help: "Exit 1 unless memory is at most 40 KB a connection and p50 at most 1.5 times the echo's.") var check = false

    static let bytesPerConnectionMax = 40_000.0
    static let ratioMax = 1.5

    func validate() throws {
        guard (1...20_000).contains(agents), (10...100_000).contains(rounds), (1...100).contains(passes) else {
            throw ValidationError("use 1 to 20000 agents, 10 to 100000 rounds and 1 to 100 passes")
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

        var fleet: [Pass] = []
        var echo: [Pass] = []
        for _ in 0..<passes {
            fleet.append(try pass(.fleet, directory))
            echo.append(try pass(.echo, directory))
        }
        let ours = Pass.median(fleet)
        let bare = Pass.median(echo)
        let ratio = bare.p50 > 0 ? ours.p50 / bare.p50 : 0
        func row(_ name: String, _ value: (Pass) -> Double, _ digits: (Double) -> String = BenchLine.number) -> [String] {
            [name, digits(value(ours)), digits(value(bare))]
        }
        print(
            BenchLine.table([
                ["\(agents) agents, \(passes) x \(rounds) rounds", "fleet", "bare echo"],
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

    private func pass(_ side: WireBenchSide, _ directory: String) throws -> Pass {
        let server = try BenchProcess.start([
            WireBenchServer.name, "--side", side.rawValue, "--directory", directory, "--agents", "\(agents)", "--rounds",
            "\(rounds)",
        ])
        let output = server.readToEnd()
        let status = server.finish()
        guard status == 0, let pass = Pass(output) else {
            throw BenchProcess.Failure(description: "the \(side.rawValue) server ended with status \(status): \(output)")
        }
        return pass
    }
}

/// Which of the two is measured.
enum WireBenchSide: String, ExpressibleByArgument, Sendable { case fleet, echo }

/// What one server process found.
struct Pass: Sendable {
    var connect: Double
    var p50: Double
    var p99: Double
    var bytes: Double

    init(connect: Double, p50: Double, p99: Double, bytes: Double) {
        self.connect = connect
        self.p50 = p50
        self.p99 = p99
        self.bytes = bytes
    }

    /// Reads back ``text``.
    init?(_ text: String) {
        let values = text.split { $0 == " " || $0 == "\n" }.compactMap { Double($0) }
        guard values.count == 4 else { return nil }
        self.init(connect: values[0], p50: values[1], p99: values[2], bytes: values[3])
    }

    var text: String { "\(connect) \(p50) \(p99) \(bytes)" }

    static func median(_ passes: [Pass]) -> Pass {
        func middle(_ value: (Pass) -> Double) -> Double { BenchLine.percentile(passes.map(value), 0.5) }
        return Pass(connect: middle(\.connect), p50: middle(\.p50), p99: middle(\.p99), bytes: middle(\.bytes))
    }
}
