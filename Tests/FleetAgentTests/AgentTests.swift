import FleetCore
import FleetJournal
import FleetWire
import Glibc
import LinuxHost
import Synchronization
import Testing

@testable import FleetAgent

@Suite(.serialized) struct AgentTests {
    private static func agentStart(boot: String) -> AuditRecord {
        AuditRecord(AuditEvent.agentStart.rawValue, host: "md-1", fields: [("boot_id", boot)])
    }

    /// Holds the journal's thread until `open`, or for 20 s.
    private final class JournalGate: Sendable {
        private let isOpen = Mutex(false)
        private let isShut = Mutex(false)

        init(_ agent: Agent) {
            agent.journal.journal.append([AuditRecord("TEST_GATE")]) { [self] _ in
                isShut.withLock { $0 = true }
                _ = eventually { isOpen.withLock { $0 } }
            }
            #expect(eventually { isShut.withLock { $0 } })
        }

        func open() { isOpen.withLock { $0 = true } }
    }

    /// The order is given, its record waits, its time runs out, the record is written.
    private func lateOrder(_ fixture: AgentFixture, _ agent: Agent, _ verb: Agent.Ask) throws -> WireCommandResult {
        let gate = JournalGate(agent)
        defer { gate.open() }
        let limit = Clock.boottime() + .milliseconds(200)
        return try fixture.order(verb, notAfter: limit) {
            let isTaken = try eventually { try fixture.onLoop { agent.shell("feed")?.machine.slot != nil } }
            #expect(isTaken)
            #expect(eventually { Clock.boottime() > limit })
            gate.open()
        }
    }

