import ArgumentParser
import FleetCore
import FleetTrust
import Foundation
import LinuxHost

/// How long an emergency stop takes, from the start of the command line's process to the last worker gone.
///
/// Real programs throughout: a coordinator, a relay, N agents with W workers each under their shims. In the same run the
/// kernel's floor is measured: as many plain processes, killed through pidfds by this process.
struct EstopBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "estop", abstract: "Measures an emergency stop of real agents with real workers.")

    @Option(help: "How many agents.")
    var agents = 20

    @Option(help: "How many workers each.")
    var workers = 10

    @Option(help: "How often; medians are printed.")
    var rounds = 5

    @Option(help: "What a worker is: sleep (a small C process, what the floor of about 20 ms for 200 is of) or demo (trading-demo test-worker, 40 MB mapped).")
    var worker: EstopWorker = .sleep

    mutating func validate() throws {
        guard (1...100).contains(agents), (1...50).contains(workers), (1...100).contains(rounds) else {
            throw ValidationError("agents 1 to 100, workers 1 to 50, rounds 1 to 100")
        }
    }

    mutating func run() async throws {
        let fleet = try EstopFleet(agents: agents, workers: workers, worker: worker)
        defer { fleet.end() }
        try fleet.begin()
        var lastGone: [Double] = []
        var command: [Double] = []
        var floor: [Double] = []
        for round in 1...rounds {
            try fleet.startWorkers()
            let (gone, took) = try fleet.emergencyStop()
            lastGone.append(gone)
            command.append(took)
            floor.append(try KillFloor.measure(agents * workers, of: fleet.command(worker)))
            FileHandle.standardError.write(
                Data("round \(round): last worker gone after \(BenchLine.number(gone)) ms, the command ended after \(BenchLine.number(took)) ms\n".utf8))
            try fleet.release()
        }
        let p50 = { BenchLine.percentile($0, 0.5) }
        print(
            BenchLine.table([
                ["\(agents) agents x \(workers) workers, \(rounds) rounds", "median", "worst"],
                ["last worker gone, ms", BenchLine.number(p50(lastGone)), BenchLine.number(lastGone.max() ?? 0)],
                ["command ended, ms", BenchLine.number(p50(command)), BenchLine.number(command.max() ?? 0)],
                ["kernel floor, ms", BenchLine.number(p50(floor)), BenchLine.number(floor.max() ?? 0)],
            ]))
        BenchLine.print(
            bench: "estop",
            [
                BenchLine("last_gone_ms", "ms", p50(lastGone)), BenchLine("last_gone_max_ms", "ms", lastGone.max() ?? 0),
                BenchLine("command_ms", "ms", p50(command)), BenchLine("kernel_floor_ms", "ms", p50(floor)),
                BenchLine("ratio_to_floor", "1", p50(lastGone) / max(p50(floor), 0.001)),
            ])
    }
}

/// What the workers of the benchmark are. How long the kernel takes to tear a process down depends on what it has mapped.
enum EstopWorker: String, ExpressibleByArgument {
    case sleep, demo
}

/// What the kernel alone needs: SIGKILL to as many processes, until the last pidfd says that it is gone.
enum KillFloor {
    static func measure(_ count: Int, of command: [String]) throws -> Double {
        let processes = try (0..<count).map { _ in
            let process = Process()
            process.executableURL = URL(fileURLWithPath: command[0])
            process.arguments = Array(command.dropFirst())
            process.standardError = FileHandle.nullDevice
            try process.run()
            return process
        }
        defer { for process in processes { process.waitUntilExit() } }
        let handles = try processes.map { try PIDFD(opening: ProcessIdentity.read(pid: $0.processIdentifier)) }
        let start = Clock.boottime()
        for handle in handles { try handle.signal(9) }
        for handle in handles { _ = try handle.isGone(within: .seconds(10)) }
        return (Clock.boottime() - start).milliseconds
    }
}
