import ArgumentParser
import FleetCore
import FleetProbes
import Glibc

/// The producer: takes a simulated venue's ticks and publishes them to a Redis stream.
struct ExchangeToRedis: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exchange-to-redis",
        abstract: "Publish a simulated venue feed to a Redis stream; on SIGTERM flush, write a marker, exit 0.")

    @OptionGroup var redis: RedisOptions

    @Option(help: "Ticks per second.")
    var rate = 2_000

    @Option(help: "Symbols the venue trades.")
    var symbols = 16

    @Option(help: "The same seed makes the same prices.")
    var seed: UInt64 = 1

    @Option(help: "Ticks that may be without an answer from Redis; while there are more, the feed waits.")
    var maxInFlight = 4_096

    @Option(help: "After SIGTERM: how long to wait for outstanding answers, in milliseconds.")
    var flushWithin = 5_000

    @Option(help: "Key of the shutdown marker. Default: the stream's key and \":shutdown\".")
    var markerKey: String?

    @Option(help: "Also write the shutdown marker to this file.")
    var markerFile: String?

    func validate() throws {
        guard (1...200_000).contains(rate) else { throw ValidationError("--rate must be 1 to 200000 ticks per second") }
        guard (1...1_000).contains(symbols) else { throw ValidationError("--symbols must be 1 to 1000") }
        guard (1...100_000).contains(maxInFlight) else { throw ValidationError("--max-in-flight must be 1 to 100000") }
        guard (0...600_000).contains(flushWithin) else {
            throw ValidationError("--flush-within must be 0 to 600000 milliseconds")
        }
    }

    func run() throws {
        let inbox = try SignalInbox([SIGTERM, SIGINT])
        let worker = FeedWorker(
            publisher: TickPublisher(try redis.endpoint, stream: redis.stream), inbox: inbox,
            feed: VenueFeed(symbols: symbols, seed: seed), rate: rate, maxInFlight: maxInFlight,
            flushWithin: .milliseconds(flushWithin),
            marker: ShutdownMarker(key: markerKey ?? "\(redis.stream):shutdown", file: markerFile))
        try worker.run().leave()
    }
}
