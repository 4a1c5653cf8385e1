internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// What is measured once a second without being asked: counters over HTTP, dependencies, streams; the host every 5 s.
///
/// One round at a time: a peer that hangs makes readings older, and their age shows, but never piles up questions.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class Prober: @unchecked Sendable {
    /// Per question; a round of many dead peers takes so much longer and its readings so much older.
    private static let timeout: Duration = .seconds(1)
    private static let factsEvery: Duration = .seconds(5)

    private(set) var dependencies: [WireDependencyReport] = []
    private(set) var streams: [WireStreamReading] = []
    private(set) var facts: WireHostFacts?
    private(set) var unreadable: [String] = []
    private unowned let agent: Agent
    private var busy = false
    private var readingFacts = false
    private var factsAt: BootTime?

    init(agent: Agent) { self.agent = agent }

    func tick() {
        readFacts()
        readAffinities()
        guard !busy else { return }
        var counters: [(service: String, name: String, probe: HTTPProbeSpec)] = []
        for shell in agent.shells where shell.machine.pid != nil {
            for counter in shell.declaration.counters {
                if case .http(let probe) = counter.how { counters.append((shell.service, counter.name, probe)) }
            }
        }
        let dependencies = agent.part.dependencies
        let streams = agent.expandedStreams.map { probe in
            var probe = probe
            // Counting a sink is not for every second: read_streams does it.
            probe.sqlitePath = ""
            probe.questdbURL = ""
            return probe
        }
        guard !counters.isEmpty || !dependencies.isEmpty || !streams.isEmpty else {
            (self.dependencies, self.streams) = ([], [])
            return
        }
        busy = agent.probing.submit { [self, counters] in
            let figures = counters.map { GateReading.read($0.probe, timeout: Self.timeout).figure }
            let reports = dependencies.map { DependencyProbe.check($0, timeout: Self.timeout) }
            let readings = streams.filter { !$0.redisAddress.isEmpty }.map { StreamReader.read($0, timeout: Self.timeout) }
            agent.loop.execute {
                self.busy = false
                for (counter, figure) in zip(counters, figures) { self.agent.shell(counter.service)?.httpFigures[counter.name] = figure }
                self.dependencies = reports
                self.streams = readings
                self.agent.changed()
            }
        }
    }

    private func readFacts() {
        let now = Clock.boottime()
        guard !readingFacts, factsAt.map({ now - $0 >= Self.factsEvery }) ?? true else { return }
        let notAfter = agent.trust?.ownNotAfterUnix ?? 0
        readingFacts = agent.files.submit { [self] in
            let facts = HostFacts.read(disk: agent.paths.state)
            let left = notAfter == 0 ? 0 : (notAfter - Int64(Clock.unixMicroseconds() / 1_000_000)) / 86_400
            agent.loop.execute {
                self.readingFacts = false
                self.factsAt = Clock.boottime()
                self.facts = ReportBuilder.facts(facts, certificateDaysLeft: left)
                self.unreadable = facts.unreadable.map { "\($0)" }
            }
        }
    }

    private func readAffinities() {
        let now = Clock.boottime()
        for shell in agent.shells {
            guard let pid = shell.machine.pid, now - shell.affinityAt >= Self.factsEvery else { continue }
            shell.readAffinity(pid)
        }
    }
}
