import Foundation
import TestSupport
import Testing

/// What an agent looks at before a launch may take as long as it likes; other launches don't wait for it (REVIEW S19).
@Suite(.serialized) struct SlowLooksTests {
    @Test("a program that takes long to compare keeps no other worker from being launched, and a stop calls it off")
    func hashing() throws {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["market-data"]) { directory in
            """
              big: {tier: market-data, hosts: [md-1], run: [\(directory)/big], run_sha256: \(String(repeating: "0", count: 64))}
              small: {tier: market-data, hosts: [md-1], run: [torture-worker, plain]}
            """
        }
        defer { fleet.end() }
        // Holes: read as zeros, for a minute or more, and kept nowhere.
        let big = "\(fleet.work)/big"
        #expect(FileManager.default.createFile(atPath: big, contents: nil, attributes: [.posixPermissions: 0o755]))
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: big))
        try handle.truncate(atOffset: 256 << 30)
        defer { try? handle.truncate(atOffset: 0) }
        fleet.flags = ["--allow-dir", fleet.work, "--allow-dir", TestFleet.bin]
        try fleet.beginWithoutRelay()
        let start = try fleet.background("start", "--all", "--reason", "test")
        #expect(try eventually(within: 20) { try fleet.state("small") == "RUNNING" }, "\(fleet.logs)")
        #expect(try fleet.state("big") == "STARTING" && start.process.isRunning, "\(fleet.logs)")
        // Cut short: what was hashed is not what was declared, and is told.
        try handle.truncate(atOffset: 0)
        start.process.waitUntilExit()
        #expect(start.process.terminationStatus == 1, "\(start.log)")
        #expect(start.log.contains("the inventory says 0000"), "\(start.log)")
        #expect(try fleet.trading("stop", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
    }
}
