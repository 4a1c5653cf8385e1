internal import FleetCore
internal import FleetProbes
internal import FleetWire
internal import LinuxHost
internal import NIOCore

/// What is measured once a second without being asked: counters over HTTP, gates, dependencies, streams; the host and what its workers
/// have open at the rate of `facts-every`.
///
/// Peers that answer at once are asked in one go; one that hangs is asked apart from them until it answers again. What is
/// still being asked is not asked again: readings grow older, and their age shows, but questions never pile up.
///
/// `@unchecked Sendable`: everything mutable is touched on the agent's loop only.
final class Prober: @unchecked Sendable {
    /// Per question.
    private static let timeout: Duration = .seconds(1)
    /// A peer on this host or beside it answers in less; one that takes longer is asked apart.
    private static let promptly: Duration = .milliseconds(100)

    private(set) var facts: WireHostFacts?
    /// By service; of whoever ran then.
    private(set) var workers: [String: WorkerFacts] = [:]
    /// Bytes free where the state lies; nil: not read, or it can't be told.
    private(set) var diskFree: UInt64?
    private(set) var unreadable: [String] = []
    private unowned let agent: Agent
    private var dependencyReports: [String: WireDependencyReport] = [:]
    private var streamReadings: [StreamKey: WireStreamReading] = [:]
    private var asking: Set<String> = []
    private var slow: Set<String> = []
    private var readingFacts = false
    private var factsAt: BootTime?

    private struct StreamKey: Hashable {
        let stream: String
        let consumer: String
    }

    private enum Question: Sendable {
        case counter(service: String, name: String, HTTPProbeSpec)
        case gate(service: String, WorkerDeclaration.Gate)
        case dependency(WireDependencySpec)
        case stream(WireStreamProbe)

        /// Whom it is put to; two spellings of one address count as two peers.
        var peer: String {
            switch self {
            case .counter(_, _, let probe): Self.server(of: probe)
            case .gate(_, let gate): Self.server(of: gate.probe)
            case .dependency(let spec):
                switch spec.probe {
                case .redis(let address)?: address
                case .questdb(let url)?: url
                case .tcp(let address)?: address
                case nil: spec.name
                }
            case .stream(let probe): probe.redisAddress
            }
        }

        /// http://HOST:PORT
        private static func server(of probe: HTTPProbeSpec) -> String {
            probe.url.split(separator: "/", omittingEmptySubsequences: false).prefix(3).joined(separator: "/")
        }

        func ask() -> Answer {
            switch self {
            case .counter(let service, let name, let probe):
                .counter(service: service, name: name, GateReading.read(probe, timeout: Prober.timeout).figure)
            case .gate(let service, let gate): .gate(service: service, GateReading.report(gate, timeout: Prober.timeout))
            case .dependency(let spec): .dependency(DependencyProbe.check(spec, timeout: Prober.timeout))
            case .stream(let probe): .stream(StreamReader.read(probe, timeout: Prober.timeout))
            }
        }
    }

    private enum Answer: Sendable {
        case counter(service: String, name: String, WireFigure)
        case gate(service: String, WireGateReport)
        case dependency(WireDependencyReport)
        case stream(WireStreamReading)
    }

    init(agent: Agent) { self.agent = agent }

    /// Something was asked and may be answered any moment.
    var isAsking: Bool { !asking.isEmpty }

    /// As last measured, in the order of the part; what was never measured is missing.
    var dependencies: [WireDependencyReport] { agent.part.dependencies.compactMap { dependencyReports[$0.name] } }

    /// As last measured, in the order of the part; what was never measured is missing.
    var streams: [WireStreamReading] {
        agent.part.streams.compactMap { streamReadings[StreamKey(stream: $0.stream, consumer: $0.consumer)] }
    }

    func tick() {
        readFacts()
        let questions = Dictionary(grouping: questions(), by: \.peer).filter { !asking.contains($0.key) }
        let prompt = questions.filter { !slow.contains($0.key) }
        if !prompt.isEmpty { ask(prompt, lane: "prompt") }
        for (peer, list) in questions where slow.contains(peer) { ask([peer: list], lane: "slow \(peer)") }
    }

    private func questions() -> [Question] {
        var questions: [Question] = []
        for shell in agent.shells where shell.machine.pid != nil {
            for counter in shell.declaration.counters {
                if case .http(let probe) = counter.how { questions.append(.counter(service: shell.service, name: counter.name, probe)) }
            }
            // One that can't be read is known while everything runs, not when a stop waits for it.
            for gate in shell.declaration.gates { questions.append(.gate(service: shell.service, gate)) }
        }
        questions += agent.part.dependencies.map { .dependency($0) }
        for var probe in agent.expandedStreams where !probe.redisAddress.isEmpty {
            // Counting a sink is not for every second: read_streams does it.
            probe.sqlitePath = ""
            probe.questdbURL = ""
            questions.append(.stream(probe))
        }
        return questions
    }

