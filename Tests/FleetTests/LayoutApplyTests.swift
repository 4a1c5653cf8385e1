import Foundation
import Glibc
import TestSupport
import Testing

/// Layouts of real hosts through the coordinator: applied, read back, and watched for drift.
@Suite(.serialized, .enabled(if: HugepagePool.isPossible, "reserves huge pages: needs root")) struct LayoutApplyTests {
    @Test("an apply leaves a live worker alone until it is named, then does as declared and reads back; a thread that is moved from outside is drift")
    func applyAndDrift() throws {
        let lock = HostLock(HugepagePool.lock)
        defer { withExtendedLifetime(lock) {} }
        let before = HugepagePool.total
        let lines = interrupts()
        defer {
            HugepagePool.set("\(before)")
            for (number, cpus) in lines where interrupts()[number] != cpus {
                try? cpus.write(toFile: "/proc/irq/\(number)/smp_affinity_list", atomically: false, encoding: .utf8)
            }
        }
        let fleet = try TestFleet(
            hosts: ["md-1"], settings: ["md-1": "housekeeping: 0, hugepages: {node0: {2MiB: \(before + 5)}}"], tiers: ["market-data"],
            services: { _ in "  feed: {tier: market-data, hosts: [md-1], run: [torture-worker, plain], cpus: {exclusive: 1}}" })
        defer { fleet.end() }
        fleet.flags = ["--drift-every", "1s"]
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let pid = try fleet.pid("feed")
        #expect(try fleet.run("/usr/bin/taskset", ["-p", "-c", "\(pid)"]).text.contains(": 1\n"))

        let planned = try fleet.trading("layout", "plan")
        #expect(planned.text.contains("feed") && HugepagePool.total == before, "\(planned.text)")
        let refused = try fleet.trading("layout", "apply", "--host", "md-1", "--reason", "more pages")
        #expect(refused.status == 3 && flat(refused.text).contains("--override feed --reason"), "\(refused.text)")
        #expect(HugepagePool.total == before && interrupts() == lines, "changed beside a live worker")
        #expect(try fleet.trading("layout", "apply", "--reason", "x", "--override", "nobody").status == 2)
        let applied = try fleet.trading("layout", "apply", "--host", "md-1", "--reason", "more pages", "--override", "feed@md-1")
        #expect(HugepagePool.total == before + 5, "\(applied.text)")
        #expect(flat(applied.text).contains("\(before + 5)"), "\(applied.text)")
        let changed = try fleet.audit("md-1").filter { $0["event"] as? String == "LAYOUT_CHANGED" }
        for record in changed {
            let fields = record["fields"] as? [String: String] ?? [:]
            #expect(record["by"] as? String == "operator/alice" && record["reason"] as? String == "more pages" && fields["overridden"] == "feed", "\(record)")
            // An interrupt line of a network interface, where this machine has one that can be moved: it was, as it says.
            let words = (fields["subject"] ?? "").split(separator: " ")
            if words.first == "IRQ" { #expect(interrupts()[String(words[1])] == fields["read_back"], "\(record)") }
        }
        #expect(changed.contains { ($0["fields"] as? [String: String])?["read_back"] == "\(before + 5)" }, "\(changed)")
        #expect(try fleet.pid("feed") == pid && isAlive(pid))
        // Nothing is left to do.
        let again = try fleet.trading("layout", "apply", "--reason", "again")
        #expect(again.text.contains("as declared") || again.status == 0, "\(again.text)")

        let clean = try fleet.trading("layout", "verify")
        #expect(clean.status == 0 && clean.text.contains("md-1  as declared"), "\(clean.text)")
        #expect(try fleet.run("/usr/bin/taskset", ["-p", "-c", "0", "\(pid)"]).status == 0)
        let drifted = try fleet.trading("layout", "verify")
        #expect(drifted.status == 3, "\(drifted.text)")
        #expect(flat(drifted.text).contains("thread torture-worker of feed: CPU 0, wanted CPU 1"), "\(drifted.text)")
        var status = ""
        #expect(
            try eventually(within: 10) {
                status = try fleet.trading("status").text
                return flat(status).contains("drift since") && flat(status).contains("thread torture-worker of feed: CPU 0, wanted CPU 1")
            }, "\(status)")
        #expect(try fleet.trading("status").status == 3)
        #expect(try fleet.audit("md-1").contains { $0["event"] as? String == "LAYOUT_DRIFT" })

        #expect(try fleet.run("/usr/bin/taskset", ["-p", "-c", "1", "\(pid)"]).status == 0)
        #expect(try eventually(within: 10) { try fleet.audit("md-1").contains { $0["event"] as? String == "LAYOUT_RESTORED" } })
        #expect(try fleet.trading("layout", "verify").status == 0)

        // With the worker stopped, the way back needs no name.
        #expect(try fleet.trading("stop", "--all", "--reason", "test").status == 0)
        HugepagePool.set("\(before + 3)")
        #expect(try eventually(within: 10) { try fleet.trading("layout", "verify").text.contains("hugepages") || HugepagePool.total != before + 3 })
        let restored = try fleet.trading("layout", "apply", "--reason", "pages were taken")
        #expect(restored.status == 0 && HugepagePool.total == before + 5, "\(restored.text)")
        try fleet.verifyAudits()
    }

    /// Where each interrupt line may be delivered, by its number.
    private func interrupts() -> [String: String] {
        let numbers = ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/irq")) ?? []).filter { Int($0) != nil }
        return Dictionary(
            uniqueKeysWithValues: numbers.compactMap { number in
                (try? String(contentsOfFile: "/proc/irq/\(number)/smp_affinity_list", encoding: .utf8)).map { (number, $0.filter { $0 != "\n" }) }
            })
    }
}
