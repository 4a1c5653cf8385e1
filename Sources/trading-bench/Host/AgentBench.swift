import ArgumentParser
import FleetCore
import Foundation
import LinuxHost

/// What an agent costs at rest and how fast it kills, stops and restarts, beside the kernel's floor and other supervisors
/// in the same run.
struct AgentBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent",
        abstract: "Measures the agent at rest and at work, with the kernel's floor, supervisord and runit in the same run.",
        discussion: """
            Programs are taken from $TRADING_BIN, else from beside this one; measure a release build.
            supervisord and runit are measured where Debian's packages supervisor and runit are installed.
            Times are from the request's arrival on the supervisor's own socket to the last worker gone; no client's start is in them.
            """)

    @Option(help: "How often kill, stop and start are measured; medians are printed.")
    var rounds = 5

    @Option(help: "How long the agent is watched at rest.")
    var seconds = 30

    @Option(help: "How many workers are killed one by one to see them restarted.")
    var restarts = 50

    @Option(help: "How many workers are killed and stopped at once.")
    var workers = 100

    @Flag(help: "Leave supervisord and runit out.")
    var noPeers = false

    mutating func validate() throws {
        guard (1...100).contains(rounds), (2...3_600).contains(seconds), (1...1_000).contains(restarts), (1...500).contains(workers) else {
            throw ValidationError("rounds 1 to 100, seconds 2 to 3600, restarts 1 to 1000, workers 1 to 500")
        }
    }

    mutating func run() async throws {
        var figures = AgentFigures()
        note("at rest, 10 workers, \(seconds) s")
        try measureAtRest(&figures)
        note("at work, \(workers) workers, \(rounds) rounds")
        try measureAtWork(&figures)
        if !noPeers {
            for peer in [SupervisordPeer.self, RunitPeer.self] as [any BenchPeer.Type] {
                guard peer.isInstalled else {
                    note("\(peer.name) is not installed (deploy/packages \(peer.package)): left out")
                    continue
                }
                note(peer.name)
                figures.peers.append(try PeerBench(rounds: rounds, workers: workers).measure(peer))
            }
        }
        figures.print(workers: workers, rounds: rounds)
    }

    private func note(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }

    // MARK: Ten quiet workers

    private func measureAtRest(_ figures: inout AgentFigures) throws {
        let host = try BenchHost(name: "rest", workers: 10, port: 17_453)
        defer { host.end() }
        try host.begin()
        try host.startWorkers()
        // What starting took is paged in and done with; then nothing happens but ticks and reports.
        poll(nil, 0, 3_000)
        let agent = ProcessFigures(pid: host.agentPID)
        let began = Clock.boottime()
        let (switches, cpu) = (agent.switches, agent.cpuNanoseconds)
        poll(nil, 0, Int32(seconds) * 1_000)
        let took = Clock.boottime() - began
        let (switchesAfter, cpuAfter) = (agent.switches, agent.cpuNanoseconds)
        guard try host.isReporting() else { throw BenchHost.Failure(description: "the coordinator's link was not up. Logs: \(host.directory)/log") }
        figures.idleSwitchesPerSecond = (switchesAfter - switches) / (took.milliseconds / 1_000)
        figures.reportCPUPercent = (cpuAfter - cpu) / Double(took.nanoseconds) * 100
        figures.idleResidentBytes = agent.residentBytes
        figures.idleAnonymousBytes = agent.anonymousBytes
        note("restarts after kill -9")
        figures.restarts = try (0..<restarts).map { try restartMilliseconds(host, number: $0) }
        figures.syncsPerRestart = try SyncCount(host).perRestart { try restartMilliseconds(host, number: $0) }
        figures.fdatasync = try SyncCount.fdatasyncMilliseconds(in: host.stateDirectory)
    }

    /// From the SIGKILL to the new process's main().
    private func restartMilliseconds(_ host: BenchHost, number: Int) throws -> Double {
        let service = "w-\(number % host.workers + 1)"
        guard let launch = try host.launches().first(where: { $0.service == service }) else {
            throw BenchHost.Failure(description: "\(service) does not run. Logs: \(host.directory)/log")
        }
        let known = try host.started.lines().count
        let handle = try PIDFD(opening: launch.worker)
        let killed = Clock.boottime()
        try handle.signal(9)
        let line = try host.started.more(than: known, count: 1, within: .seconds(10))[0]
        // Reported running, so that the next kill meets a settled worker.
        poll(nil, 0, 100)
        return (line.at - killed).milliseconds
    }

    // MARK: A hundred

    private func measureAtWork(_ figures: inout AgentFigures) throws {
        let host = try BenchHost(name: "work", workers: workers, port: 17_455)
        defer { host.end() }
        try host.begin()
        for round in 0..<rounds {
            let known = try host.started.lines().count
            try startAll(host, round)
            _ = try host.started.more(than: known, count: workers, within: .seconds(30))
            let launches = try host.allLaunches()
            if round == 0 {
                poll(nil, 0, 2_000)
                figures.shimPrivateBytes = launches.map { ProcessFigures(pid: $0.shim.pid).privateBytes }
                figures.shimProportionalBytes = launches.map { ProcessFigures(pid: $0.shim.pid).proportionalBytes }
                figures.busyResidentBytes = ProcessFigures(pid: host.agentPID).residentBytes
            }
            figures.kills.append(try killMilliseconds(host, launches))
            figures.killFloors += try floor(host, "kill")
            try host.release()
            try host.startLocally()
            figures.stops.append(try stopMilliseconds(host, try host.allLaunches()))
            figures.stopFloors += try floor(host, "stop")
        }
    }

    private func startAll(_ host: BenchHost, _ round: Int) throws {
        if round == 0 { try host.startWorkers() } else { try host.startLocally() }
    }

    private func killMilliseconds(_ host: BenchHost, _ launches: [BenchHost.Launch]) throws -> Double {
        let handles = try Gone.handles(launches.map(\.worker))
        let began = Clock.boottime()
        let request = try host.order("/api/v1/emergency-stop", #"{"scope":{"everything":true},"reason":"bench","latch":"bench-\#(began.nanoseconds)"}"#)
        let took = try Gone.last(of: handles, since: began)
        _ = request.answer()
        return took
    }

    private func stopMilliseconds(_ host: BenchHost, _ launches: [BenchHost.Launch]) throws -> Double {
        let handles = try Gone.handles(launches.map(\.worker))
        let began = Clock.boottime()
        let request = try host.order("/api/v1/stop", #"{"scope":{"all":true},"reason":"bench"}"#)
        let took = try Gone.last(of: handles, since: began)
        _ = request.answer()
        try host.waitUntilIdle()
        return took
    }

    private func floor(_ host: BenchHost, _ what: String) throws -> [Double] {
        try PeerBench.floor(host.floor, what, workers: workers, rounds: 1)
    }
}

extension BenchHost {
    /// With no coordinator in between; waits until all are ready.
    func startLocally() throws {
        let answer = try trading("--local", "start", "--reason", "bench")
        guard answer.status == 0 else { throw Failure(description: "the workers do not start: \(answer.text)\nlogs: \(directory)/log") }
    }

    /// Until the agent has no run of its own going on, at most ten seconds.
    func waitUntilIdle() throws {
        let end = Clock.boottime() + .seconds(10)
        while Clock.boottime() < end {
            if try trading("--local", "runs").text.contains("active") == false { return }
            poll(nil, 0, 50)
        }
        throw Failure(description: "a local run does not end. Logs: \(directory)/log")
    }
}
