import ArgumentParser
import FleetCore
import FleetProbes
import Glibc

/// The order gateway: takes orders over HTTP and keeps them against a simulated venue.
struct OrderGateway: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "order-gateway",
        abstract: "Keep open orders against a simulated venue; exits 4 when orders are left open.")

    @Option(help: "The loopback address to listen on, as IP:PORT.")
    var listen = "127.0.0.1:8081"

    @Option(help: "The venue's time to acknowledge a cancel, in milliseconds.")
    var venueAck: UInt64 = 20

    @Option(help: "The venue fills or cancels an order after at least this many milliseconds.")
    var lifeMin: UInt64 = 50

    @Option(help: "… and at most this many.")
    var lifeMax: UInt64 = 500

    @Option(help: "The same seed makes the same venue.")
    var seed: UInt64 = 1

    @Option(help: "Orders that may be open at once.")
    var maxOpen = 10_000

    @Option(help: "For tests: orders that are open from the start and about which the venue answers nothing.")
    var stuckOrders = 0

    @Option(help: "The owner of the stuck orders.")
    var stuckOwner = "strategy"

    @Option(help: "After SIGTERM: how long to wait for the venue's acknowledgements, in milliseconds.")
    var stopWithin = 1_000

    func validate() throws {
        let endpoint: Endpoint
        do throws(ProbeError) { endpoint = try Endpoint(listen) } catch { throw ValidationError("--listen: \(error)") }
        guard endpoint.isLoopback else {
            throw ValidationError("--listen: only a loopback address, e.g. 127.0.0.1:8081")
        }
        guard lifeMin <= lifeMax, lifeMax <= 3_600_000 else {
            throw ValidationError("--life-min must not exceed --life-max, at most an hour")
        }
        guard venueAck <= 3_600_000 else { throw ValidationError("--venue-ack is at most an hour") }
        guard (1...1_000_000).contains(maxOpen) else { throw ValidationError("--max-open must be 1 to 1000000") }
        guard (0...1_000).contains(stuckOrders) else { throw ValidationError("--stuck-orders must be 0 to 1000") }
        guard (0...600_000).contains(stopWithin) else {
            throw ValidationError("--stop-within must be 0 to 600000 milliseconds")
        }
    }

    func run() throws {
        let inbox = try SignalInbox([SIGTERM, SIGINT])
        let settings = OrderBook.Settings(
            seed: seed, venueAckNanoseconds: venueAck * 1_000_000,
            lifeNanoseconds: (lifeMin * 1_000_000)...(lifeMax * 1_000_000), openLimit: maxOpen)
        let worker = GatewayWorker(
            inbox: inbox, server: try HTTPServer(try Endpoint(listen)),
            book: OrderBook(settings, stuck: stuckOrders, stuckOwner: stuckOwner),
            stopWithin: .milliseconds(stopWithin),
            address: listen)
        try worker.run().leave()
    }
}