    @Test("a stop whose time ran out while its record was written is not carried out, answered expired and recorded")
    func expiredStop() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        let pid = try #require(try fixture.pid())
        let result = try lateOrder(fixture, agent, .stop(killNow: false))
        #expect(result.outcome == .refused && result.slug == "expired" && result.signalledUnixUs == 0 && result.records.isEmpty, "\(result)")
        #expect(try fixture.phase() == "running" && kill(pid, 0) == 0)
        #expect(try eventually { try fixture.journalText().contains(AgentJournal.orderExpired) })
        // And nothing of it is left over: the next one does all of it.
        let stop = try fixture.order(.stop(killNow: false))
        #expect(stop.outcome == .done && !stop.killed && stop.signalledUnixUs != 0)
    }

    @Test("a kill and a start that ran out do nothing either")
    func expiredKillAndStart() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try lateOrder(fixture, agent, .start).slug == "expired")
        #expect(try fixture.phase() == "stopped")
        #expect(try LaunchDirectory.all(runDirectory: fixture.run, service: "feed").isEmpty)
        #expect(try fixture.order(.start, notAfter: Clock.boottime() + .seconds(60)).outcome == .done)
        let pid = try #require(try fixture.pid())
        #expect(try lateOrder(fixture, agent, .stop(killNow: true)).slug == "expired")
        #expect(try fixture.pid() == pid && kill(pid, 0) == 0)
    }

    @Test("an agent that comes after an expired stop knows that the worker runs and isn't stopping")
    func expiredAndRestarted() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        #expect(try lateOrder(fixture, agent, .stop(killNow: false)).slug == "expired")
        agent.stop()
        _ = try fixture.start()
        #expect(try eventually { try fixture.phase() == "running" })
    }

    @Test("after a reboot what the inventory starts after boot is started")
    func startAfterBoot() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { $0.startAfterBoot = true }
        try fixture.saveJournal(Self.agentStart(boot: "an-earlier-boot"))
        _ = try fixture.start()
        defer { fixture.end() }
        #expect(try eventually { try fixture.phase() == "running" })
        #expect(try fixture.journalText().contains("after_boot: start"))
    }

    @Test("without a reboot it is not, and neither is what doesn't ask for it, nor what a latch forbids")
    func notAfterBoot() throws {
        for (boot, wants, latched) in [(try BootID.read(), true, false), ("an-earlier-boot", false, false), ("an-earlier-boot", true, true)] {
            let fixture = try AgentFixture()
            try fixture.savePart { $0.startAfterBoot = wants }
            try fixture.saveJournal(Self.agentStart(boot: boot))
            if latched {
                let latch = Latch(id: "em-1", by: "alice", reason: "x", unixMicroseconds: 1, scope: LatchScope(everything: true))
                _ = LatchFiles.write(latch, to: [(path: fixture.state + "/latch", sync: false)])
            }
            let agent = try fixture.start()
            defer { fixture.end() }
            // Orders of the start are given before the socket opens: by now there would be a launch.
            #expect(try fixture.onLoop { agent.shell("feed")?.machine.launch == nil }, "boot \(boot), wants \(wants), latched \(latched)")
        }
    }

    @Test("an emergency stop kills the worker, and told again under the same latch says the same")
    func emergencyTwice() throws {
        let fixture = try AgentFixture()
        try fixture.savePart()
        let agent = try fixture.start()
        defer { fixture.end() }
        #expect(try fixture.order(.start).outcome == .done)
        let pid = try #require(try fixture.pid())
        let latch = Latch(id: "em-1", by: "alice", reason: "x", unixMicroseconds: 1, scope: LatchScope())
        let answers = Mutex<[WireEmergencyResult]>([])
        func fire() throws {
            try fixture.onLoop { agent.emergencyStop(latch, from: "ctl-1") { result in if result.final { answers.withLock { $0.append(result) } } } }
        }
        try fire()
        try fire()
        #expect(eventually { answers.withLock { $0.count == 2 } })
        // And long after the launch has been forgotten.
        #expect(try eventually { try fixture.phase() == "stopped" })
        try fire()
        #expect(eventually { answers.withLock { $0.count == 3 } })
        for answer in answers.withLock({ $0 }) {
            #expect(answer.workers.map(\.service) == ["feed"] && answer.workers.first?.gone == true && answer.workers.first?.pid == pid, "\(answer)")
        }
        #expect(try fixture.order(.start).slug == "latched")
    }

    // MARK: Reports

    @Test("a report says what is measured and why the rest is unknown")
    func report() throws {
        let fixture = try AgentFixture()
        try fixture.savePart { spec in
            var said = WireCounter()
            said.name = "produced"
            said.notify = "X_PRODUCED"
            var asked = WireCounter()
            asked.name = "open"
            // A port that nobody listens on.
            asked.http.url = "http://127.0.0.1:1/orders"
            asked.http.pointer = "/open"
            spec.counters = [said, asked]
        }
        let agent = try fixture.start()
        defer { fixture.end() }
        let stopped = try fixture.onLoop { agent.report() }
        #expect(stopped.host == "md-1" && stopped.workers.map(\.service) == ["feed"] && stopped.workers[0].state == .stopped)
        #expect(stopped.workers[0].pid == 0 && stopped.workers[0].cpus.isEmpty)
        // What is durable is told, not what is only written down.
        #expect(try eventually { try fixture.onLoop { agent.report() }.journalHead.sequence > 0 })
        #expect(try fixture.order(.start).outcome == .done)
        let pid = try #require(try fixture.pid())
        let running = try fixture.onLoop { agent.report() }.workers[0]
        #expect(running.state == .running && running.pid == pid && !running.cpus.isEmpty && running.launch.count == 16 && running.generation == 1)
        let produced = try #require(running.counters["produced"])
        #expect(!produced.known && produced.whyUnknown == "feed has not said X_PRODUCED")
        #expect(
            try eventually {
                try fixture.onLoop { agent.report() }.workers[0].counters["open"].map { !$0.known && $0.whyUnknown.contains("127.0.0.1:1") } ?? false
            })
        let first = try fixture.onLoop { agent.report() }.sequence
        #expect(try fixture.onLoop { agent.report() }.sequence == first + 1)
    }

    @Test("every phase has a word and a state, and an exit is told as it was")
    func words() {
        let at = BootTime(nanoseconds: 9)
        let phases: [(WorkerMachine.Phase, String, WireWorkerState)] = [
            (.stopped, "stopped", .stopped), (.launching("a"), "launching", .starting), (.starting("a", pid: 1, by: at), "starting", .starting),
            (.running("a", pid: 1), "running", .running), (.stopping("a", pid: 1, graceEnds: at, limit: at), "stopping", .stopping),
            (.held("a", pid: 1), "held", .held), (.killing("a", pid: 1, lateAt: at), "killing", .stopping), (.backoff(until: at), "backoff", .backoff),
            (.failed("x"), "failed", .failed),
        ]
        for (phase, word, state) in phases { #expect(ReportBuilder.word(phase) == word && ReportBuilder.state(phase) == state) }
        let killed = WireExit(WorkerExit(how: .signalled(9, core: true), killedByLatch: "em-1", notified: ["X_A": "1"], saidStopping: true, at: at))
        #expect(killed.signalled && killed.code == 9 && killed.core && killed.known && killed.killedByLatch == "em-1" && killed.atBoottimeNs == 9)
        #expect(!WireExit(WorkerExit(how: .unknown, at: at)).known)
        #expect(WireExit(WorkerExit(how: .exited(3), at: at)).code == 3)
    }
}
