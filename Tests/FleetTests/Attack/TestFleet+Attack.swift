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
    ///
    /// `hold`: the gateway outlives TERM and is held; `slow`: the strategy outlives it for a minute.
    static func ofTwo(hold: Bool = false, slow: Bool = false) throws -> TestFleet {
        try TestFleet(hosts: ["ex-1", "st-1"], tiers: ["strategies", "execution"]) { directory in
            """
              strategy:
                tier: strategies
                run: [\(Self.bin)/torture-worker, \(slow ? "ignore-term" : "obey"), \(directory)/strategy.fifo]
                hosts: [st-1]
                stop: {signal: TERM, grace: \(slow ? 60 : 5)s, extend_to: 60s, then: kill}
              order-gateway:
                tier: execution
                run: [\(Self.bin)/torture-worker, \(hold ? "ignore-term" : "obey"), \(directory)/gateway.fifo]
                hosts: [ex-1]
                stop: {signal: TERM, grace: 300ms, extend_to: 300ms, then: \(hold ? "hold" : "kill")}
            """
        }
    }

    /// Those two with their coordinator and no relay, their workers running.
    static func startedOfTwo(hold: Bool = false, slow: Bool = false) throws -> TestFleet {
        let fleet = try ofTwo(hold: hold, slow: slow)
        do { try fleet.beginWithoutRelay() } catch {
            fleet.end()
            throw error
        }
        #expect(try fleet.trading("start", "--all", "--reason", "test").status == 0, "\(fleet.logs)")
        return fleet
    }

    var latches: [[String: Any]] { get throws { try status()["latches"] as? [[String: Any]] ?? [] } }
}
