/// One side's server process, as the benchmark drives it: lines of commands in, lines of figures out.
///
/// Stopped with its agents whenever it isn't its turn; a turn is far shorter than a session's time-out.
final class WireBenchServerProcess {
    private let side: WireBenchSide
    private let process: BenchProcess
    private let connect: Double
    private var times: [Double] = []

    /// Returns when every agent is connected.
    init(start side: WireBenchSide, _ directory: String, agents: Int) throws {
        self.side = side
        process = try BenchProcess.start(
            [WireBenchServer.name, "--side", side.rawValue, "--directory", directory, "--agents", "\(agents)"], ownGroup: true)
        guard let connect = process.readLine().flatMap(Double.init) else {
            process.finish()
            throw BenchProcess.Failure(description: "the \(side.rawValue) server could not connect its agents")
        }
        self.connect = connect
        process.pause()
    }

    func run(rounds: Int) throws {
        process.resume()
        process.writeLine("\(rounds)")
        guard let line = process.readLine() else { throw failure }
        process.pause()
        times += line.split(separator: " ").compactMap { Double($0) }
    }

    /// Ends it; what was found.
    func finish() throws -> WireBenchFigures {
        process.resume()
        process.writeLine("memory")
        guard let bytes = process.readLine().flatMap(Double.init) else { throw failure }
        process.finish()
        return WireBenchFigures(
            connect: connect, p50: BenchLine.percentile(times, 0.5), p99: BenchLine.percentile(times, 0.99), bytes: bytes)
    }

    private var failure: BenchProcess.Failure {
        process.resume()
        return BenchProcess.Failure(description: "the \(side.rawValue) server ended with status \(process.finish())")
    }
}
