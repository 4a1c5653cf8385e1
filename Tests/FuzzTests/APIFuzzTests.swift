import FleetAPI
import FleetCore
import FleetWire
import SwiftProtobuf
import Testing

@testable import FleetCoordinator

/// Whatever body comes to the API is refused or carried out; the coordinator goes on.
@Suite(.serialized) struct APIFuzzTests {
    @Test("a coordinator lives through any body of its API")
    func bodies() async throws {
        let fleet = try FuzzFleet()
        let coordinator = try await fleet.coordinator(relay: false)
        let campaign = try Campaign("api", try Corpus.files("api"))
        var taken = 0
        while var mutator = campaign.next() {
            let body = mutator.text(mutator.seed())
            do {
                try await order(coordinator, body, mutator.below(12))
                taken += 1
            } catch is APIProblem {
                taken += 1
            } catch is JSONDecodingError, is APIJSON.OutOfBounds, is JSON.ParseError {
                continue
            }
            if campaign.count % 100 == 0 { try FuzzFleet.look(try await coordinator.status()) }
        }
        // Not all of them may fail to be understood: nothing behind the parser would have been tried.
        #expect(taken > 0)
    }

    private func order(_ coordinator: Coordinator, _ body: [UInt8], _ which: Int) async throws {
        let caller = Caller(name: "operator/alice")
        switch which {
        case 0...4:
            let request = try APIJSON.decodeOrder(APIRunRequest.self, from: body)
            _ = try await coordinator.run(kind: ["stop", "start", "restart", "quiesce", "resume"][which], request, by: caller)
        case 5: _ = try await coordinator.hold(APIJSON.decodeOrder(APIHoldRequest.self, from: body), by: caller)
        case 6: _ = try await coordinator.mark(.lock, APIJSON.decodeOrder(APIMarkRequest.self, from: body), by: caller)
        case 7: _ = try await coordinator.layout(APIJSON.decodeOrder(APILayoutAsk.self, from: body), by: caller)
        case 8: _ = try await coordinator.emergencyStop(APIJSON.decodeOrder(APIEmergencyRequest.self, from: body), by: caller, bound: .milliseconds(1))
        case 9: _ = try await coordinator.releaseLatch(APIJSON.decodeOrder(APILatchRelease.self, from: body), by: caller)
        case 10: _ = try await coordinator.succeed(APIJSON.decodeOrder(APISuccessionRequest.self, from: body), by: caller)
        default: _ = try await coordinator.intervene(run: 1, .override, APIJSON.decodeOrder(APIOverride.self, from: body), by: caller)
        }
    }
}
