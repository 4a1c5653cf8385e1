import FleetCore
import FleetWire
import LinuxHost
import NIOCore
import TestSupport
import Testing

@testable import FleetAgent

/// The layout of a machine with 64 isolated cores, as its files say it, seen and changed by a real agent with a real worker.
@Suite(.serialized) struct LayoutServiceTests {
    private let machine: MachineTree
    private let fixture: AgentFixture

    init() throws {
        machine = try MachineTree("isolated")
        fixture = try AgentFixture()
    }

    /// `feed` has CPU 4, which IRQ 143 may interrupt; half of node 1's pages are wanted.
    private func start(_ change: (inout WireHostPart) -> Void = { _ in }, driftEvery: Duration? = nil) throws -> Agent {
        try fixture.savePart { worker in
            worker.exclusiveCpus = "4"
            worker.cgroup = "none"
        }
        var part = try #require(try PartStore.load(fixture.state + "/part.pb"))
        // Both of the CPUs that run this test: to be confined to them changes nothing.
        part.housekeepingCpus = "0-1"
        var pages = WireHugepageCount()
        pages.node = 1
        pages.pageBytes = 2 << 20
        pages.count = 4_096
        part.hugepages = [pages]
        change(&part)
        part.digest = try PartStore.digest(of: part)
        try PartStore.save(part, to: fixture.state + "/part.pb")
        let root = machine.root
        return try fixture.start { settings in
            settings.layoutRoot = root
            settings.factsEvery = .milliseconds(100)
            settings.driftEvery = driftEvery
        }
    }

    private func ask(_ agent: Agent, _ what: WireLayoutRequest.What, overriding: [String] = []) throws -> WireCommandResult {
        let promise = agent.loop.makePromise(of: WireCommandResult.self)
        agent.loop.execute {
            var request = WireLayoutRequest()
            request.what = what
            request.overrideWorkers = overriding
            agent.layout.handle(request, by: "test", reason: "night work", run: nil, operation: "op-1") { promise.succeed($0) }
        }
        return try promise.futureResult.wait()
    }

    @Test("show says what the machine is, plan what would change, verify what is not as declared")
    func questions() throws {
        let agent = try start { $0.expect.irqbalance = "disabled" }
        defer { fixture.end() }
        let show = try ask(agent, .show)
        #expect(show.outcome == .done && show.layout.topology.cores == 64 && show.layout.topology.housekeeping == "0-1")
        #expect(show.layout.topology.isolated == "4-31,36-63" && show.layout.topology.nodes.count == 2 && show.layout.topology.irqs.count == 41)
        #expect(show.layout.placements.map(\.service) == ["feed"] && show.layout.placements[0].exclusive == "4" && show.layout.placements[0].pid == 0)
        #expect(show.layout.changes.isEmpty)
        let plan = try ask(agent, .plan).layout
        let pages = try #require(plan.changes.first { $0.subject == "node 1 2 MiB pages" })
        #expect(pages.from == "2,048" && pages.to == "4,096" && !pages.done && pages.result.isEmpty && pages.refused.isEmpty)
        #expect(plan.changes.contains { $0.subject.hasPrefix("IRQ 143") && $0.workers.isEmpty })
        #expect(plan.drift.isEmpty)
        let verify = try ask(agent, .verify).layout
        #expect(verify.topology == WireLayoutTopology() && verify.drift.contains { $0.slug == "hugepages" && $0.sinceUnixUs > 0 })
        #expect(try machine.text("/proc/irq/143/smp_affinity_list") == "0-1,4\n", "nothing was changed")
    }

