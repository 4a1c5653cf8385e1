import Foundation
import TestSupport
import Testing
import WireImpostors

extension TestFleet {
    /// Everybody's keys: an attack holds one of them.
    var keys: StolenKeys { StolenKeys(directory + "/pki") }

    /// A session with this fleet's coordinator by an agent's key.
    func liar(as host: String) throws -> Liar { try Liar(keys, as: host, port: ports.coordinator) }

    /// Two hosts, one worker each that does what it is told and never ends by TERM alone within a minute.
    static func ofTwo(hold: Bool = false) throws -> TestFleet {
        try TestFleet(hosts: ["ex-1", "st-1"], tiers: ["strategies", "execution"]) { directory in
            """
              strategy: {tier: strategies, run: [\(Self.bin)/torture-worker, obey, \(directory)/strategy.fifo], hosts: [st-1]}
              order-gateway:
                tier: execution
                run: [\(Self.bin)/torture-worker, \(hold ? "ignore-term" : "obey"), \(directory)/gateway.fifo]
                hosts: [ex-1]
                stop: {signal: TERM, grace: 300ms, extend_to: 300ms, then: \(hold ? "hold" : "kill")}
            """
        }
    }

    /// Those two with their coordinator and no relay, their workers running.
    static func startedOfTwo(hold: Bool = false) throws -> TestFleet {
        let fleet = try ofTwo(hold: hold)
        do { try fleet.beginWithoutRelay() } catch {
            fleet.end()
            throw error
        }
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        return fleet
    }

    var latches: [[String: Any]] { get throws { try status()["latches"] as? [[String: Any]] ?? [] } }
}
