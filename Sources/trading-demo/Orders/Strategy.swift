import ArgumentParser
import FleetCore
import FleetProbes
import Glibc

/// The strategy: reads ticks by its own group and turns a few of them into orders.
struct Strategy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "strategy",
        abstract: "Turn every Nth tick into an order; SIGUSR1 quiesces, SIGUSR2 resumes.")

    @OptionGroup var redis: RedisOptions
    @OptionGroup var reading: GroupOptions

    @Option(help: "The consumer group.")
    var group = "strategy"

    @Option(help: "This consumer's name, the same after a restart.")
    var consumer = "strategy-1"

    @Option(help: "The order gateway, http://IP:PORT.")
    var gateway = "http://127.0.0.1:8081"

    @Option(help: "The owner named in its orders.")
    var name = "strategy"

    @Option(help: "Each Nth tick becomes an order.")
    var every = 100

    @Option(help: "Ticks older than this many milliseconds are acknowledged and never traded on.")
    var maxAge = 2_000

    @Option(help: "After SIGTERM: how long to ask for an order that was not answered, in milliseconds.")
    var stopWithin = 2_000

    func validate() throws {
        do throws(ProbeError) { _ = try HTTPURL(gateway) } catch { throw ValidationError("--gateway: \(error)") }
        guard every >= 1 else { throw ValidationError("--every must be at least 1") }
        guard maxAge >= 1 else { throw ValidationError("--max-age must be at least 1 millisecond") }
        guard (0...600_000).contains(stopWithin) else {
            throw ValidationError("--stop-within must be 0 to 600000 milliseconds")
        }
    }

    func run() throws {
        let inbox = try SignalInbox([SIGTERM, SIGINT, SIGUSR1, SIGUSR2])
        let endpoint = try redis.endpoint
        let worker = StrategyWorker(
            inbox: inbox, sender: OrderSender(try HTTPURL(gateway).endpoint, limit: .seconds(1)), owner: name,
            every: every,
            maxAge: .milliseconds(maxAge), stopWithin: .milliseconds(stopWithin),
            connect: { () throws(ProbeError) in
                try GroupReader(endpoint, stream: redis.stream, group: group, consumer: consumer, options: reading)
            })
        try worker.run().leave()
    }
}
