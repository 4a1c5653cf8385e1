import ArgumentParser
import FleetProbes

/// Where the stream is.
struct RedisOptions: ParsableArguments {
    @Option(help: "The Redis server, as IP:PORT.")
    var redis = "127.0.0.1:6379"

    @Option(help: "The key of the stream.")
    var stream = "ticks"

    var endpoint: Endpoint { get throws(ProbeError) { try Endpoint(redis, defaultPort: 6379) } }

    func validate() throws {
        do throws(ProbeError) { _ = try endpoint } catch { throw ValidationError("--redis: \(error)") }
        guard !stream.isEmpty else { throw ValidationError("--stream is empty; name the key of the stream") }
    }
}
