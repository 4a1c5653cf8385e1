import ArgumentParser
import FleetCore
import Foundation
import LinuxHost

/// Whether an agent beside it costs a spinning worker anything: longest gaps on its CPU, with the agent and without, in
/// interleaved pairs.
///
/// With: the agent's full schedule (ten quiet workers, a report a second over its link, facts, drift checks). Without: the
/// agent has ended; its workers, which only wait, and the coordinator, which no trading host has, go on in both.
struct PerturbationBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perturbation", abstract: "Measures what a busy worker on its own CPU notices of an agent on another.",
        discussion: """
            The busy worker notes the longest gap of every millisecond; p99.9 and maximum are over these milliseconds.
            The verdict: the median of (with - without) over the pairs lies within the spread of the runs without, which is the
            median of the differences between one run without and the next.
            Leave the machine alone meanwhile: whatever else runs on the busy CPU is measured too.
            """)

    @Option(help: "How many pairs of runs.")
    var pairs = 10

    @Option(help: "How long each run is; the agent's slowest duty comes every ten seconds.")
    var seconds = 12

    @Option(help: "The busy worker's CPU.")
    var cpu = 1

    @Option(help: "The CPU of everything else that is started here.")
    var housekeeping = 0

    mutating func validate() throws {
        guard (1...200).contains(pairs), (1...600).contains(seconds), cpu >= 0, housekeeping >= 0, cpu != housekeeping else {
            throw ValidationError("pairs 1 to 200, seconds 1 to 600, two different CPUs")
        }
    }

    private struct Gaps {
        let p999: Double
        let longest: Double
    }

    mutating func run() async throws {
        let host = try BenchHost(name: "gaps", workers: 10, port: 17_457, prefix: ["/usr/bin/taskset", "-c", "\(housekeeping)"])
        defer { host.end() }
        try host.begin()
        try host.startWorkers()
        var with: [Gaps] = []
        var without: [Gaps] = []
        var rows = [["pair", "p99.9 without, us", "p99.9 with, us", "difference, us", "max without, us", "max with, us"]]
        host.endAgent()
        for pair in 1...pairs {
            let alone = try measure(host)
            try host.startAgent()
            try settled(host)
            let beside = try measure(host)
            guard try host.isReporting() else { throw BenchHost.Failure(description: "the agent's link was not up. Logs: \(host.directory)/log") }
            host.endAgent()
            poll(nil, 0, 1_000)
            without.append(alone)
            with.append(beside)
            rows.append(
                ["\(pair)"]
                    + [alone.p999, beside.p999, beside.p999 - alone.p999, alone.longest, beside.longest].map { BenchLine.number($0 / 1_000) })
            FileHandle.standardError.write(Data("pair \(pair) of \(pairs)\n".utf8))
        }
        print(BenchLine.table(rows))
        report(without: without, with: with)
    }

    /// Until the coordinator has the new agent's reports and its workers are adopted.
    private func settled(_ host: BenchHost) throws {
        let end = Clock.boottime() + .seconds(60)
        while try !host.isReporting() {
            guard Clock.boottime() < end else { throw BenchHost.Failure(description: "the agent does not report. Logs: \(host.directory)/log") }
            poll(nil, 0, 200)
        }
        poll(nil, 0, 2_000)
    }

    private func measure(_ host: BenchHost) throws -> Gaps {
        let run = try Program.run(host.floor, ["busy", "--cpu", "\(cpu)", "--seconds", "\(seconds)"])
        var values: [String: Double] = [:]
        for line in run.text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            if parts.count == 2 { values[String(parts[0])] = Double(parts[1]) }
        }
        guard run.status == 0, let p999 = values["p99.9"], let longest = values["max"] else {
            throw BenchHost.Failure(description: "the busy worker: \(run.text)")
        }
        return Gaps(p999: p999, longest: longest)
    }

    private func report(without: [Gaps], with: [Gaps]) {
        let median = { (values: [Double]) in BenchLine.percentile(values, 0.5) }
        let difference = median(zip(with, without).map { $0.p999 - $1.p999 })
        let spread = median(zip(without, without.dropFirst()).map { abs($1.p999 - $0.p999) })
        let within = abs(difference) <= spread
        print(
            "median difference of p99.9 \(BenchLine.number(difference / 1_000)) us, runs without differ by \(BenchLine.number(spread / 1_000)) us among themselves: "
                + (within ? "within the spread" : "OUTSIDE the spread"))
        BenchLine.print(
            bench: "perturbation",
            [
                BenchLine("pairs", "1", Double(with.count)),
                BenchLine("p999_without_us", "us", median(without.map(\.p999)) / 1_000), BenchLine("p999_with_us", "us", median(with.map(\.p999)) / 1_000),
                BenchLine("p999_difference_us", "us", difference / 1_000), BenchLine("p999_spread_us", "us", spread / 1_000),
                BenchLine("max_without_us", "us", (without.map(\.longest).max() ?? 0) / 1_000),
                BenchLine("max_with_us", "us", (with.map(\.longest).max() ?? 0) / 1_000), BenchLine("within_spread", "1", within ? 1 : 0),
            ])
    }
}