    @Test("apply changes what touches nobody, leaves what touches a live worker until it is named, and records each")
    func applies() throws {
        let agent = try start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        let first = try ask(agent, .apply)
        #expect(first.outcome == .failedTo && first.slug == "layout" && first.text.contains("left alone"))
        let line = try #require(first.layout.changes.first { $0.subject.hasPrefix("IRQ 143") })
        #expect(line.workers == ["feed"] && line.refused.contains("feed runs there") && line.refused.contains("--override feed") && !line.done)
        let pages = try #require(first.layout.changes.first { $0.subject == "node 1 2 MiB pages" })
        #expect(pages.done && pages.result == "4096")
        #expect(try machine.text("/proc/irq/143/smp_affinity_list") == "0-1,4\n")
        #expect(try machine.text("/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages") == "4096\n")
        #expect(first.records.map(\.event).contains("LAYOUT_CHANGED") && first.records.map(\.event).contains("LAYOUT_REFUSED"))
        let second = try ask(agent, .apply, overriding: ["feed"])
        #expect(second.outcome == .done && second.layout.changes.allSatisfy { $0.done }, "\(second.text)")
        #expect(try machine.text("/proc/irq/143/smp_affinity_list") != "0-1,4\n")
        let journal = try fixture.journalText()
        #expect(journal.contains("LAYOUT_CHANGED") && journal.contains("\"overridden\":\"feed\"") && journal.contains("night work"))
        let third = try ask(agent, .apply)
        #expect(third.outcome == .done && third.layout.changes.isEmpty && third.text.contains("nothing was changed"))
        let wrong = try ask(agent, .apply, overriding: ["nobody"])
        #expect(wrong.outcome == .refused && wrong.slug == "unknown-service")
    }

    @Test("a worker that is stopped is touched without being named")
    func stopped() throws {
        let agent = try start()
        defer { fixture.end() }
        let result = try ask(agent, .apply)
        #expect(result.outcome == .done && result.layout.changes.contains { $0.subject.hasPrefix("IRQ 143") && $0.done })
    }

    @Test("of two applies at once one is done and the other told who is at it")
    func busy() throws {
        let agent = try start()
        defer { fixture.end() }
        let promises = [agent.loop.makePromise(of: WireCommandResult.self), agent.loop.makePromise(of: WireCommandResult.self)]
        agent.loop.execute {
            var request = WireLayoutRequest()
            request.what = .apply
            for (index, promise) in promises.enumerated() {
                agent.layout.handle(request, by: "ops-\(index)", reason: "x", run: nil, operation: "op-\(index)") { promise.succeed($0) }
            }
        }
        let results = try promises.map { try $0.futureResult.wait() }
        #expect(results[0].outcome == .done && results[1].outcome == .refused)
        #expect(results[1].slug == "busy" && results[1].text.contains("ops-0"))
    }

    @Test("what drifts is in the report with when it was first seen, recorded when it comes and when it goes")
    func drifts() throws {
        let agent = try start(
            {
                $0.expect.irqbalance = "disabled"; $0.hugepages = []
            }, driftEvery: .milliseconds(50))
        defer { fixture.end() }
        func report() throws -> WireHostReport { try fixture.onLoop { agent.report() } }
        #expect(try eventually { try fixture.onLoop { agent.layout.lookedAt != nil } })
        #expect(try !report().drift.contains { $0.slug == "irqbalance" })
        try machine.put("/proc/4711/comm", "irqbalance")
        #expect(try eventually { try report().drift.contains { $0.slug == "irqbalance" } })
        let since = try report().drift.first { $0.slug == "irqbalance" }?.sinceUnixUs
        #expect(try eventually { try fixture.journalText().contains("LAYOUT_DRIFT") })
        try machine.remove("/proc/4711")
        #expect(try eventually { try !report().drift.contains { $0.slug == "irqbalance" } })
        #expect(try eventually { try fixture.journalText().contains("LAYOUT_RESTORED") } && since ?? 0 > 0)
    }

    @Test("files, connections and CPUs of a worker, its work in flight and the host's command line and clock are in the report")
    func facts() throws {
        let agent = try start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        #expect(
            try eventually {
                try fixture.onLoop {
                    agent.prober.tick()
                    return agent.report().workers.first?.hasOpenFiles ?? false
                }
            })
        let report = try fixture.onLoop { agent.report() }
        let feed = try #require(report.workers.first)
        #expect(feed.openFiles >= 3 && feed.hasConnections && feed.connections == 0 && !feed.cpus.isEmpty && !feed.hasInFlight)
        #expect(!report.facts.kernelCmdline.isEmpty && report.facts.hasTime)
        try fixture.onLoop { agent.shell("feed")?.notified["X_INFLIGHT"] = "1234" }
        #expect(try fixture.onLoop { agent.report().workers.first?.inFlight.value == 1_234 })
    }
}
