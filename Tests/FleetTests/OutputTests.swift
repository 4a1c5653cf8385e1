import Foundation
import Glibc
import TestSupport
import Testing

/// Commands whose output can't be written, and that are interrupted: what was ordered goes on, and they say so (REVIEW C12).
struct OutputTests {
    private func fleet() throws -> TestFleet {
        let fleet = try TestFleet(hosts: ["md-1"], tiers: ["t"]) { _ in
            "  slow: {tier: t, hosts: [md-1], run: [/bin/sh, -c, \"trap 'sleep 2; exit 0' TERM; while :; do sleep 0.05; done\"], ready: {delay: 0s}, "
                + "stop: {grace: 10s, extend_to: 10s}}"
        }
        return try fleet.started(allowing: "/bin", "/usr/bin")
    }

    @Test(
        "a run whose output can't be written goes on, and its number is said to standard error with exit 6",
        arguments: [">/dev/full", "--json >/dev/full", "| head -1 >/dev/null"])
    func outputFails(redirection: String) throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let command = "\(TestFleet.bin)/trading --config \(fleet.config) stop --all --reason x"
        let output = try Program.run("/bin/bash", ["-c", "set -o pipefail; \(command) \(redirection)"])
        #expect(output.status == 6, "\(output.text)")
        #expect(output.text.contains("Run 2 was ordered and goes on without this command.  trading runs 2"), "\(output.text)")
        #expect(try eventually(within: 20) { try fleet.trading("runs", "2").text.contains("completed") })
    }

    @Test("Ctrl-C at any instant of a run says what goes on without the command", arguments: ["RUN 2", "check", "capture"])
    func interrupted(atTheWord word: String) throws {
        let fleet = try fleet()
        defer { fleet.end() }
        let stop = try fleet.background("stop", "--all", "--reason", "x")
        #expect(eventually(within: 10) { stop.log.contains(word) })
        stop.signal(SIGINT)
        stop.process.waitUntilExit()
        let text = stop.log
        #expect(text.contains("Run 2 was ordered and goes on"), "\(text)")
        #expect(stop.process.terminationStatus == 6 && stop.process.terminationReason == .exit, "\(stop.process.terminationStatus) \(text)")
    }
}
