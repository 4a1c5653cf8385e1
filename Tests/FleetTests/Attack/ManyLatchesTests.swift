import FleetAPI
import FleetClient
import FleetWire
import Foundation
import Glibc
import TestSupport
import Testing
import WireImpostors

/// Emergency stops by the thousand, and hosts that were away meanwhile (REVIEW S10).
@Suite(.serialized) struct ManyLatchesTests {
    /// In full: LATCH_ROUNDS=10000.
    private static let rounds = ProcessInfo.processInfo.environment["LATCH_ROUNDS"].flatMap { Int($0) } ?? 60

    @Test("emergency stops with the longest reasons, each released: hello and report stay small, the coordinator's memory flat, all hosts report")
    func flood() async throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        // In the relay's place: it sees what agents say.
        let ear = try await Pretender(fleet.keys, certificate: "relay-ctl-2", port: fleet.ports.relay)
        defer { ear.stop() }
        try fleet.beginWithoutRelay()
        let client = APIClient(.unix(name: "coordinator", path: fleet.directory + "/run/ctl-1.sock"))
        let pid = try #require(fleet.coordinator?.pid)
        func resident() throws -> Int {
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            return try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }.flatMap { Int($0.filter(\.isNumber)) })
        }
        var early = 0
        for round in 0..<Self.rounds {
            var stop = APIEmergencyRequest()
            stop.reason = String(repeating: "r", count: 900_000)
            stop.latch = "flood-\(round)"
            let answer: APIEmergencyAnswer = try await client.post(Route.emergencyStop, stop)
            #expect(answer.notKept.isEmpty)
            var release = APILatchRelease()
            release.latch = stop.latch
            release.reason = String(repeating: "q", count: 900_000)
            let _: APIDone = try await client.post(Route.emergencyRelease, release)
            if round == Self.rounds / 4 { early = try resident() }
        }
        let grown = try resident() - early
        #expect(grown < 40_000, "the coordinator has grown by \(grown) kB over \(Self.rounds * 3 / 4) emergency stops")
        // Agents that start anew read what they have kept, and say hello again.
        for host in fleet.hosts {
            fleet.agents[host]?.killNow()
            try fleet.startAgent(host)
        }
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs.suffix(2_000))")
        #expect(ear.largest.hello < 1 << 20 && ear.largest.report < 1 << 20, "\(ear.largest)")
        #expect(try fleet.latches.isEmpty)
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs.suffix(2_000))")
    }

    @Test("as many as are kept, in force: another one kills and says that it is not kept; the report still fits, and released they all go")
    func inForce() async throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        let ear = try await Pretender(fleet.keys, certificate: "relay-ctl-2", port: fleet.ports.relay)
        defer { ear.stop() }
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let client = APIClient(.unix(name: "coordinator", path: fleet.directory + "/run/ctl-1.sock"))
        var notKept = 0
        for number in 0..<140 {
            var stop = APIEmergencyRequest()
            stop.reason = "many"
            stop.latch = "many-\(number)"
            stop.scope.services = ["strategy"]
            let answer: APIEmergencyAnswer = try await client.post(Route.emergencyStop, stop)
            if !answer.notKept.isEmpty { notKept += 1 }
        }
        #expect(notKept > 0)
        let gateway = try fleet.pid("order-gateway")
        var last = APIEmergencyRequest()
        last.reason = "one more"
        last.scope.services = ["order-gateway"]
        let answer: APIEmergencyAnswer = try await client.post(Route.emergencyStop, last)
        #expect(!isAlive(gateway) && !answer.notKept.isEmpty, "it kills, kept or not")
        let signed = try fleet.trading("--via", "ctl-1", "emergency-stop", "--yes", "--service", "order-gateway", "--reason", "by a person")
        #expect(signed.status == 4 && signed.text.contains("NOT KEPT"), "\(signed.text)")
        #expect(try eventually(within: 10) { try fleet.reportingHosts() == 2 })
        #expect(ear.largest.report < 1 << 20)
        #expect(try fleet.trading("--via", "ctl-1", "emergency-stop", "release", "--reason", "over").status == 0)
        // Each is a file on each host, removed and synced.
        #expect(try eventually(within: 40) { try fleet.latches.isEmpty })
    }

    @Test("a host that was away while a latch was set and released kills nobody; away while one was set it learns of it, from the relay as well")
    func away() throws {
        let fleet = try TestFleet.ofTwo()
        defer { fleet.end() }
        try fleet.startRelay()
        try fleet.beginWithoutRelay()
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        let gateway = try fleet.pid("order-gateway")
        fleet.agents["ex-1"]?.killNow()
        for _ in 0..<3 {
            #expect(try fleet.trading("emergency-stop", "--yes", "--service", "order-gateway", "--reason", "set").status == 4)
            #expect(try fleet.trading("emergency-stop", "release", "--reason", "released").status == 0)
        }
        try fleet.startAgent("ex-1")
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(!eventually(within: 4) { !isAlive(gateway) }, "killed by a latch that was released: \(fleet.logs)")
        #expect(try fleet.latches.isEmpty, "a released latch is in force again: \(fleet.logs)")
        // From the relay alone: the coordinator is dead by then.
        fleet.agents["ex-1"]?.killNow()
        #expect(try fleet.trading("emergency-stop", "--yes", "--service", "order-gateway", "--reason", "set").status == 4)
        fleet.coordinator?.killNow()
        try fleet.startAgent("ex-1")
        #expect(eventually(within: 20) { !isAlive(gateway) }, "the relay has not told: \(fleet.logs)")
        // The relay releases it on the operator's signature, with no coordinator anywhere.
        #expect(try fleet.trading("--via", "ctl-2", "emergency-stop", "release", "--reason", "over").status == 0, "\(fleet.logs)")
        try fleet.startCoordinator()
        #expect(try eventually(within: 30) { try fleet.reportingHosts() == 2 }, "\(fleet.logs)")
        #expect(try eventually(within: 20) { try fleet.latches.isEmpty }, "\(fleet.logs)")
        #expect(try fleet.trading("start", "--all", "--reason", "again").status == 0, "\(fleet.logs)")
    }
}
