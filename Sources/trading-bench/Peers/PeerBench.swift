import FleetCore
import Foundation
import LinuxHost

/// What is measured of another supervisor.
struct PeerFigures {
    let name: String
    var kills: [Double] = []
    var stops: [Double] = []
    var restarts: [Double] = []
    /// Of its own processes with all workers running, shared pages divided among those who share them.
    var proportionalBytes = 0.0
}

/// Another supervisor, driven through its own socket or pipes as its own client does, without that client's start.
protocol BenchPeer: AnyObject {
    static var name: String { get }
    /// Debian's.
    static var package: String { get }
    static var isInstalled: Bool { get }

    /// Its configuration for `workers` that are not restarted when they end, and one more that is.
    init(directory: String, floor: String, started: String, workers: Int) throws
    /// Runs it; its workers start by themselves.
    func begin() throws
    func startAll() throws
    func killAll() throws
    func stopAll() throws
    /// Its own processes.
    func processes() throws -> [Int32]
    func end()
}

/// Measures one of them as the agent is measured.
struct PeerBench {
    let rounds: Int
    let workers: Int

    /// A peer may wait a second before it restarts; few are enough to see that.
    private static let restarts = 7

    /// Medians of the kernel's floor, in milliseconds.
    static func floor(_ program: String, _ what: String, workers: Int, rounds: Int) throws -> [Double] {
        let run = try Program.run(
            program,
            ["floor", what, "--workers", "\(workers)", "--rounds", "\(rounds)", "--exit-after-term-ms", "\(Int(AgentFigures.ownStopMilliseconds))"])
        let values = run.text.split(separator: "\n").compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }
        guard run.status == 0, values.count == rounds else { throw BenchHost.Failure(description: "floor \(what): \(run.text)") }
        return values
    }

    func measure(_ type: any BenchPeer.Type) throws -> PeerFigures {
        let bin = try BenchHost.programs(["trading-bench-floor"])
        let directory = "/tmp/trading-bench-\(type.name)-\(getpid())"
        try Files.makeDirectory(directory, mode: 0o755)
        defer { try? Files.removeTree(directory) }
        let started = try StartedFile(path: "\(directory)/started")
        let peer = try type.init(directory: directory, floor: "\(bin)/trading-bench-floor", started: started.path, workers: workers)
        var figures = PeerFigures(name: type.name)
        defer { peer.end() }
        try peer.begin()
        var known = 0
        for round in 0..<rounds {
            // The restarted one starts once, with the supervisor.
            let first = round == 0 ? 1 : 0
            if round > 0 { try peer.startAll() }
            var running = try started.more(than: known, count: workers + first, within: .seconds(60))
            known += workers + first
            if round == 0 {
                // supervisord and runsv take a worker for started after a second.
                poll(nil, 0, 2_000)
                figures.proportionalBytes = try peer.processes().map { ProcessFigures(pid: $0).proportionalBytes }.reduce(0, +)
                let restarted = try RestartedWorker(peer: peer, started: started, among: running)
                figures.restarts = try restarted.measure(Self.restarts, known: &known)
                running.removeAll { $0.pid == restarted.firstPID }
            }
            figures.kills.append(try ended(running) { try peer.killAll() })
            poll(nil, 0, 1_200)
            try peer.startAll()
            running = try started.more(than: known, count: workers, within: .seconds(60))
            known += workers
            poll(nil, 0, 1_200)
            figures.stops.append(try ended(running) { try peer.stopAll() })
            poll(nil, 0, 1_200)
        }
        return figures
    }

    private func ended(_ lines: [StartedFile.Line], _ order: () throws -> Void) throws -> Double {
        let handles = try Gone.handles(lines.map { try ProcessIdentity.read(pid: $0.pid) })
        let began = Clock.boottime()
        try order()
        return try Gone.last(of: handles, since: began)
    }
}

/// The one worker of a peer that is restarted: its command line says so.
private struct RestartedWorker {
    let started: StartedFile
    let firstPID: Int32

    init(peer: any BenchPeer, started: StartedFile, among lines: [StartedFile.Line]) throws {
        self.started = started
        let found = lines.first { line in
            let words = (try? Files.read("/proc/\(line.pid)/cmdline", limit: 4_096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            return words.contains("--restarted")
        }
        guard let found else { throw BenchHost.Failure(description: "\(type(of: peer).name): the worker that is to be restarted does not run") }
        firstPID = found.pid
    }

    func measure(_ count: Int, known: inout Int) throws -> [Double] {
        var pid = firstPID
        var values: [Double] = []
        for _ in 0..<count {
            // runsv waits a second when a service ran for less than one.
            poll(nil, 0, 1_500)
            let handle = try PIDFD(opening: ProcessIdentity.read(pid: pid))
            let killed = Clock.boottime()
            try handle.signal(9)
            let line = try started.more(than: known, count: 1, within: .seconds(20))[0]
            known += 1
            pid = line.pid
            values.append((line.at - killed).milliseconds)
        }
        return values
    }
}
