import Foundation
import TestSupport
import Testing

/// What a test asks the real parts themselves, past everything that is tested.
extension TestFleet {
    func run(_ path: String, _ arguments: [String], input: String? = nil) throws -> Output { try Program.run(path, arguments, input: input) }

    private func redis(_ arguments: String...) throws -> [String] {
        try run("/usr/bin/redis-cli", ["-p", "\(ports.redis)"] + arguments).text.split(separator: "\n").map(String.init)
    }

    func entriesAdded() throws -> Int {
        let lines = try redis("XINFO", "STREAM", "ticks")
        let at = try #require(lines.firstIndex(of: "entries-added"))
        return try #require(Int(lines[at + 1]))
    }

    /// Unread and unacknowledged of a group.
    func unread(group: String) throws -> Int {
        let lines = try redis("XINFO", "GROUPS", "ticks")
        let start = try #require(lines.firstIndex(of: group))
        func value(_ key: String) throws -> Int {
            let at = try #require(lines[start...].firstIndex(of: key))
            return try #require(Int(lines[at + 1]))
        }
        return try value("pending") + value("lag")
    }

    func sinkRows() throws -> Int {
        let path = "\(directory)/state/md-2/workers/redis-to-questdb/ticks.db"
        let text = try run("/usr/bin/sqlite3", ["-readonly", path, "select count(distinct id) from ticks"]).text
        return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), "\(text)")
    }

    func streamFigure(_ stream: String, _ figure: String) throws -> Int? {
        let streams = try status()["streams"] as? [[String: Any]] ?? []
        let found = streams.first { $0["stream"] as? String == stream }?[figure] as? [String: Any]
        return found?["value"] as? Int
    }

    func certificate(of run: Int) throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/state/ctl-1/certificates/stop-\(run).json"))
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }

    func blockedText() throws -> String? {
        let runs = try status()["active_runs"] as? [[String: Any]] ?? []
        return runs.compactMap { $0["blocked"] as? String }.first { !$0.isEmpty }
    }

    /// Law 1 from the agents' audits alone: no tier's first stop signal before the last end of the tier ahead of it.
    func verifyOrder(run: Int) throws {
        let tiers = ["exchange-to-redis": 0, "redis-to-questdb": 0, "strategy": 1, "order-gateway": 2]
        var first = [String?](repeating: nil, count: 3)
        var last = [String?](repeating: nil, count: 3)
        for host in hosts {
            for record in try audit(host) where record["run"] as? Int == run {
                let service = (record["worker"] as? String ?? "").split(separator: "@").first.map(String.init) ?? ""
                guard let tier = tiers[service], let time = record["time"] as? String else { continue }
                if record["event"] as? String == "WORKER_SIGNAL" { first[tier] = min(first[tier] ?? time, time) }
                if record["event"] as? String == "WORKER_STOP" { last[tier] = max(last[tier] ?? time, time) }
            }
        }
        for tier in 0..<2 {
            let ended = try #require(last[tier])
            let began = try #require(first[tier + 1])
            #expect(ended < began, "tier \(tier + 1) got its first signal at \(began), tier \(tier) ended at \(ended)")
        }
    }
}
