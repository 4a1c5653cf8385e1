import FleetInventory
import Testing

@Suite("Twelve faults")
struct TwelveFaultsTests {
    static let text = """
        fleet: ld4
        coordinators:
          ctl-1: {address: "ctl-1.example:7443"}
        tiers: {market-data: {}, strategies: {}, execution: {}}
        dependencies:
          redis: {host: md-1, probe: {redis: "127.0.0.1:6379"}}
        hosts:
          md-1: {housekeeping: 0-1, shared: 2-3}
          ex-1: {}
        services:
          feed:
            tier: market-data
            run: [/opt/feed, --at, $hots]
            hosts: [md-1, md-7]
            cpus: {exclusive: 3-5}
            counters: {notify: {produced: X_PRODUCED}}
          recorder:
            tier: market-data
            run: /opt/recorder
            hosts: [md-1]
            hosts: [md-1]
          strategy:
            tier: strategy
            run: [/opt/strategy]
            hosts: [md-1]
            stop: {grace: 10}
            quiesce: {signal: SIGUSR1, within: 15s}
          gateway:
            tier: execution
            run: [/opt/gateway]
            hosts: [ex-1]
            reday: {notify: 60s}
            gates:
              before_stop:
                open: {http: "http://10.0.0.7:8081/orders", pointer: /open, is: 0}
        streams:
          fills:
            from: [gateway]
            via: {redis: md-1/fills}
            to:
              recorder: {group: recorder, on_stop: drain}
        """

    @Test("one file with twelve different faults gets twelve located errors, in order")
    func twelve() throws {
        let found = faults(of: Self.text)
        let expected: [(at: String, says: String)] = [
            ("\"ctl-1.example", "write the address itself"),
            ("$hots", "write $host"),
            ("md-7", "write md-1"),
            ("3-5", "its shared pool"),
            ("/opt/recorder", "where a list is expected"),
            ("hosts: [md-1]\n  strategy", "hosts stands twice"),
            ("strategy\n    run", "write strategies"),
            ("10}", "write 10s"),
            ("SIGUSR1", "write USR1"),
            ("reday", "write ready"),
            ("\"http://10.0.0.7", "not loopback"),
            ("drain}", "write buffer"),
        ]
        #expect(found.count == 12, "\(found.map(\.description).joined(separator: "\n"))")
        for (fault, wanted) in zip(found, expected) {
            #expect(fault.position == position(of: wanted.at, in: Self.text), "\(fault)")
            #expect(fault.description.contains(wanted.says), "\(fault)")
            #expect(fault.description.hasPrefix("fleet.yaml:\(fault.position.line):\(fault.position.column): "))
        }
        #expect(found == found.sorted())
    }
}
