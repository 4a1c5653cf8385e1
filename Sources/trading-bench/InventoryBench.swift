import ArgumentParser
import FleetCore
import FleetInventory
import Foundation
import LinuxHost

/// How long an inventory takes to be checked, as `trading inventory check` does it: from its text to its last rule.
///
/// Two shapes of the same fleet: services that name all hosts, and services of each host's own that are `like` a first one. Both
/// have streams inside each host and CPUs of their own, so that every rule has something to look at.
struct InventoryBench: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "inventory", abstract: "Measures the check of an inventory.")

    @Option(help: "How many hosts; once for each.")
    var hosts: [Int] = [60, 250, 500, 1_000, 2_000]

    @Option(help: "How many services on each host.")
    var services = 10

    @Option(help: "How often each; medians are printed.")
    var rounds = 3

    mutating func validate() throws {
        guard hosts.allSatisfy({ (1...5_000).contains($0) }), (2...20).contains(services), (1...100).contains(rounds) else {
            throw ValidationError("hosts 1 to 5000, services 2 to 20, rounds 1 to 100")
        }
    }

    mutating func run() throws {
        var rows = [["hosts x \(services)", "named by every service, ms", "a service of each host, ms"]]
        var lines: [BenchLine] = []
        for count in hosts {
            let shared = try measure(text(hosts: count, isShared: true))
            let own = try measure(text(hosts: count, isShared: false))
            rows.append(["\(count)", BenchLine.number(shared), BenchLine.number(own)])
            lines += [BenchLine("shared_\(count)_ms", "ms", shared), BenchLine("own_\(count)_ms", "ms", own)]
        }
        print(BenchLine.table(rows))
        BenchLine.print(bench: "inventory", lines)
    }

    private func measure(_ text: String) throws -> Double {
        try BenchLine.percentile(
            (0..<rounds).map { _ in
                let start = Clock.boottime()
                _ = try InventoryLoader.load(text: text, file: "fleet.yaml")
                return (Clock.boottime() - start).milliseconds
            }, 0.5)
    }

    private func text(hosts count: Int, isShared: Bool) -> String {
        let names = (1...count).map { "h-\($0)" }
        let body = "tier: market-data, run: [/opt/worker], stop: {grace: 5s}"
        var services: [String] = []
        var streams: [String] = []
        func add(_ name: (Int) -> String, on hosts: String, like first: ((Int) -> String)?) {
            for number in 0..<self.services {
                let more = number == 0 ? "" : ", needs: [\(name(number - 1))]"
                let what = first.map { "like: \($0(number))" } ?? "\(body), cpus: {exclusive: \"\(4 + number)\"}"
                services.append("  \(name(number)): {\(what), hosts: [\(hosts)]\(more)}")
            }
            let ends = "from: [\(name(0))], to: {\(name(1)): {group: g, on_stop: buffer}}"
            streams.append("  \(name(0))-out: {via: {redis: h-1/\(name(0))}, \(ends)}")
        }
        if isShared {
            add({ "s-\($0)" }, on: names.joined(separator: ", "), like: nil)
        } else {
            for (index, host) in names.enumerated() {
                add({ "s-\($0)-\(host)" }, on: host, like: index == 0 ? nil : { "s-\($0)-h-1" })
            }
        }
        return """
            fleet: bench
            coordinators: {ctl-1: {address: "127.0.0.1:7443"}}
            tiers: {market-data: {}}
            dependencies: {dep: {host: h-1, probe: {redis: "127.0.0.1:6379"}}}
            hosts:
            \(names.map { "  \($0): {housekeeping: 0-3}" }.joined(separator: "\n"))
            services:
            \(services.joined(separator: "\n"))
            streams:
            \(streams.joined(separator: "\n"))

            """
    }
}
