import FleetAPI
import FleetClient
import FleetCore
import FleetTrust
import Foundation
import NIOCore
import NIOPosix
import SwiftProtobuf
import Testing

@testable import FleetAgent
@testable import FleetCoordinator
@testable import FleetWire

/// Whatever an agent sends, coordinator and relay go on; whatever a coordinator sends, the agent does.
@Suite(.serialized) struct WireFuzzTests {
    @Test("coordinator and relay live through any frames of an agent, in and out of runs", arguments: [false, true])
    func fromAgent(relay: Bool) async throws {
        let fleet = try FuzzFleet()
        let coordinator = try await fleet.coordinator(relay: relay)
        let campaign = try Campaign(relay ? "relay" : "coordinator", try Corpus.envelopes("from-agent"))
        let hello = try #require(try campaign.corpus.first { try WireEnvelope(serializedBytes: $0).hello.fleet == "demo" })
        func open() throws -> SessionPipe {
            try SessionPipe(
                fleet.group.next(), .server(answer: { coordinator.welcome($0, $1) }, unopened: UnopenedPeers()),
                as: FuzzFleet.identity(.agent, "st-1"), delegate: coordinator)
        }
        var pipe = try open()
        var operations: [String] = []
        var sessions = 0
        while var mutator = campaign.next() {
            if pipe.isClosed {
                pipe = try open()
                sessions += 1
                if !mutator.chance(10) { try pipe.send(hello) }
            }
            if !relay, campaign.count % 1_000 == 1 { try await order(coordinator, &mutator) }
            if mutator.chance(1) {
                try pipe.write(mutator.bytes(mutator.seed()))
            } else {
                // An answer to what was asked, as often as not.
                try pipe.send(mutator.message(answering(operations, mutator.seed(), &mutator)))
            }
            for envelope in pipe.received() where envelope.command.operation != "" { operations = (operations + [envelope.command.operation]).suffix(8) }
            if campaign.count % 50 == 0 {
                let status = try await coordinator.status()
                try FuzzFleet.look(status)
                _ = DetailScreen.lines("st-1", status, zone: FleetZone(named: "UTC"), style: ScreenStyle(width: 80))
            }
        }
        // It still serves.
        let last = try SessionPipe(
            fleet.group.next(), .server(answer: { coordinator.welcome($0, $1) }, unopened: UnopenedPeers()),
            as: FuzzFleet.identity(.agent, "ex-1"), delegate: coordinator)
        var other = try WireEnvelope(serializedBytes: hello)
        other.hello.host = "ex-1"
        try last.send(other.serializedBytes())
        #expect(last.received().contains { $0.welcome.coordinator == (relay ? "ctl-2" : "ctl-1") })
        try last.send(WireEnvelope.with { $0.report.host = "ex-1" }.serializedBytes())
        let status = try await coordinator.status()
        let told = try #require(status.hosts.first { $0.host == "ex-1" })
        #expect(sessions > 0 && told.known, "known \(told.known), ever \(told.ever), age \(told.ageNs), why \(told.whyUnknown), closed \(last.isClosed)")
    }

    private func answering(_ operations: [String], _ bytes: [UInt8], _ mutator: inout Mutator) throws -> [UInt8] {
        guard !operations.isEmpty, mutator.chance(60), var envelope = try? WireEnvelope(serializedBytes: bytes) else { return bytes }
        let operation = operations[mutator.below(operations.count)]
        switch envelope.body {
        case .result: envelope.result.operation = operation
        case .logChunk: envelope.logChunk.operation = operation
        case .auditChunk: envelope.auditChunk.operation = operation
        default: return bytes
        }
        return try envelope.serializedBytes()
    }

    /// Something is under way, so that answers count.
    private func order(_ coordinator: Coordinator, _ mutator: inout Mutator) async throws {
        let caller = Caller(name: "operator/alice")
        for run in try await coordinator.runs().runs where run.state == .active || run.state == .blocked {
            var request = APIOverride()
            request.reason = "the next one"
            _ = try? await coordinator.intervene(run: run.id, .abort, request, by: caller)
        }
        var request = APIRunRequest()
        request.scope.services = ["strategy"]
        request.reason = "fuzz"
        let kind = ["stop", "start", "quiesce", "resume", "restart"][mutator.below(5)]
        // Refused where the host doesn't report, or the last answers have left a run in the way.
        _ = try? await coordinator.run(kind: kind, request, by: caller)
    }

    @Test("an agent lives through any frames of a coordinator")
    func fromCoordinator() throws {
        let fleet = try FuzzFleet()
        let agent = try fleet.agent()
        let campaign = try Campaign("agent", try Corpus.envelopes("from-coordinator"))
        let welcome = try #require(try campaign.corpus.first { try WireEnvelope(serializedBytes: $0).welcome.coordinator == "ctl-1" })
        let part = try #require(try campaign.corpus.first { try !WireEnvelope(serializedBytes: $0).part.workers.isEmpty })
        func open() throws -> SessionPipe {
            try SessionPipe(agent.loop, .client(hello: { [agent] in agent.hello() }), as: FuzzFleet.identity(.coordinator, "ctl-1"), delegate: agent)
        }
        var pipe = try open()
        var sessions = 0
        while var mutator = campaign.next() {
            if pipe.isClosed {
                pipe = try open()
                sessions += 1
                if !mutator.chance(10) {
                    try pipe.send(welcome)
                    if mutator.chance(20) { try pipe.send(digested(part)) }
                }
            }
            if mutator.chance(1) {
                try pipe.write(mutator.bytes(mutator.seed()))
            } else {
                let changed = mutator.message(mutator.seed())
                // A part with its own digest right gets further.
                try pipe.send(mutator.chance(50) ? digested(changed) : changed)
            }
            _ = pipe.received()
        }
        let last = try open()
        try last.send(welcome)
        #expect(last.received().contains { $0.hello.host == "st-1" })
        #expect(sessions > 0 && last.received().isEmpty)
    }

    private func digested(_ bytes: [UInt8]) throws -> [UInt8] {
        guard var envelope = try? WireEnvelope(serializedBytes: bytes), case .part(var part) = envelope.body else { return bytes }
        part.digest = ""
        part.digest = try PartStore.digest(of: part)
        envelope.part = part
        return try envelope.serializedBytes()
    }
}
