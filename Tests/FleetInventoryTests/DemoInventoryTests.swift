import FleetCore
import FleetInventory
import Testing

@Suite("The demo's inventory")
struct DemoInventoryTests {
    private func demo() throws -> Inventory {
        let path = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        return try InventoryLoader.load(path + "/inventory/demo/fleet.yaml", digest: { "\($0.count) bytes" })
    }

    @Test("it is in order, and its digest is of the file's bytes")
    func loads() throws {
        let inventory = try demo()
        #expect(inventory.fleet == "demo")
        #expect(inventory.digest.hasSuffix(" bytes"))
        #expect(inventory.coordinators.map(\.role) == [.full, .emergency])
        #expect(inventory.tiers.map(\.name) == ["market-data", "strategies", "execution"])
        #expect(inventory.workers.map(\.description) == ["exchange-to-redis@md-1", "redis-to-questdb@md-2", "strategy@st-1", "order-gateway@ex-1"])
        #expect(inventory.hosts.allSatisfy { $0.address == "127.0.0.1" })
    }

    @Test("its services say what the design wants of them")
    func services() throws {
        let inventory = try demo()
        let gateway = try #require(inventory.service("order-gateway"))
        #expect(gateway.stop == StopSpec(signal: "TERM", grace: .seconds(10), extendTo: .seconds(30), then: .hold))
        #expect(gateway.restart.policy == .never)
        #expect(gateway.restart.delay == .seconds(5))
        #expect(gateway.quiesce?.how == .http(method: "POST", url: "http://127.0.0.1:18081/quiesce"))
        #expect(gateway.quiesce?.done == .http(HTTPProbeSpec(url: "http://127.0.0.1:18081/state", pointer: "/quiesced", equals: "true")))
        #expect(gateway.gates.map(\.probe.equals) == ["0"])
        #expect(inventory.emergencyKills(gateway))
        let strategy = try #require(inventory.service("strategy"))
        #expect(strategy.quiesce == ActionSpec(how: .signal("USR1"), done: .notify("X_QUIESCED=1"), within: .seconds(15)))
        #expect(strategy.stop.then == .kill)
        let recorder = try #require(inventory.service("redis-to-questdb"))
        #expect(recorder.run.last == "$state/ticks.db")
        #expect(recorder.substituted(for: "md-2").run.last == "$state/ticks.db")
        #expect(!inventory.emergencyKills(recorder))
    }

    @Test("its streams carry what the ledger needs")
    func streams() throws {
        let inventory = try demo()
        let ticks = try #require(inventory.streams.first { $0.name == "ticks" })
        #expect(ticks.via == .redis(host: "md-1", address: "127.0.0.1:16379", key: "ticks"))
        #expect(ticks.produced == "produced")
        #expect(
            ticks.to == [
                ConsumerSpec(
                    service: "redis-to-questdb", policy: .buffer, group: "recorder",
                    applied: .sqlite(path: "$state/ticks.db", table: "ticks", column: "id")),
                ConsumerSpec(service: "strategy", policy: .discard, group: "strategy"),
            ])
        let orders = try #require(inventory.streams.first { $0.name == "orders" })
        #expect(orders.via == .direct)
        #expect(orders.to == [ConsumerSpec(service: "order-gateway", policy: .drain, applied: .counter("accepted"))])
    }

    @Test("one worker is shown fully expanded, and the text is YAML that its own rules could read")
    func shows() throws {
        let inventory = try demo()
        let text = try InventoryExpansion.show(inventory, WorkerName("order-gateway", on: "ex-1"))
        for line in [
            "order-gateway@ex-1:", "  tier: execution", #"  run: [trading-demo, order-gateway, "--listen", "127.0.0.1:18081"]"#,
            "  stop:", "    then: hold", "    tree: signal",
            "  restart: {policy: never, delay: 5s, delay_max: 1min, stable_after: 5min, limit: \"3 starts within 1min\"}",
            "  emergency_stop: killed", "    orders:", "      applied: counters.accepted",
        ] {
            #expect(text.contains(line + "\n"), "\(text)")
        }
        #expect(text.split(separator: "\n").first == "# order-gateway@ex-1 of fleet demo, inventory \(inventory.digest.prefix(12))")
    }

    @Test("a worker that is not there gets the nearest one named")
    func unknownWorker() throws {
        let inventory = try demo()
        #expect(throws: InventoryExpansion.UnknownWorker.self) {
            try InventoryExpansion.show(inventory, WorkerName("order-gatway", on: "ex-1"))
        }
        do {
            _ = try InventoryExpansion.show(inventory, WorkerName("order-gatway", on: "ex-1"))
        } catch {
            #expect("\(error)".contains("write order-gateway@ex-1"))
        }
    }
}
