import ArgumentParser

/// The demo pipeline: four small but honest workers, and one for tests.
@main
struct TradingDemo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trading-demo",
        abstract: "Workers of the demo pipeline: a simulated venue feed, a recorder, a strategy and an order gateway.",
        discussion: """
            Each tells its supervisor by sd_notify that it is ready, what it does and what it has counted (X_*), at \
            least once a second and once more after its last work.

            Exit codes: 0 fine, 3 a count could not be resolved, 4 open orders are left, 5 a marker or the sink could \
            not be written, 64 wrong flags, 70 the worker could not start.
            """,
        subcommands: [ExchangeToRedis.self, RedisToQuestDB.self, Strategy.self, OrderGateway.self, TestWorker.self])
}
