/// What the agent's benchmark has measured, and the targets it is held against.
struct AgentFigures {
    var idleResidentBytes = 0.0
    var idleAnonymousBytes = 0.0
    var busyResidentBytes = 0.0
    var idleSwitchesPerSecond = 0.0
    var reportCPUPercent = 0.0
    var shimPrivateBytes: [Double] = []
    var shimProportionalBytes: [Double] = []
    var kills: [Double] = []
    var killFloors: [Double] = []
    var stops: [Double] = []
    var stopFloors: [Double] = []
    var restarts: [Double] = []
    /// nil: strace is not installed.
    var syncsPerRestart: Double?
    var fdatasync: [Double] = []
    var peers: [PeerFigures] = []

    /// What a worker of these benchmarks takes from SIGTERM to its end.
    static let ownStopMilliseconds = 50.0

    private struct Row {
        let line: BenchLine
        var target: Double?
    }

    private func median(_ values: [Double]) -> Double { BenchLine.percentile(values, 0.5) }
    private func mean(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }

    private func rows(_ workers: Int) -> [Row] {
        let (kill, stop) = ("kill\(workers)", "stop\(workers)")
        let killFloor = median(killFloors)
        var rows = [
            Row(line: BenchLine("idle_rss_bytes", "B", idleResidentBytes), target: 18e6),
            Row(line: BenchLine("idle_anon_bytes", "B", idleAnonymousBytes), target: 4e6),
            Row(line: BenchLine("shim_private_bytes", "B", mean(shimPrivateBytes)), target: 200e3),
            Row(line: BenchLine("shim_pss_bytes", "B", mean(shimProportionalBytes))),
            Row(line: BenchLine("rss_with_workers_bytes", "B", busyResidentBytes)),
            Row(line: BenchLine("idle_switches_per_s", "1/s", idleSwitchesPerSecond), target: 2),
            Row(line: BenchLine("report_cpu_percent", "%", reportCPUPercent), target: 0.1),
            Row(line: BenchLine("\(kill)_ms", "ms", median(kills))),
            Row(line: BenchLine("\(kill)_max_ms", "ms", kills.max() ?? 0)),
            Row(line: BenchLine("\(kill)_floor_ms", "ms", killFloor)),
            Row(line: BenchLine("\(kill)_ratio_to_floor", "1", median(kills) / max(killFloor, 0.001)), target: 2),
            Row(line: BenchLine("\(stop)_ms", "ms", median(stops))),
            Row(line: BenchLine("\(stop)_floor_ms", "ms", median(stopFloors))),
            Row(line: BenchLine("\(stop)_overhead_ms", "ms", median(stops) - Self.ownStopMilliseconds), target: 30),
            Row(line: BenchLine("restart_p50_ms", "ms", median(restarts)), target: 8),
            Row(line: BenchLine("restart_p95_ms", "ms", BenchLine.percentile(restarts, 0.95))),
        ]
        if let syncsPerRestart { rows.append(Row(line: BenchLine("restart_syncs", "1", syncsPerRestart))) }
        rows.append(Row(line: BenchLine("fdatasync_p50_ms", "ms", median(fdatasync))))
        for peer in peers {
            rows += [
                Row(line: BenchLine("\(kill)_ms", "ms", median(peer.kills), peer: peer.name)),
                Row(line: BenchLine("\(stop)_overhead_ms", "ms", median(peer.stops) - Self.ownStopMilliseconds, peer: peer.name)),
                Row(line: BenchLine("restart_p50_ms", "ms", median(peer.restarts), peer: peer.name)),
                Row(line: BenchLine("idle_pss_bytes", "B", peer.proportionalBytes, peer: peer.name)),
            ]
        }
        return rows
    }

    func print(workers: Int, rounds: Int) {
        let rows = rows(workers)
        let table = rows.map { row in
            [
                row.line.metric + (row.line.peer.map { ", \($0)" } ?? ""), BenchLine.number(row.line.value) + " " + row.line.unit,
                row.target.map { "<= \(BenchLine.number($0))" } ?? "", row.target.map { row.line.value <= $0 ? "met" : "MISSED" } ?? "",
            ]
        }
        Swift.print(BenchLine.table([["\(workers) workers, \(rounds) rounds", "measured", "target", ""]] + table))
        BenchLine.print(bench: "agent", rows.map(\.line))
    }
}