    private func ask(_ questions: [String: [Question]], lane: String) {
        let accepted = agent.probing.submit(lane: lane) { [self] in
            var answers: [Answer] = []
            var late: Set<String> = []
            for (peer, list) in questions {
                let began = Clock.boottime()
                answers += list.map { $0.ask() }
                if Clock.boottime() - began > Self.promptly { late.insert(peer) }
            }
            let (taken, slowNow) = (answers, late)
            agent.loop.execute {
                self.asking.subtract(questions.keys)
                self.slow.subtract(questions.keys)
                self.slow.formUnion(slowNow)
                self.take(taken)
            }
        }
        if accepted { asking.formUnion(questions.keys) }
    }

    private func take(_ answers: [Answer]) {
        for answer in answers {
            switch answer {
            case .counter(let service, let name, let figure): agent.shell(service)?.httpFigures[name] = figure
            case .gate(let service, let report): agent.shell(service)?.keep(report)
            case .dependency(let report): dependencyReports[report.name] = report
            case .stream(let reading): streamReadings[StreamKey(stream: reading.stream, consumer: reading.consumer)] = reading
            }
        }
        forgetUndeclared()
        agent.changed(in: Agent.reportEvery)
    }

    /// A new part may have taken peers away: what is kept stays bounded by the part.
    private func forgetUndeclared() {
        let names = Set(agent.part.dependencies.map(\.name))
        let keys = Set(agent.part.streams.map { StreamKey(stream: $0.stream, consumer: $0.consumer) })
        dependencyReports = dependencyReports.filter { names.contains($0.key) }
        streamReadings = streamReadings.filter { keys.contains($0.key) }
        slow.formIntersection(questions().map(\.peer))
    }

    private func readFacts() {
        let now = Clock.boottime()
        guard !readingFacts, factsAt.map({ now - $0 >= agent.settings.factsEvery }) ?? true else { return }
        let dates = agent.trust.map { (certificate: $0.ownNotAfterUnix, list: $0.listDueUnix) }
        let peers = agent.sessions.map { (identity: $0.origin, notAfterUnix: $0.notAfterUnix) }
        let workers = agent.shells.compactMap { shell in shell.machine.pid.map { (service: shell.service, pid: $0, directory: shell.link?.directory.path) } }
        let socket = agent.paths.localSocket
        let wanted = agent.part.diskFreeMin
        readingFacts = agent.housework.submit(lane: "facts") { [self] in
            let facts = HostFacts.read(disk: agent.paths.state)
            let found = WorkerFacts.read(workers)
            let short = Self.shortOfSpace(wanted) + Self.unreachable(socket)
            let today = Int64(Clock.unixMicroseconds() / 1_000_000)
            let validity = dates.map {
                (certificate: Expiry(untilUnix: $0.certificate, nowUnix: today), list: $0.list.map { Expiry(untilUnix: $0, nowUnix: today) })
            }
            let peersLeft = peers.map { (identity: $0.identity, left: Expiry(untilUnix: $0.notAfterUnix, nowUnix: today)) }
            agent.loop.execute { [self] in
                readingFacts = false
                factsAt = Clock.boottime()
                self.facts = ReportBuilder.facts(facts, validity: validity, peers: peersLeft, at: factsAt ?? now)
                self.workers = found
                for shell in agent.shells {
                    guard let its = found[shell.service], its.pid == shell.machine.pid else { continue }
                    shell.affinity = its.cpus
                }
                diskFree = facts.diskFree
                unreadable = facts.unreadable.map { "\($0)" } + short
            }
        }
    }

    private static func unreachable(_ socket: String) -> [String] {
        do {
            guard try FileStatus.read(socket) == nil else { return [] }
            return ["RUN DIRECTORY REMOVED: \(socket) is gone, and trading --local can't reach this agent. Restart the agent: no worker is affected"]
        } catch { return ["\(error)"] }
    }

    /// Directories whose filesystem has less room than is declared, one sentence each.
    private static func shortOfSpace(_ wanted: [String: UInt64]) -> [String] {
        wanted.sorted { $0.key < $1.key }.compactMap { directory, bytes in
            do {
                let free = try Files.freeBytes(directory)
                guard free < bytes else { return nil }
                return "\(directory) has \(free >> 20) MiB free, at least \(bytes >> 20) MiB are declared (disk_free_min). Make room there"
            } catch { return "\(error)" }
        }
    }
}
