import FleetCore
import FleetInventory
import Testing

@Suite("The example's inventory")
struct ExampleInventoryTests {
    private func example() throws -> Inventory {
        let path = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        return try InventoryLoader.load(path + "/inventory/example/fleet.yaml", digest: { _ in "" })
    }

    @Test("it is in order, and every part of the model is used in it")
    func loads() throws {
        let inventory = try example()
        #expect(inventory.workers.count == 7 && inventory.hosts.count == 4 && inventory.alerts.map(\.name) == ["prod-eng", "desk"])
        let services = inventory.services
        #expect(Set(services.map(\.release.sockets)) == [.kernel, .onload, .none])
        #expect(services.contains { !$0.release.hugepageKeeps.isEmpty } && services.contains { $0.release.markerFile != nil })
        #expect(services.contains { $0.release.pidFile != nil } && services.contains { !$0.release.lockFiles.isEmpty })
        #expect(services.contains { $0.watchdog != nil } && services.contains { $0.health.count == 1 && $0.watchdog != nil })
        #expect(services.contains { $0.execution.digest != nil } && services.contains { $0.execution.memory == .bind([0]) })
        #expect(services.allSatisfy { $0.execution.limits["memlock"] == .max && $0.standardOutput.keep == .seconds(14 * 86_400) })
        #expect(inventory.service("feed-xetr")?.cpus.threads.keys.sorted() == ["*", "lcore-worker-6", "lcore-worker-7"])
        #expect(inventory.service("order-gateway")?.holdPage == "prod-eng")
        #expect(inventory.service("drop-copy")?.substituted(for: "ex-2").execution.scheduler == .batch)
        #expect(inventory.host("ex-2")?.expect.onloadVersion == "9.0.1.86")
    }

    @Test("each of its workers is shown with all it inherits")
    func shows() throws {
        let inventory = try example()
        let feed = try InventoryExpansion.show(inventory, WorkerName("feed-xetr", on: "md-1"))
        for line in [
            "  cpus: {exclusive: 6-7, helpers: 2-3, node: 0}", "  threads:\n    \"*\": 2-3\n    lcore-worker-6: 6\n    lcore-worker-7: 7",
            "  scheduler: {fifo: 50}", "  oom_score_adj: -500", "  umask: 0027", "  limits: {core: 4GiB, memlock: unlimited, nofile: 65536, rtprio: 60}",
            "  capabilities: [net_raw, ipc_lock, sys_nice]", "  memory: {bind: 0}", "  cgroup: kill-only", "  free:\n    /var/lib/trd: 10GiB",
            "  watchdog: 5s", "  hugepages:\n    node0: {1GiB: 4}\n    mount: /dev/hugepages-1G\n    keeps: [\"rtemap_*\"]", "  sockets: none",
            "  marker: {notify: STOPPING=1}", "  core: {on_stop: wait}", "    stdout: {keep: 14d, max: 2GiB}",
        ] {
            #expect(feed.contains(line + "\n"), "\(line) in \(feed)")
        }
        let strategy = try InventoryExpansion.show(inventory, WorkerName("strat-mm", on: "st-1"))
        #expect(strategy.contains("    http: {url: \"http://127.0.0.1:9201/state\", pointer: /mode, is: \"\\\"trading\\\"\"}\n"), "\(strategy)")
        let dropCopy = try InventoryExpansion.show(inventory, WorkerName("drop-copy", on: "ex-2"))
        #expect(dropCopy.contains("    exec: [/opt/trd/gateway/7.3.0/bin/dropcopyctl, pause]\n") && dropCopy.contains("  scheduler: batch\n"), "\(dropCopy)")
        for worker in inventory.workers { #expect(throws: Never.self) { try InventoryExpansion.show(inventory, worker) } }
    }
}
