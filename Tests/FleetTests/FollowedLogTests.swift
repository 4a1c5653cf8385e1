import Foundation
import Glibc
import TestSupport
import Testing

/// Logs of two hosts in one order, while they are written and rotated.
@Suite(.serialized) struct FollowedLogTests {
    private struct Line: Equatable {
        let time: String
        let name: String
        let number: Int
    }

    private func lines(_ text: String) -> [Line] {
        text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let at = words.firstIndex(where: { $0.hasSuffix("Z") && $0.contains("T") && $0.count == 27 }), words.count > at + 2,
                let number = Int(words[at + 2])
            else { return nil }
            return Line(time: String(words[at]), name: String(words[at + 1]), number: number)
        }
    }

    private func expectOrder(_ lines: [Line], _ what: String) {
        for (earlier, later) in zip(lines, lines.dropFirst()) where earlier.time > later.time {
            Issue.record("\(what): \(earlier) stands before \(later)")
            return
        }
    }

    /// Of one writer each number once, none left out.
    private func expectWhole(_ lines: [Line], _ name: String, _ what: String) {
        let numbers = lines.filter { $0.name == name }.map(\.number)
        guard let first = numbers.first, let last = numbers.last else {
            Issue.record("\(what): nothing of \(name)")
            return
        }
        #expect(numbers == Array(first...max(first, last)), "\(what): \(name) from \(first) to \(last) are \(numbers.count) lines")
    }

    @Test("a follower of two hosts sees each line once and in order while the logs are rotated; what lies in segments is found with --since and --grep")
    func rotation() throws {
        let names = ["left": "md-1", "right": "md-2"]
        let fleet = try TestFleet(
            hosts: ["md-1", "md-2"], tiers: ["market-data"],
            services: { _ in
                names.map { name, host in
                    "  \(name): {tier: market-data, hosts: [\(host)], run: [torture-worker, lines, \"10\", \(name), \"2500\"], logs: {stdout: {keep: 1d, max: 4MiB}}}"
                }.joined(separator: "\n")
            })
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        // An agent looks at its logs when it starts, and 10 s later moves what was there: half a megabyte and more.
        for host in fleet.hosts {
            fleet.agents[host]?.killNow()
            try fleet.startAgent(host)
        }
        #expect(try eventually(within: 20) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        // Another one's: from then on the two agents look for what was added at different moments.
        let other = try fleet.background("logs", "left", "-f", "-n", "1")
        defer { other.end() }
        #expect(eventually(within: 10) { lines(other.log).count > 20 }, "\(other.log)")
        let follower = try fleet.background("logs", "all", "-f", "-n", "10")
        defer { follower.end() }
        func segments(_ name: String, _ host: String) -> [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: "\(fleet.directory)/state/\(host)/logs")) ?? []).filter { $0.hasPrefix("\(name).out.2") }
        }
        #expect(eventually(within: 20) { names.allSatisfy { !segments($0, $1).isEmpty } }, "no log was rotated: \(fleet.logs)")
        let rotatedAt = lines(follower.log)
        #expect(
            eventually(within: 10) {
                let now = lines(follower.log)
                return names.keys.allSatisfy { name in now.count { $0.name == name } > rotatedAt.count { $0.name == name } + 80 }
            }, "nothing follows the rotation")
        follower.end()
        let followed = lines(String(follower.log.prefix(through: follower.log.lastIndex(of: "\n") ?? follower.log.startIndex)))
        expectOrder(followed, "followed")
        for name in names.keys { expectWhole(followed, name, "followed") }

        #expect(try fleet.trading("stop", "--all", "--reason", "test").status == 0)
        let all = lines(try fleet.trading("logs", "all", "--since", "1h").text)
        expectOrder(all, "--since")
        for name in names.keys {
            expectWhole(all, name, "--since")
            #expect(all.first { $0.name == name }?.number == 1, "the oldest lie in a segment")
        }
        // In the segment and in the live file, of both hosts.
        let found = lines(try fleet.trading("logs", "left", "right", "--since", "1h", "--grep", "7 xxx").text)
        expectOrder(found, "--grep")
        for name in names.keys {
            let isFound = found.filter { $0.name == name } == all.filter { $0.name == name && $0.number % 10 == 7 }
            #expect(isFound, "\(name): \(found.count) lines of \(all.count { $0.number % 10 == 7 })")
        }
        let one = lines(try fleet.trading("logs", "all", "--host", "md-2", "--since", "1h", "--grep", "right 12").text)
        #expect(!one.isEmpty && one.allSatisfy { $0.name == "right" && "\($0.number)".hasPrefix("12") })
        try fleet.verifyAudits()
    }

    @Test("a follower goes on when its host's agent was killed or restarted, each line once; a coordinator that ends is no success")
    func restarts() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["market-data"]) { _ in
            "  left: {tier: market-data, hosts: [md-1], run: [torture-worker, lines, \"20\", left, \"60\"]}"
        }
        defer { fleet.end() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let follower = try fleet.background("logs", "left@md-1", "-f", "-n", "1")
        defer { follower.end() }
        for signal in [SIGKILL, SIGTERM] {
            let seen = lines(follower.log).count
            #expect(eventually(within: 10) { lines(follower.log).count > seen + 20 }, "\(follower.log)")
            fleet.agents["md-1"]?.signal(signal)
            #expect(eventually(within: 10) { fleet.agents["md-1"]?.process.isRunning == false })
            #expect(eventually(within: 10) { flat(follower.log).contains("UNKNOWN: md-1 has stopped answering") }, "\(follower.log)")
            try fleet.startAgent("md-1")
            let before = follower.log.components(separatedBy: "NOTE: md-1 answers again").count
            #expect(eventually(within: 20) { follower.log.components(separatedBy: "NOTE: md-1 answers again").count > before }, "\(follower.log)")
        }
        let seen = lines(follower.log).count
        #expect(eventually(within: 10) { lines(follower.log).count > seen + 20 }, "\(follower.log)")
        expectWhole(lines(String(follower.log.prefix(through: follower.log.lastIndex(of: "\n") ?? follower.log.startIndex))), "left", "over restarts")
        fleet.coordinator?.end()
        // In order, or broken off: either is said.
        #expect(eventually(within: 10) { !follower.process.isRunning } && follower.process.terminationStatus != 0, "\(follower.log.suffix(500))")
        let end = flat(String(follower.log.suffix(500)))
        #expect(end.contains("the stream has ended") || end.contains("the connection broke off"), "\(end)")
    }
}
